"""How the library is layered: what may import what, who may call C, what is public. Read from the sources with `ast`."""

import ast
import graphlib
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import nngio
from nngio._options import Option

PACKAGE = Path(nngio.__file__).parent
LOOPS = frozenset({"anyio", "asyncio", "curio", "sniffio", "trio", "uvloop"})
LONGEST_ADAPTER = 200

LAYERS = ("the compiled module", "the core", "the nouns", "adapters and extras")
"""From the ground up. A module imports from its own layer and from those below it."""

LOADERS = frozenset({"nngio._core.loops", "nngio._adapters"})
"""Who finds out which loop runs, and so has to load the adapter for it when it is needed: in a function, not as a module."""

RAW_ACCESS = "nngio.lowlevel"
"""The one module above the nouns that has to do with `lib`: it is what gives users theirs."""


class Import(NamedTuple):
    """One import of another module."""

    module: str
    name: str | None
    late: bool
    """In a function: done when that is called."""
    for_types: bool
    """Seen by type checkers only."""


def source_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(file: Path) -> str:
    parts = ["nngio", *file.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(file): file for file in source_files()}


def layer(module: str) -> int:
    """The number of the layer that a module of nngio's belongs to."""
    parts = module.split(".")[1:]
    if parts[:1] in (["_ffi"], ["_nng"]):
        return 0
    if parts[:1] == ["_core"]:
        return 1
    if len(parts) == 1 and parts[0].startswith("_") and not (PACKAGE / parts[0]).is_dir():
        return 2
    return 3


def imports_of(module: str) -> list[Import]:
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    return list(_imports(tree, module, late=False, for_types=False))


def _imports(node: ast.AST, module: str, *, late: bool, for_types: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, None, late, for_types) for alias in node.names)
        return
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module}:{node.lineno}: imports are absolute here"
        assert node.module is not None
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"  # `from package import module` imports the module
            yield Import(inner if inner in SOURCES or inner == "nngio._nng" else node.module, alias.name, late, for_types)
        return
    late = late or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for child in node.body:
            yield from _imports(child, module, late=late, for_types=True)
        for child in node.orelse:
            yield from _imports(child, module, late=late, for_types=for_types)
        return
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, module, late=late, for_types=for_types)


def own(imports: list[Import]) -> list[Import]:
    return [i for i in imports if i.module == "nngio" or i.module.startswith("nngio.")]


def run(code: str) -> list[str]:
    """Run a program in a fresh interpreter, and return the words that it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=15, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split()


# Imports.


def test_imports_point_one_way() -> None:
    """The compiled module, the core, the nouns, then adapters and extras: no module imports from a layer above its own."""
    wrong = [
        f"{module} ({LAYERS[layer(module)]}) imports {i.module} ({LAYERS[layer(i.module)]})"
        for module in SOURCES
        for i in own(imports_of(module))
        if not i.for_types
        and layer(i.module) > layer(module)
        and not (module in LOADERS and i.late and i.module.startswith("nngio._adapters."))
    ]
    assert not wrong, "\n".join(wrong)


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    """What modules import when they are loaded has an order; no import depends on which module was asked for first."""
    graph = {
        module: {i.module for i in own(imports_of(module)) if not i.for_types and not i.late and i.module != module} for module in SOURCES
    }
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) >= len(SOURCES)  # CycleError otherwise


def test_only_the_core_and_the_nouns_touch_c() -> None:
    """Adapters and extras go by the core's and the nouns' Python; only `lowlevel` hands C to the user."""
    wrong = [
        f"{module} imports {i.name or i.module} of {i.module}"
        for module in SOURCES
        if layer(module) > 2 and module != RAW_ACCESS
        for i in own(imports_of(module))
        if not i.for_types and (i.module == "nngio._nng" or i.name in ("ffi", "lib"))
    ]
    assert not wrong, "\n".join(wrong)


def test_no_c_code_takes_the_gil_again() -> None:
    """Whoever has let go of it may be late for the end of Python, and crash: a daemon thread at exit. `shim/python.c` keeps it."""
    users = [file.name for file in (PACKAGE / "_ffi/shim").glob("*.c") if "PyGILState_Ensure" in file.read_text(encoding="utf-8")]
    assert not users


@pytest.mark.parametrize("library", sorted(LOOPS))
def test_an_event_loop_s_library_is_imported_by_its_adapter_only(library: str) -> None:
    """Neither core nor nouns import one, not even late: what is specific to a loop is in that loop's adapter."""
    users = [(m, i.late) for m in SOURCES for i in imports_of(m) if i.module.partition(".")[0] == library and not i.for_types]
    assert {module for module, late in users if not (late and module in LOADERS)} <= {f"nngio._adapters._{library}"}


