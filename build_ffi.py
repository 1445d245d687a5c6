"""Build `nngio._nng`: NNG and mbedTLS, what this NNG has of its API, the cffi module, and our own C.

setup.py calls `prepare()` for the source trees and their licences, and `BuildNng` when there is an extension
to compile. All that is made lies in build/, in folders named after a digest of what they were made from:

    build/mbedtls-* build/nng-*   the static libraries (nng_src/native.py)
    build/given build/patched     unpacked and patched source trees (nng_src/trees.py)
    build/module-*                the cffi source, nngio_features.h, the objects and the extension

The environment variables are described in nng_src/README.md.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from setuptools import Extension
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
BUILD = ROOT / "build"
FFI = ROOT / "src" / "nngio" / "_ffi"

sys.path.insert(0, str(ROOT / "nng_src"))
from fetch import Finder, SourceError, Tree, to_stderr  # noqa: E402
from libraries import Nng, system_nng, vendored_nng  # noqa: E402
from native import Options, compiler  # noqa: E402
from trees import copy_licences, given_tree, patched  # noqa: E402

MODULE = "nngio._nng"

# Free-threaded CPython before 3.15 has no stable ABI, and a debug build or PyPy doesn't load one: they get an
# extension for themselves, which the same sources give.
ABI3 = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED") and not hasattr(sys, "gettotalrefcount")
ABI3_TAG, ABI3_HEX = "cp311", "0x030b0000"

BUILD_CONSTANTS = ("nngio_build_nng_source", "nngio_build_nng_version", "nngio_build_mbedtls", "nngio_build_nng_patches")


@functools.cache
def prepare() -> tuple[Tree, Tree] | None:
    """Find the trees of NNG and mbedTLS, and put their licences where the wheel takes them from.

    None for a system library.
    """
    with locked(BUILD / "lock"):
        if os.environ.get("NNGIO_SYSTEM_NNG", "0") not in ("", "0"):
            copy_licences([], ROOT)
            return None
        finder = Finder.from_environment()

        def find(name: str) -> Tree:
            given = os.environ.get(f"NNGIO_{name.upper()}_SOURCE")
            tree = given_tree(name, Path(given).expanduser(), BUILD) if given else finder.find(name)
            return patched(tree, BUILD)

        trees = find("nng"), find("mbedtls")
        copy_licences(trees, ROOT)
        return trees


def load_declarations() -> ModuleType:
    """The module that reads decl/*.h, by path: its package can't be imported before there is an extension."""
    spec = importlib.util.spec_from_file_location("nngio_declarations", FFI / "declarations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and NamedTuples look their module up there
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock against other builds in this checkout."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        try:
            import fcntl
        except ImportError:
            yield
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            to_stderr("another build runs in this checkout; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class Build(build):
    """`build` from an empty folder: setuptools would ship modules that were removed since the last build."""

    def run(self) -> None:
        shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class BuildNng(build_ext):
    """`build_ext` that knows the one extension there is."""

    def run(self) -> None:
        prepare()  # takes the same lock
        with locked(BUILD / "lock"):
            super().run()

    def build_extension(self, ext: Extension) -> None:
        options = Options.from_environment()
        trees = prepare()
        nng = vendored_nng(*trees, options, BUILD) if trees else system_nng()
        flags = extension_flags(options)
        ingredients = [
            nng.digest,
            nng.source,
            flags,
            options.link_flags,
            nng.link_flags,
            ABI3,
            sys.implementation.cache_tag,
        ]
        ingredients += [os.environ.get(name, "") for name in ("CC", "CFLAGS", "CPPFLAGS", "LDFLAGS")]
        folder = BUILD / f"module-{hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()[:12]}"
        generated = write_module_source(nng, options, folder)
        shim = sorted((FFI / "shim").glob("*.c"))
        sources = [os.path.relpath(file) for file in (generated, *shim)]
        ext.sources = [*sources]
        headers = [*(FFI / "shim").glob("*.h"), folder / "nngio_features.h"]
        # The list, so that a source that is removed or renamed is a change too.
        write_if_changed(folder / "sources.txt", "\n".join(sources))
        ext.depends = [str(file) for file in (*headers, folder / "sources.txt", *nng.objects)]
        ext.include_dirs = [str(FFI / "shim"), str(folder)]
        ext.extra_compile_args = [*nng.compile_flags, *flags]
        ext.extra_objects = nng.objects
        ext.extra_link_args = [*nng.link_flags, *options.link_flags, "-pthread"]
        # The extension is made in a folder of its variant, so that a plain and a sanitizer build don't take
        # each other's objects for their own, and is copied to where setuptools wants it.
        self.compile_only_changed(headers)
        self.drop_pythons_rpath()
        places = self.build_lib, self.build_temp
        self.build_lib, self.build_temp = str(folder), str(folder / "objects")
        try:
            super().build_extension(ext)
            built = Path(self.get_ext_fullpath(ext.name))
        finally:
            self.build_lib, self.build_temp = places
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # A new file: to write into the old one would change it under a process that has loaded it.
        target.unlink(missing_ok=True)
        shutil.copy2(built, target)

    def drop_pythons_rpath(self) -> None:
        """Take out the run paths of the Python that builds, which are of use on this machine only."""
        theirs = set(shlex.split(sysconfig.get_config_var("LDSHARED") or ""))
        mine = set(shlex.split(os.environ.get("LDFLAGS", "")))
        rpaths = {word for word in theirs - mine if word.startswith("-Wl,-rpath")}
        self.compiler.linker_so = [word for word in self.compiler.linker_so if word not in rpaths]

    def compile_only_changed(self, headers: list[Path]) -> None:
        """Keep objects that are newer than their source and all `headers`; setuptools compiles all or none.

        The cffi module is a megabyte of C: this is the difference between one second and ten after an edit.
        """
        compile_one = self.compiler._compile
        newest = max(file.stat().st_mtime_ns for file in headers)

        def compile_if_changed(obj: str, src: str, *arguments: Any) -> None:
            with contextlib.suppress(FileNotFoundError):
                if Path(obj).stat().st_mtime_ns > max(newest, Path(src).stat().st_mtime_ns):
                    return
            compile_one(obj, src, *arguments)

        self.compiler._compile = compile_if_changed


def extension_flags(options: Options) -> list[str]:
    flags = [
        "-O2",
        "-g0",
        *options.compile_flags,
        "-std=gnu11",
        "-fvisibility=hidden",
        f"-ffile-prefix-map={ROOT}=nngio",
    ]
    if not options.plain:
        flags.append("-UNDEBUG")
    if "NNGIO_NNG_TASKQ_THREADS" in options.tuning:
        flags.append(f"-DNNGIO_TASK_THREADS={options.tuning['NNGIO_NNG_TASKQ_THREADS']}")
    flags += [
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-missing-field-initializers",
        "-Wno-deprecated-declarations",
    ]
    flags.append(f"-DPy_LIMITED_API={ABI3_HEX}" if ABI3 else "-D_CFFI_NO_LIMITED_API")
    return flags


def write_module_source(nng: Nng, options: Options, folder: Path) -> Path:
    """Write `_nng.c`, which is returned, and `nngio_features.h` below `folder`, unless they are the same."""
    from cffi import FFI as CFFI  # a build requirement, and slow to import

    folder.mkdir(parents=True, exist_ok=True)
    declarations = load_declarations()
    # A header that our NNG doesn't have must not be found where another NNG is installed.
    declared = [d for d in declarations.load() if nng.include is None or (nng.include / d.header).exists()]
    present = find_present(declarations, declared, nng, options, folder)
    functions = [d.name for d in declarations.functions(declared)]
    features = "".join(f"#define NNGIO_HAVE_{name} 1\n" for name in functions if name in present)
    write_if_changed(folder / "nngio_features.h", "// What the library has, as the linker says.\n" + features)

    constants = dict(zip(BUILD_CONSTANTS, (nng.source, nng.version, nng.mbedtls, nng.patches), strict=True))
    ffi = CFFI()
    ffi.cdef(declarations.cdef(declared, present))
    shim = FFI / "decl" / "shim.h"
    if shim.exists():
        ffi.cdef(shim.read_text(encoding="utf-8"))
    ffi.cdef("".join(f"extern const char {name}[...];\n" for name in constants))
    preamble = [
        '#include "nngio_features.h"',
        declarations.includes(declared),
        '#include "internal.h"',
        # JSON's strings are C's, for the characters that a version can have.
        *(f"static const char {name}[] = {json.dumps(text)};" for name, text in constants.items()),
    ]
    ffi.set_source(MODULE, "\n".join(preamble))
    target = folder / "_nng.c"
    ffi.emit_c_code(str(target))  # leaves a file that has this content already as it is
    return target


def find_present(declarations: Any, declared: Any, nng: Nng, options: Options, folder: Path) -> frozenset[str]:
    """What the headers and the library have; probed once for each library and set of declarations."""
    key = hashlib.sha256(repr((nng.digest, declared)).encode()).hexdigest()
    cache = folder / "present.json"
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(cache.read_text(encoding="utf-8"))
        if known["key"] == key:
            return frozenset(known["present"])
    environ = {name: shlex.split(os.environ.get(name, "")) for name in ("CFLAGS", "CPPFLAGS", "LDFLAGS")}
    present: frozenset[str]
    try:
        present = declarations.find_present(
            declared,
            cc=compiler(),
            cflags=[*environ["CFLAGS"], *environ["CPPFLAGS"], *nng.compile_flags, *options.compile_flags],
            ldflags=[*environ["LDFLAGS"], *nng.objects, *nng.link_flags, *options.link_flags, "-pthread"],
            workdir=folder / "probe",
        )
    except declarations.ProbeError as error:
        fix = "check CFLAGS and LDFLAGS" if nng.objects else "install libnng-dev, or say in LDFLAGS where libnng is"
        raise SourceError(f"no program can be linked with NNG ({nng.source}): {fix}.\n{error}") from error
    missing = [d.name for d in declarations.functions(declared) if d.name not in present]
    to_stderr(f"NNG ({nng.source}) has {len(present)} of {len(declared)} names; it lacks {len(missing)} functions")
    cache.write_text(json.dumps({"key": key, "present": sorted(present)}), encoding="utf-8")
    return present


def write_if_changed(file: Path, text: str) -> None:
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")


__all__ = ["ABI3", "ABI3_TAG", "MODULE", "Build", "BuildNng", "SourceError", "prepare"]
