"""The examples and the Python code in the README and the documentation run as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import nngio
from nngio.lowlevel import nng_version

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    """The Python code on a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if blocks(page)]


def run(*arguments: str | Path) -> str:
    """What a Python program prints, in which a warning is an error; it has to end well and in silence otherwise."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=15,
        check=False,
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_to_its_end(example: Path) -> None:
    """It ends with exit code 0, has printed something, and has warned of nothing."""
    assert run(example)


def test_every_example_is_in_their_list() -> None:
    """examples/README.md names each program once, and none that isn't there."""
    listed = re.findall(r"^\| `(\w+\.py)`", (ROOT / "examples" / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == [example.name for example in EXAMPLES]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_code_on_a_page_runs(page: Path, tmp_path: Path) -> None:
    """The Python blocks of a page are one program, from top to bottom."""
    program = tmp_path / f"page_{page.stem}.py"  # not the name of a module
    program.write_text("\n".join(blocks(page)), encoding="utf-8")
    run(program)


def test_the_readme_shows_what_its_example_prints() -> None:
    """The README's example is the first thing that a newcomer runs."""
    assert run("-c", blocks(ROOT / "README.md")[0]) == "Is anybody there?\nYes, over here.\n"


@pytest.mark.parametrize("arguments", [["--count", "50"], ["--count", "50", "--python"]], ids=["nngcat", "python"])
def test_the_demonstration_talks_to_another_process(arguments: list[str]) -> None:
    """`make run` ends with a round-trip time, with nngcat and with a second Python on the other side."""
    output = run(ROOT / "tools" / "demo.py", *arguments)
    assert nng_version() in output
    assert "◀── REP Yes, over here." in output
    assert re.search(r"round trip +[\d,]+ µs median", output)
    assert ("nngcat, C" in output) == ("--python" not in arguments)


def test_every_public_name_is_in_the_reference() -> None:
    """docs/api has an entry for each name that nngio exports."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    entries = set(re.findall(r"^\.\. (?:auto|py:)\w+:: nngio\.(\w+)$", pages, re.MULTILINE))
    assert set(nngio.__all__) - entries == {"__version__"}
    assert entries - set(nngio.__all__) == {"lowlevel", "testing"}


def test_the_links_between_pages_lead_somewhere() -> None:
    """Each relative link in the README, CONTRIBUTING and the documentation names a file that exists."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")]
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")) if "://" not in link
    ]
    assert links
    assert [(page.name, link) for page, link in links if not (page.parent / link).exists()] == []