def test_the_core_imports_no_event_loop() -> None:
    """`_core` imports neither asyncio nor trio, nor what would bring them along."""
    for module in SOURCES:
        if layer(module) == 1:
            names = {i.module.partition(".")[0] for i in imports_of(module) if not i.for_types and module not in LOADERS}
            assert not names & LOOPS, f"{module} imports {names & LOOPS}"


def test_importing_nngio_imports_no_event_loop() -> None:
    """`import nngio`, and a synchronous message sent and received, leave asyncio, trio, ssl and the like unloaded."""
    loaded = run(
        "import sys\n"
        "before = set(sys.modules)\n"
        "import nngio, nngio.lowlevel\n"
        "with nngio.Pair0(listen='inproc://x') as a, nngio.Pair0(dial='inproc://x') as b:\n"
        "    a.send(b'hello')\n"
        "    assert b.recv() == b'hello'\n"
        "print(*(set(sys.modules) - before))\n"
    )
    assert "nngio._core.library" in loaded
    assert not {name.partition(".")[0].lstrip("_") for name in loaded} & {*LOOPS, "ssl", "concurrent", "multiprocessing"}


def test_public_modules_are_there_without_being_imported() -> None:
    """`import nngio` is enough for `nngio.http` and the like: they are imported when they are asked for, and `dir` has them."""
    assert run(
        "import sys, nngio\n"
        "names = ['nngio.http', 'nngio.lowlevel', 'nngio.testing']\n"
        "print(*(name in sys.modules for name in names))\n"
        "print(*(name.partition('.')[2] in dir(nngio) for name in names), 'TYPE_CHECKING' in dir(nngio))\n"
        "nngio.http.Client, nngio.lowlevel.lib, nngio.testing.certificates\n"
        "print(*(name in sys.modules for name in names), hasattr(nngio, 'whatever'))\n"
    ) == [*["False"] * 3, *["True"] * 3, "False", *["True"] * 3, "False"]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="typing is cheap to import from Python 3.13 on, and imported")
def test_importing_nngio_imports_nothing_that_takes_long() -> None:
    """Half the time would be that of `typing` and what it imports."""
    loaded = run("import sys\nbefore = set(sys.modules)\nimport nngio\nprint(*(set(sys.modules) - before))\n")
    assert not set(loaded) & {"contextlib", "enum", "importlib.util", "inspect", "logging", "re", "signal", "socket", "typing"}


@pytest.mark.parametrize("first", ["sys", "typing"])
def test_values_are_the_same_whether_or_not_typing_was_imported_before(first: str) -> None:
    """What stands for `typing` makes the same classes."""
    assert run(
        f"import sys, {first}, nngio, copy, pickle\n"
        "address = nngio.TCPAddress('::1', scope=2)\n"
        "print(str(address), type(address).__mro__[1:], type(address)._field_defaults, nngio.TCPAddress.__module__, sep='\\n')\n"
        "print(pickle.loads(pickle.dumps(address)) == address, nngio.PipeInfo._fields[:2], nngio.TCPAddress.__doc__)\n"
        "for default in copy.copy(nngio.DEFAULT), pickle.loads(pickle.dumps(nngio.DEFAULT)):\n"
        "    print(default is nngio.DEFAULT, repr(default))\n"
    ) == [
        *("[::1]:0", "(<class", "'tuple'>,", "<class", "'object'>)", "{'port':", "0,", "'scope':", "0}", "nngio._address"),
        *("True", "('id',", "'local_address')", "An", "IP", "address", "and", "port,", "of", "tcp,", "tls,", "ws", "and", "wss."),
        *("True", "DEFAULT") * 2,
    ]


def test_a_program_on_asyncio_does_not_load_trio() -> None:
    """trio is imported only when it is running; sniffio isn't needed either."""
    loaded = run(
        "import asyncio, sys, nngio\n"
        "async def main():\n"
        "    async with nngio.Pair0(listen='inproc://x') as a, nngio.Pair0(dial='inproc://x') as b:\n"
        "        await a.asend(b'hello')\n"
        "        assert await b.arecv() == b'hello'\n"
        "asyncio.run(main())\n"
        "print(*sys.modules)\n"
    )
    assert "nngio._adapters._asyncio" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"anyio", "sniffio", "trio", "uvloop"}


