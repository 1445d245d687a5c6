"""`_ffi/decl/*.h` say what NNG's headers say, and the extension has all of it that its NNG has.

The headers are read here with regular expressions, by rules that have nothing in common with those of
`declarations.py`, so that one's mistake is not the other's.
"""

import json
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from nngio._ffi import declarations
from nngio._ffi.declarations import Declaration, ProbeError
from nngio._nng import ffi, lib

BUILD = Path(__file__).resolve().parents[1] / "build"

NO_DECLARATION = {
    "no part of the API": "NNG_DECL NNG_DEPRECATED",
    "refers to names that its parameters do not have": "NNG_PROTOCOL_NUMBER",
    "no expressions; ffi.new() makes zeros": " ".join(
        f"NNG_{noun}_INITIALIZER" for noun in ("SOCKET", "CTX", "DIALER", "LISTENER", "PIPE")
    ),
    "version 0 or 1, whichever header comes first": "nng_pair_open nng_pair_open_raw",
}


def build_version() -> str:
    """The release that the extension was built from; only a system library is asked itself, as some lie."""
    return str(ffi.string(lib.nngio_build_nng_version) or ffi.string(lib.nng_version()), "ascii")


def headers_directory() -> Path:
    """The directory with nng/nng.h that the extension was built from."""
    if given := os.environ.get("NNGIO_TEST_HEADERS"):
        directory = Path(given)
    elif given := os.environ.get("NNGIO_NNG_SOURCE"):
        from trees import given_tree

        directory = given_tree("nng", Path(given).expanduser(), BUILD).path / "include"
    elif ffi.string(lib.nngio_build_nng_version):
        directory = Path(__file__).parents[1] / "nng_src" / f"nng-{build_version()}" / "include"
    else:
        directory = Path("/usr/include")
    assert directory.joinpath("nng", "nng.h").exists(), (
        f"{directory} does not have nng/nng.h of NNG {build_version()}: set NNGIO_TEST_HEADERS to what has it"
    )
    return directory


class Headers(NamedTuple):
    """What NNG's headers declare. Prototypes, fields and typedefs are normalised."""

    functions: dict[str, str]
    constants: set[str]
    types: dict[str, str]
    fields: dict[str, str]


def normalised(text: str) -> str:
    """A declaration in single-spaced tokens, without the names of parameters and the sizes of arrays."""
    tokens = re.findall(r"\w+|\.\.\.|[^\s\w]", re.sub(r"\[[^]]*\]", "[]", text).rstrip(";"))
    kept = []
    for before, token, after in zip(["", *tokens], tokens, [*tokens[1:], ""], strict=False):
        is_name = re.match(r"\w", token) and re.fullmatch(r"\w+|\*", before) and after in (",", ")")
        if not is_name:
            kept.append(token)
    return " ".join(kept)


def name_in(text: str, *patterns: str) -> str:
    """The name that the first pattern to match finds."""
    return next(match[1] for pattern in patterns if (match := re.search(pattern, text)))


