"""The page that tells what of NNG there is says what is so."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from nngio._ffi import declarations

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "tools" / "coverage.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The generator."""
    if not TOOL.exists():
        pytest.skip("the tools are not here: this is no checkout")
    spec = importlib.util.spec_from_file_location("nngio_coverage", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_generator_writes(tool: ModuleType) -> None:
    """Run `python tools/coverage.py` after a change to a docstring that names a function."""
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page()


def test_every_function_is_on_the_page(tool: ModuleType) -> None:
    """With a name, Python's own, or a reason; those that imitate nanomsg are left out."""
    text = tool.PAGE.read_text(encoding="utf-8")
    names = [f.name for f in declarations.functions(declarations.load()) if not f.name.startswith("nn_")]
    assert len(names) > 500
    assert [name for name in names if f"| `{name}`" not in text] == []


def test_every_name_on_the_page_exists(tool: ModuleType) -> None:
    """Docstrings and tables name what can be imported."""
    for row in tool.rows():
        assert all(tool.exists(name) for name in row.python), row
        assert bool(row.python) + bool(row.standard) + bool(row.reason) == 1 or row.deprecated, row


def test_a_function_without_a_word_about_it_is_a_fault(tool: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """And so are entries that no function answers to, and names that don't exist."""
    monkeypatch.delitem(tool.REASONS, "nng_fini")
    with pytest.raises(ValueError, match="nng_fini has neither a name nor a reason"):
        tool.rows()
    monkeypatch.setitem(tool.REASONS, "nng_fini", "a reason")
    monkeypatch.setitem(tool.REASONS, "nng_nonsense", "a reason")
    with pytest.raises(ValueError, match="REASONS: no function is nng_nonsense"):
        tool.rows()
    monkeypatch.delitem(tool.REASONS, "nng_nonsense")
    monkeypatch.setitem(tool.REACHED, "nng_send", ["Sender.nonsense"])
    with pytest.raises(ValueError, match=r"REACHED: nngio has no Sender\.nonsense"):
        tool.rows()


def test_the_command_writes_nothing_when_it_checks(tool: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It fails if the page is out of date."""
    page = tmp_path / "coverage.md"
    page.write_text("old\n", encoding="utf-8")
    monkeypatch.setattr(tool, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["coverage.py", "--check"])
    assert tool.main() == 1
    assert page.read_text(encoding="utf-8") == "old\n"
    monkeypatch.setattr(sys, "argv", ["coverage.py"])
    assert tool.main() == 0
    monkeypatch.setattr(sys, "argv", ["coverage.py", "--check"])
    assert tool.main() == 0