def test_a_program_on_trio_does_not_load_asyncio() -> None:
    """The adapter of one loop does not bring the other along."""
    loaded = run(
        "import sys, trio, nngio\n"
        "async def main():\n"
        "    async with nngio.Pair0(listen='inproc://x') as a, nngio.Pair0(dial='inproc://x') as b:\n"
        "        await a.asend(b'hello')\n"
        "        assert await b.arecv() == b'hello'\n"
        "trio.run(main)\n"
        "print(*sys.modules)\n"
    )
    assert "nngio._adapters._trio" in loaded
    assert not {name.partition(".")[0] for name in loaded} & {"asyncio", "uvloop"}


def test_asyncio_may_be_imported_after_nngio() -> None:
    """An awaitable call before that says that no loop runs; one after it finds the loop."""
    assert run(
        "import sys, nngio\n"
        "with nngio.Pair0(listen='inproc://x') as a, nngio.Pair0(dial='inproc://x') as b:\n"
        "    try:\n"
        "        b.arecv().send(None)\n"
        "    except RuntimeError as error:\n"
        "        print('asyncio' in sys.modules, 'no event loop is running' in str(error))\n"
        "    import asyncio\n"
        "    a.send(b'hello')\n"
        "    print(asyncio.run(b.arecv()).decode())\n"
    ) == ["False", "True", "hello"]


# The adapters.


@pytest.mark.parametrize("module", [name for name in SOURCES if name.startswith("nngio._adapters")])
def test_an_adapter_can_be_read_in_one_sitting(module: str) -> None:
    """At most 200 lines, comments included, and it opens with its theory of operation."""
    text = SOURCES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_ADAPTER
    assert len((ast.get_docstring(ast.parse(text)) or "").splitlines()) > 3


# Public names.


def exported() -> dict[str, object]:
    return {name: getattr(nngio, name) for name in nngio.__all__}


def test_the_package_only_re_exports() -> None:
    """Its `__init__` has imports, at once or when they are asked for, `__all__` and the version; all is defined in private modules."""
    tree = ast.parse(SOURCES["nngio"].read_text(encoding="utf-8"))
    docstring, *statements = tree.body
    assert isinstance(docstring, ast.Expr)
    known = {"__all__", "__version__", "_LATER", "_MODULES", "__getattr__", "__dir__"}
    for statement in statements:
        if isinstance(statement, ast.If):
            assert ast.unparse(statement.test) == "TYPE_CHECKING"
            later = {alias.name: i.module for i in statement.body if isinstance(i, ast.ImportFrom) for alias in i.names}
            modules = dict.fromkeys(nngio._MODULES, "nngio")
            assert later == {name: f"nngio.{module}" for name, module in nngio._LATER.items()} | modules
        elif isinstance(statement, ast.Assign):
            assert {ast.unparse(target) for target in statement.targets} <= known
        elif isinstance(statement, ast.FunctionDef):
            assert statement.name in known
        else:
            assert isinstance(statement, ast.ImportFrom), f"line {statement.lineno}: {ast.unparse(statement)}"
    for name, value in exported().items():
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__.startswith("nngio._"), name
            assert value.__name__ == name


def test_all_says_what_is_public() -> None:
    """`__all__` is what `__init__` imports, in order; and each name is public where it is defined, too."""
    imported = [i for i in imports_of("nngio") if i.name not in (None, "TYPE_CHECKING", *nngio._MODULES)]
    assert sorted([*(i.name for i in imported if i.name), "__version__"]) == sorted(nngio.__all__)
    assert len(set(nngio.__all__)) == len(nngio.__all__)
    for i in imported:
        assert i.name in importlib.import_module(i.module).__all__, f"{i.name} of {i.module}"


@pytest.mark.parametrize("name", [name for name in nngio.__all__ if name != "__version__"])
def test_every_public_name_has_a_docstring(name: str) -> None:
    """A sentence at least; and so has each public method and property of a public class."""
    value = getattr(nngio, name)
    if not inspect.isclass(value):
        assert value.__doc__
        return
    assert vars(value).get("__doc__"), "its own, not that of a base class"
    for cls in value.__mro__:
        if cls.__module__.startswith("nngio."):
            for attribute, member in vars(cls).items():
                if not attribute.startswith("_") and (inspect.isroutine(member) or isinstance(member, property | Option)):
                    assert inspect.getdoc(getattr(value, attribute)), attribute