@cache
def headers() -> Headers:
    found = Headers({}, set(), {}, {})
    aliases = {}
    for file in sorted(headers_directory().glob("nng/**/*.h")):
        if "compat" in file.parts:
            continue
        text = re.sub(r"/\*.*?\*/|//[^\n]*|\\\n", " ", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        for name, body in re.findall(r"^#[ \t]*define (\w+)\b(.*)", text, re.MULTILINE):
            if name in " ".join(NO_DECLARATION.values()).split() or not body.strip():
                continue
            if name.startswith("nng_"):
                aliases[name] = body.strip()
            else:
                found.constants.add(name)
        text = re.sub(r"^#.*", "", text, flags=re.MULTILINE)
        for prototype in re.findall(r"\bNNG_DECL([^;]*);", text):
            found.functions[name_in(prototype, r"(\w+)\s*\(")] = normalised(prototype.replace("NNG_DEPRECATED", ""))
        text = re.sub(r"\bNNG_DECL[^;]*;", "", text)
        for tag, values, name in re.findall(r"\benum\s*(\w*)\s*{([^}]*)}\s*(\w*)", text):
            found.constants.update(re.findall(r"(\w+)\s*(?:=[^,]*)?(?:,|$)", values.strip()))
            if name or tag:
                found.types[name or f"enum {tag}"] = ""
        for tag, fields, name in re.findall(r"\b(?:struct|union) (\w+)\s*{([^}]*)}\s*(\w*)", text):
            found.types[name or tag] = ""
            for field in fields.split(";")[:-1]:
                field_name = name_in(field, r"\(\*(\w+)\)", r"(\w+)(?:\[[^]]*\])?$")
                found.fields[f"{name or tag}.{field_name}"] = normalised(field)
        for typedef in re.findall(r"\btypedef [^;{]*;", text):
            found.types.setdefault(name_in(typedef, r"\(\*(\w+)\)\(", r"(\w+);$"), normalised(typedef))
    for alias, name in aliases.items():
        found.functions[alias] = found.functions[name].replace(name, alias)
    return found


@cache
def declared() -> dict[str, Declaration]:
    return {declaration.name: declaration for declaration in declarations.load()}


def of_kind(*kinds: str) -> dict[str, Declaration]:
    return {name: declaration for name, declaration in declared().items() if declaration.kind in kinds}


def newer(declaration: Declaration) -> bool:
    """Whether the mark says that this build's NNG is too old for it."""
    numbers = [[int(n) for n in re.findall(r"\d+", v)] for v in (build_version(), declaration.since or "0")]
    return numbers[0] < numbers[1]


def test_every_function_of_the_headers_is_declared_with_the_same_prototype() -> None:
    """Argument and return types, the deprecated functions and the macros that rename functions included."""
    ours = {name: normalised(declaration.text) for name, declaration in of_kind("function").items()}
    theirs = headers().functions
    assert len(theirs) > 480
    assert {name: ours.get(name) for name in theirs} == theirs


def test_every_constant_of_the_headers_is_declared() -> None:
    """Macros with numbers, macros with strings, and the values of enums."""
    assert len(headers().constants) > 200
    assert headers().constants - of_kind("constant", "string", "enum").keys() == set()


def test_every_type_of_the_headers_is_declared() -> None:
    """Structs, unions, enums, handles, opaque types; a typedef on one line is the same typedef."""
    theirs = headers().types
    assert len(theirs) > 50
    assert theirs.keys() - of_kind("type").keys() == set()
    for name, typedef in theirs.items():
        if typedef and "\n" not in declared()[name].text:
            assert normalised(declared()[name].text) == typedef


def test_every_field_of_the_headers_is_declared_with_the_same_type() -> None:
    """The fields of every struct and union, the pointers to functions among them included."""
    ours = {name: normalised(declaration.text) for name, declaration in of_kind("field").items()}
    theirs = headers().fields
    assert len(theirs) > 70
    assert {name: ours.get(name) for name in theirs} == theirs


def test_what_the_headers_lack_is_marked_with_a_newer_release() -> None:
    """No name is invented, and a mark that is too early or was forgotten shows on an old NNG."""
    known = headers().functions.keys() | headers().constants | headers().types.keys() | headers().fields.keys()
    assert [name for name, declaration in declared().items() if name not in known and not newer(declaration)] == []


def test_the_extension_has_every_declared_name_or_a_reason_why_not() -> None:
    """Only a newer release or an `absent` mark excuses a function, constant, type or field."""

    def has(declaration: Declaration) -> bool:
        if declaration.kind == "field":
            fields = ffi.typeof(declaration.parent).fields if declaration.parent in types else []
            return any(declaration.name == f"{declaration.parent}.{name}" for name, _ in fields or [])
        return declaration.name in (types if declaration.kind == "type" else names)

    names = set(dir(lib))
    typedefs, structs, unions = ffi.list_types()
    types = {*typedefs, *structs, *unions, *(name for name in of_kind("type") if name.startswith("enum "))}
    absent = [declaration for declaration in declared().values() if not has(declaration)]
    assert [d.name for d in absent if not newer(d) and d.absent is None] == []


def test_every_declared_name_that_the_extension_has_links() -> None:
    """Reading a function makes cffi take its address; a constant gets its value from the compiler."""
    names = of_kind("function", "constant", "string", "enum").keys() & set(dir(lib))
    assert len(names) > 700
    for name in names:
        value = getattr(lib, name)
        assert callable(value) if name in of_kind("function") else value is not None


def test_no_name_is_declared_twice() -> None:
    """cffi would take the second for a redefinition, and `why_absent` would know only one."""
    names = [declaration.name for declaration in declarations.load()]
    assert sorted(names) == sorted(set(names))


def test_an_absent_name_is_explained_by_its_release_or_its_reason() -> None:
    """The sentence names the release only where that is what is missing."""
    assert declarations.since("nng_aio_busy") == "1.6.0"
    assert declarations.since("nng_send") is None
    assert declarations.why_absent("nng_aio_busy", "1.5.2") == ("nng_aio_busy needs NNG 1.6.0 or later; this build has 1.5.2")
    assert declarations.why_absent("nng_tls_config_psk", "1.12.0") == ("nng_tls_config_psk is not in this build of NNG 1.12.0: needs TLS")
    assert "configured without" in str(declarations.why_absent("nng_bus0_open", "1.12.0"))
    assert declarations.why_absent("nng_nonsense", "1.12.0") is None


SAMPLE = """\
// Declares <nng/nng.h>.

#define NNG_ONE ...
static const char *const NNG_OPT_TWO; // since 1.6.0
enum nng_errno_enum {
    NNG_EINTR,
    NNG_ENEW, // since 1.7.0
    ...
};
typedef struct nng_url {
    char *u_path;
    int (*u_call)(int, char *); // since 1.7.0
    ...;
} nng_url;
// A comment.
int nng_open(nng_url *);
int nng_log(nng_url *, const char *,
            ...); // since 1.8.0, absent: needs a log
"""


@pytest.fixture
def sample(tmp_path: Path) -> list[Declaration]:
    directory = tmp_path / "decl"
    directory.mkdir()
    directory.joinpath("nng.h").write_text(SAMPLE, encoding="utf-8")
    directory.joinpath("shim.h").write_text("// Declares nngio's own C.\nint nngio;\n", encoding="utf-8")
    return declarations.load(directory)


def test_load_reads_names_kinds_and_marks(sample: list[Declaration]) -> None:
    """One declaration per name, a type before its members, and nothing of shim.h."""
    assert [(d.name, d.kind, d.since, d.absent, d.parent) for d in sample] == [
        ("NNG_ONE", "constant", None, None, None),
        ("NNG_OPT_TWO", "string", "1.6.0", None, None),
        ("enum nng_errno_enum", "type", None, None, None),
        ("NNG_EINTR", "enum", None, None, "enum nng_errno_enum"),
        ("NNG_ENEW", "enum", "1.7.0", None, "enum nng_errno_enum"),
        ("nng_url", "type", None, None, None),
        ("nng_url.u_path", "field", None, None, "nng_url"),
        ("nng_url.u_call", "field", "1.7.0", None, "nng_url"),
        ("nng_open", "function", None, None, None),
        ("nng_log", "function", "1.8.0", "needs a log", None),
    ]
    assert {d.header for d in sample} == {"nng/nng.h"}


@pytest.mark.parametrize("line", ["int nng_x(void); // from 1.6.0", "int nng_x(void)", "enum {\n    NNG_A,\n};", "?;"])
def test_load_refuses_what_it_does_not_understand(tmp_path: Path, line: str) -> None:
    """A slip of the pen must not drop a declaration in silence."""
    tmp_path.joinpath("nng.h").write_text(f"// Declares <nng/nng.h>.\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"nng\.h"):
        declarations.load(tmp_path)


def test_cdef_leaves_out_absent_declarations_and_members(sample: list[Declaration]) -> None:
    """A member goes without its type, a type with all its members, and a mark never reaches cffi."""
    old = {declaration.name for declaration in sample if declaration.since is None}
    text = declarations.cdef(sample, old - {"enum nng_errno_enum"})
    assert text.splitlines() == [
        "#define NNG_ONE ...",
        *("typedef struct nng_url {", "    char *u_path;", "    ...;", "} nng_url;"),
        "int nng_open(nng_url *);",
    ]


FAKE_COMPILER = r"""
import json, re, sys
fake = json.loads(sys.argv[1])
source = open("compile.c" if "-fsyntax-only" in sys.argv else "link.c").read()
if "-fsyntax-only" in sys.argv:
    lines = source.split('#line 1 "probe"\n')[1].splitlines()
    errors = [f"probe:{i}:9: error: what is this?" for i, line in enumerate(lines, 1)
              if set(re.findall(r"\w+", line)) & set(fake["undeclared"])]
    errors = errors[:1] + ["fatal error: too many errors"] if errors else []
else:
    errors = [fake["says"].format(fake["aliases"].get(name, name)) for name in re.findall(r"\w+", source)
              if name in fake["undefined"]] + fake["always"]
print("\n".join(errors))
sys.exit(bool(errors))
"""


def find_present(sample: list[Declaration], tmp_path: Path, **fake: object) -> set[str]:
    defaults = {"undeclared": [], "undefined": [], "aliases": {}, "says": "?", "always": []}
    cc = [sys.executable, "-c", FAKE_COMPILER, json.dumps(defaults | fake)]
    found = declarations.find_present(sample, cc=cc, cflags=[], ldflags=[], workdir=tmp_path / "probe")
    return {declaration.name for declaration in sample} - found


def test_find_present_drops_what_does_not_compile_however_few_errors_come_at_once(sample: list[Declaration], tmp_path: Path) -> None:
    """A compiler that stops at the first error is asked again."""
    absent = {"NNG_OPT_TWO", "NNG_ENEW", "nng_log"}
    assert find_present(sample, tmp_path, undeclared=[*absent, "u_call"]) == {*absent, "nng_url.u_call"}


@pytest.mark.parametrize(
    "says",
    [
        "ld: a.o:(.data+0x8): undefined reference to `{}'",
        "ld.lld: error: undefined symbol: {}",
        '  "_{}", referenced from:',
        "the linker is not happy",
    ],
)
def test_find_present_drops_what_does_not_link_whatever_the_linker_says(sample: list[Declaration], tmp_path: Path, says: str) -> None:
    """GNU's, LLVM's and Apple's messages name the functions; others are found by halving."""
    assert find_present(sample, tmp_path, undefined=["nng_log"], says=says) == {"nng_log"}


def test_find_present_drops_a_macro_whose_function_does_not_link(sample: list[Declaration], tmp_path: Path) -> None:
    """The linker names the function behind the macro, which is not among the names looked for."""
    fake = {"undefined": ["nng_log"], "aliases": {"nng_log": "nng_log0"}, "says": "undefined symbol: {}"}
    assert find_present(sample, tmp_path, **fake) == {"nng_log"}


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        ({"undeclared": ["NNG_ONE", "void"]}, "does not find NNG's headers"),
        ({"always": ["undefined reference to `mbedtls_ssl_init'"]}, "needs mbedtls_ssl_init"),
        ({"always": ["cannot find -lnng"]}, "no program links"),
        ({"undefined": ["nng_open", "nng_log"]}, "not have a single function"),
    ],
)
def test_find_present_reports_a_broken_setup_instead_of_an_empty_nng(
    sample: list[Declaration], tmp_path: Path, fake: dict[str, list[str]], message: str
) -> None:
    """Wrong flags must not pass for a library that lacks everything."""
    with pytest.raises(ProbeError, match=message):
        find_present(sample, tmp_path, **fake)
