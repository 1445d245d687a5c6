"""The C declarations of `decl/*.h`: reading them, and finding which of them an NNG library has.

Each file of `decl/` declares one of NNG's headers, named in its first line, in the dialect of `ffi.cdef()`.
(Only `shim.h` declares our own C, which has no versions: the build gives it to cffi as it is.) Together they
cover every release from 1.5.2 on, so no library has all of them. One declaration takes one line, but for a
long prototype; the members of a struct, union or enum are declarations of their own, one per line too. At the
end of the last line stands who has it, or both of these, in this order and with a comma:

    `// since 1.6.0`     the first release that has it; without this mark it is in 1.5.2
    `// absent: reason`  it may be missing from a library of any release, and why

The build asks the compiler and the linker (`find_present`), never a version number: NNG 1.9.0 calls itself
1.8.0. What is there goes to cffi (`cdef`); for what is not, `why_absent` has the words that the user reads.

This module is loaded by path before the package is built, so it imports the standard library only.
"""

import os
import re
import subprocess
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

DIRECTORY = Path(__file__).parent / "decl"

Kind = Literal["function", "constant", "string", "enum", "type", "field"]


class Declaration(NamedTuple):
    """One thing that NNG declares, and the text that declares it to cffi."""

    name: str
    """As in C, a field as `nng_url.u_path`, and a type without a typedef as `enum nng_errno_enum`."""
    kind: Kind
    """`enum` is one value of an enum; the enum itself is a `type`."""
    text: str
    since: str | None
    absent: str | None
    header: str
    parent: str | None = None
    """The type that this is a member of."""


class ProbeError(Exception):
    """The compiler or the linker fails for another reason than a name that is not there. Has their output."""


_HEADER = re.compile(r"// Declares (?:<(?P<header>nng/[\w./]+)>|nngio's own)")
_MARKS = re.compile(r"(?: since (?P<since>[\d.]+),?)?(?: absent: (?P<absent>.+))?")
_STATEMENTS: list[tuple[Kind, re.Pattern[str]]] = [
    ("constant", re.compile(r"#define (\w+) \.\.\.")),
    ("string", re.compile(r"static const char \*const (\w+);")),
    ("type", re.compile(r"typedef .*\(\*(\w+)\)\(.*\);")),
    ("type", re.compile(r"typedef .*\b(\w+);")),
    ("function", re.compile(r"[\w\s*]*?\b(\w+)\(.*\);", re.DOTALL)),
]
_BLOCK_NAME = re.compile(r"typedef .*\n} (\w+);|((?:struct|union|enum) \w+) {.*", re.DOTALL)
_ENUMERATOR = re.compile(r" +(\w+),")
_FIELD = re.compile(r" +(?:.*\(\*(\w+)\)\(.*\)|.*\b(\w+)(?:\[[^]]*\])?);")


def load(directory: Path = DIRECTORY) -> list[Declaration]:
    """Read all the declarations of NNG, in the order that C and cffi need: a type before its use."""
    # nng.h first: the others use its types, and few include it.
    files = sorted(directory.glob("*.h"), key=lambda file: (file.name != "nng.h", file.name))
    return [declaration for file in files for declaration in _read(file)]


def _read(file: Path) -> Iterator[Declaration]:
    first, *lines = file.read_text(encoding="utf-8").splitlines()
    match = _HEADER.match(first)
    if match is None:
        raise ValueError(f"{file}:1: does not say what it declares")
    if match["header"] is None:
        return
    statement: list[str] = []
    for number, line in enumerate(lines, start=2):
        if not statement and (not line or line.startswith("//")):
            continue
        statement.append(line)
        block = statement[0].endswith("{")
        if line.startswith("}") if block else line.partition(" //")[0].endswith((";", "...")):
            try:
                yield from (_block if block else _single)(statement, match["header"])
            except ValueError as error:
                raise ValueError(f"{file}:{number}: {error}") from None
            statement = []
    if statement:
        raise ValueError(f"{file}: no end of: {statement[0]}")


def _split(text: str) -> tuple[str, str | None, str | None]:
    """Split the code from the marks at its end."""
    code, _, comment = text.partition(" //")
    marks = _MARKS.fullmatch(comment)
    if marks is None:
        raise ValueError(f"neither since nor absent: //{comment}")
    return code, marks["since"], marks["absent"]


def _single(lines: Sequence[str], header: str) -> Iterator[Declaration]:
    code, since, absent = _split("\n".join(lines))
    for kind, pattern in _STATEMENTS:
        if match := pattern.fullmatch(code):
            yield Declaration(match[1], kind, code, since, absent, header)
            return
    raise ValueError(f"not a declaration: {code}")


def _block(lines: Sequence[str], header: str) -> Iterator[Declaration]:
    text = "\n".join(_split(line)[0] for line in lines)
    named = _BLOCK_NAME.fullmatch(text)
    if named is None:
        raise ValueError(f"a type without a name: {lines[0]}")
    name = named[1] or named[2]
    yield Declaration(name, "type", text, *_split(lines[-1])[1:], header)
    for line in lines[1:-1]:
        code, since, absent = _split(line)
        if match := _ENUMERATOR.fullmatch(code):
            yield Declaration(match[1], "enum", code, since, absent, header, name)
        elif match := _FIELD.fullmatch(code):
            yield Declaration(f"{name}.{match[1] or match[2]}", "field", code, since, absent, header, name)
        elif code.strip(" ;") != "...":
            raise ValueError(f"not a member: {line}")


def functions(declarations: Iterable[Declaration]) -> list[Declaration]:
    """Return those that are functions."""
    return [declaration for declaration in declarations if declaration.kind == "function"]


def includes(declarations: Iterable[Declaration]) -> str:
    """Return the C text that includes all the headers that are there: some are newer than 1.5.2."""
    headers = dict.fromkeys(declaration.header for declaration in declarations)
    return "".join(f"#if __has_include(<{h}>)\n#include <{h}>\n#endif\n" for h in headers)


def cdef(declarations: Iterable[Declaration], present: Container[str]) -> str:
    """Return the text for `ffi.cdef()`, with only what is present."""
    declarations = list(declarations)
    left_out = {(d.parent, d.text) for d in declarations if d.name not in present}
    parts: list[str] = []
    for declaration in declarations:
        if declaration.parent is None and declaration.name in present:
            lines = declaration.text.splitlines()
            parts += [line for line in lines if (declaration.name, line) not in left_out]
    return "\n".join([*parts, ""])


def probe_source(prelude: str, declarations: Iterable[Declaration]) -> str:
    """Return a C file that uses each declaration: an error in line N of "probe" is about the Nth."""
    uses = [f"void probe_{index}(void) {{ (void) ({_use(d)}); }}" for index, d in enumerate(declarations)]
    return "\n".join([prelude, '#line 1 "probe"', *uses, ""])


def _use(declaration: Declaration) -> str:
    name = declaration.name
    if declaration.kind == "type":
        # An opaque type has no size, and a pointer to a tag is no proof that the tag was declared.
        return f"sizeof({name})" if " " in name else f"({name} *) 0"
    if declaration.kind == "field":
        parent, _, field = name.partition(".")
        return f"sizeof((({parent} *) 0)->{field})"
    return name


def _link_source(prelude: str, declarations: Iterable[Declaration]) -> str:
    """Return a C program that needs each of the functions."""
    # Without main's use of the table, a linker that collects garbage would never look at it.
    table = "".join(f"    (void (*)(void)) {declaration.name},\n" for declaration in declarations)
    main = "int main(int argc, char **argv) { (void) argv; return table[argc] == 0; }"
    return f"{prelude}\nvoid (*const table[])(void) = {{\n{table}    0,\n}};\n{main}\n"


_COMPILE_ERROR = re.compile(r"^probe:(\d+):.*\berror\b", re.MULTILINE)
# GNU ld and gold, lld, Apple's ld.
_UNDEFINED = re.compile(r"undefined reference to [`'](\w+)|undefined symbol: (\w+)|\"_(\w+)\", referenced")

_Attempt = Callable[[Sequence[Declaration]], tuple[bool, str]]


def find_present(
    declarations: Iterable[Declaration],
    *,
    cc: Sequence[str],
    cflags: Sequence[str],
    ldflags: Sequence[str],
    workdir: Path,
) -> frozenset[str]:
    """Find what NNG's headers declare and, for functions, what its library defines.

    One run of the compiler and one of the linker if all is there, and a few more if not: half a second.

    Args:
        declarations: what to look for.
        cc: the compiler (GCC, Clang or one that speaks like them), with arguments that belong to it.
        cflags: where the headers are, and what the library was compiled with.
        ldflags: the library and all that it needs. Paths are absolute: the commands run in `workdir`.
        workdir: a directory for the sources and the programs; it is created.

    Returns:
        The names that are there.

    Raises:
        ProbeError: the headers or the library are broken, not there, or need more flags.
    """
    declarations = list(declarations)
    prelude = includes(declarations)
    workdir.mkdir(parents=True, exist_ok=True)

    def compiles(candidates: Sequence[Declaration]) -> tuple[bool, str]:
        workdir.joinpath("compile.c").write_text(probe_source(prelude, candidates), encoding="utf-8")
        return _run([*cc, *cflags, "-w", "-fsyntax-only", "compile.c"], workdir)

    def links(candidates: Sequence[Declaration]) -> tuple[bool, str]:
        workdir.joinpath("link.c").write_text(_link_source(prelude, candidates), encoding="utf-8")
        return _run([*cc, *cflags, "-w", "link.c", "-o", "link.exe", *ldflags], workdir)

    declared = _declared(compiles, declarations)
    defined = _defined(links, functions(declared))
    return frozenset(d.name for d in declared if d.kind != "function") | frozenset(d.name for d in defined)


def _run(command: list[str], workdir: Path) -> tuple[bool, str]:
    # In English, because the messages are parsed.
    environ = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, cwd=workdir, env=environ, capture_output=True, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")


def _declared(compiles: _Attempt, candidates: list[Declaration]) -> list[Declaration]:
    # A compiler may stop after so many errors, so repeat until there are none.
    while candidates:
        compiled, output = compiles(candidates)
        if compiled:
            return candidates
        wrong = {int(line) - 1 for line in _COMPILE_ERROR.findall(output)}
        if not wrong:
            raise ProbeError(f"NNG's headers do not compile:\n{output}")
        candidates = [d for index, d in enumerate(candidates) if index not in wrong]
    raise ProbeError("the compiler does not find NNG's headers")


def _defined(links: _Attempt, candidates: list[Declaration]) -> list[Declaration]:
    while candidates:
        linked, output = links(candidates)
        if linked:
            return candidates
        undefined = {name for match in _UNDEFINED.finditer(output) for name in match.groups() if name}
        foreign = sorted(name for name in undefined if not name.startswith("nng_"))
        if foreign:
            raise ProbeError(f"NNG's library needs {foreign[0]}, which nothing in the flags has:\n{output}")
        kept = [declaration for declaration in candidates if declaration.name not in undefined]
        if len(kept) == len(candidates):
            # No name among them: the linker says it in another way, or a macro stands for another function.
            linked, output = links([])
            if not linked:
                raise ProbeError(f"no program links:\n{output}")
            kept = _bisect(links, candidates)
        candidates = kept
    raise ProbeError("NNG's library does not have a single function of NNG")


def _bisect(links: _Attempt, candidates: list[Declaration]) -> list[Declaration]:
    if links(candidates)[0]:
        return candidates
    middle = len(candidates) // 2
    return _bisect(links, candidates[:middle]) + _bisect(links, candidates[middle:]) if middle else []


@lru_cache(maxsize=1)
def _by_name() -> dict[str, Declaration]:
    return {declaration.name: declaration for declaration in load()}


def since(name: str) -> str | None:
    """Return the first release after 1.5.2 that has a name, or None. The first call reads the files."""
    declaration = _by_name().get(name)
    return declaration.since if declaration else None


def why_absent(name: str, version: str) -> str | None:
    """Say why a build of this version of NNG lacks a name; None if no NNG has it."""
    declaration = _by_name().get(name)
    if declaration is None:
        return None
    if declaration.since and _numbers(version) < _numbers(declaration.since):
        return f"{name} needs NNG {declaration.since} or later; this build has {version}"
    return f"{name} is not in this build of NNG {version}: {declaration.absent or 'configured without'}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))
