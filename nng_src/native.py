"""Build mbedTLS and NNG with CMake into static libraries.

Each library has its own folder below the build folder, named after a digest of all that goes into it: its
files, its options, the compiler. What is there and finished is used again, so only a change costs a
compilation, and switching between a plain and a sanitizer build costs none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fetch import TITLES, SourceError, Tree, to_stderr
from trees import tree_digest

# Environment variable, and what NNG calls it: CMake variables first, then a C macro for a release without a
# variable. Unset means upstream's value.
TUNING = {
    "NNGIO_NNG_TASKQ_THREADS": ("NNG_NUM_TASKQ_THREADS",),
    "NNGIO_NNG_MAX_TASKQ_THREADS": ("NNG_MAX_TASKQ_THREADS",),
    "NNGIO_NNG_EXPIRE_THREADS": ("NNG_NUM_EXPIRE_THREADS", "NNG_EXPIRE_THREADS"),
    "NNGIO_NNG_MAX_EXPIRE_THREADS": ("NNG_MAX_EXPIRE_THREADS",),
    "NNGIO_NNG_POLLER_THREADS": ("NNG_NUM_POLLER_THREADS",),
    "NNGIO_NNG_MAX_POLLER_THREADS": ("NNG_MAX_POLLER_THREADS",),
    "NNGIO_NNG_RESOLV_CONCURRENCY": ("NNG_RESOLV_CONCURRENCY",),
}

# NNG runs TLS on several threads, and mbedTLS's PSA state, which TLS 1.3 uses, is only safe there with its
# own locks. The structures in mbedTLS's headers change with these macros, so NNG has to be compiled with
# exactly the same.
MBEDTLS_MACROS = ("-DMBEDTLS_THREADING_C=", "-DMBEDTLS_THREADING_PTHREAD=")

MBEDTLS_OPTIONS = {
    "ENABLE_PROGRAMS": "OFF",
    "ENABLE_TESTING": "OFF",
    "GEN_FILES": "OFF",
    "MBEDTLS_FATAL_WARNINGS": "OFF",
    "USE_SHARED_MBEDTLS_LIBRARY": "OFF",
    "USE_STATIC_MBEDTLS_LIBRARY": "ON",
    # Python would only run scripts that we don't unpack.
    "CMAKE_DISABLE_FIND_PACKAGE_Python3": "ON",
}
NNG_OPTIONS = {
    "BUILD_SHARED_LIBS": "OFF",
    "NNG_ENABLE_NNGCAT": "OFF",
    "NNG_ENABLE_TLS": "ON",
    "NNG_TESTS": "OFF",
    "NNG_TLS_ENGINE": "mbed",
    "NNG_TOOLS": "OFF",
}

# What a failed run of CMake may say, and what helps.
FIXES = (
    (r"No space left on device", "free some disk space"),
    (
        r"CMAKE_C_COMPILER.*not (?:found|a full path|able)|No CMAKE_C_COMPILER",
        "install a C compiler (Debian: apt install gcc), or name yours in CC",
    ),
    (
        r"fatal error: (?:stdio|stdlib|string|errno|pthread)\.h",
        "install the C library's headers (Debian: apt install libc6-dev)",
    ),
    (r"CMake [\d.]+ or higher is required", "install a newer CMake: pip install -U cmake"),
    (
        r"CMAKE_MAKE_PROGRAM is not set|unable to find a build program",
        "install Ninja (pip install ninja) or make",
    ),
    (r"different (?:source directory|than the directory)", "the checkout was moved; remove its build folder"),
    (
        r"[Cc]ould (?:NOT|not) find (?:MbedTLS|mbedTLS)|Failed to find Mbed TLS",
        "remove the build folder, so that mbedTLS is built again",
    ),
    (
        r"unrecognized command[- ]line option|unknown argument: '-f",
        "take the option that the compiler doesn't know out of CFLAGS",
    ),
)


@dataclass(frozen=True)
class Options:
    """What the environment says about compiling."""

    sanitize: str = ""
    debug: bool = False
    tuning: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Options:
        tuning = {name: environ[name] for name in TUNING if environ.get(name)}
        for name, value in tuning.items():
            if not value.isdecimal():
                raise SourceError(f"{name}={value!r} is not a number; give a count of threads, or unset it")
        sanitize = environ.get("NNGIO_SANITIZE", "")
        unknown = set(filter(None, sanitize.split(","))) - {"address", "undefined", "leak", "thread"}
        if unknown:
            raise SourceError(f"NNGIO_SANITIZE={sanitize!r}: use address,undefined or thread")
        return cls(sanitize, environ.get("NNGIO_DEBUG", "0") not in ("", "0"), tuning)

    @property
    def plain(self) -> bool:
        return not self.sanitize and not self.debug

    @property
    def compile_flags(self) -> list[str]:
        """The flags, beyond those of an ordinary release build, for every C file of ours and theirs."""
        if self.sanitize:
            return [f"-fsanitize={self.sanitize}", "-fno-omit-frame-pointer", "-g", "-O1"]
        return ["-g", "-O0"] if self.debug else []

    @property
    def link_flags(self) -> list[str]:
        return [f"-fsanitize={self.sanitize}"] if self.sanitize else []


@dataclass(frozen=True)
class Library:
    """A finished library: an install prefix and the digest of all that went into it."""

    prefix: Path
    digest: str

    def archives(self, *names: str) -> list[str]:
        """The static libraries of these names, without those that this release doesn't have."""
        files = (self.prefix / "lib" / f"lib{name}.a" for name in names)
        return [str(file) for file in files if file.exists()]


def compiler() -> list[str]:
    """The C compiler's command: CC, or the one that Python was built with, or cc."""
    wanted = os.environ.get("CC")
    for command in (wanted,) if wanted else (sysconfig.get_config_var("CC"), "cc"):
        words = shlex.split(command or "")
        if words and shutil.which(words[0]):
            return words
    problem = f"CC={wanted!r} is not a program" if wanted else "no C compiler was found"
    raise SourceError(f"{problem}: install one (Debian: apt install gcc libc6-dev), or name yours in CC")


def build_libraries(nng: Tree, mbedtls: Tree, options: Options, build: Path) -> tuple[Library, Library]:
    """Build both, or find them built. Returns (NNG, mbedTLS)."""
    tls = _build(mbedtls, {**MBEDTLS_OPTIONS}, [*MBEDTLS_MACROS], options, build)
    variables = {**NNG_OPTIONS, "MBEDTLS_ROOT": str(tls.prefix), "MBEDTLS_ROOT_DIR": str(tls.prefix)}
    macros = [*MBEDTLS_MACROS]
    for variable, value in options.tuning.items():
        cmake_name, *macro_names = TUNING[variable]
        variables[cmake_name] = value
        macros += [f"-D{name}={value}" for name in macro_names]
    return _build(nng, {**variables, "CMAKE_PREFIX_PATH": str(tls.prefix)}, macros, options, build, tls.digest), tls


def _build(
    tree: Tree,
    variables: dict[str, str],
    macros: Sequence[str],
    options: Options,
    build: Path,
    needs: str = "",
) -> Library:
    cc = compiler()
    flags = [*shlex.split(os.environ.get("CFLAGS", "")), *macros, *options.compile_flags]
    variables |= {
        # Without a build type there is no -DNDEBUG, so NNG's assertions are on; a release has them off, as
        # upstream's.
        "CMAKE_BUILD_TYPE": "Release" if options.plain else "None",
        "CMAKE_INSTALL_LIBDIR": "lib",
        "CMAKE_POLICY_VERSION_MINIMUM": "3.5",  # mbedTLS 2.28 asks for less, which CMake 4 refuses to imitate
        "CMAKE_POSITION_INDEPENDENT_CODE": "ON",
        "CMAKE_C_VISIBILITY_PRESET": "hidden",
    }
    version = subprocess.run([*cc, "--version"], capture_output=True, text=True, check=False).stdout
    ingredients = [tree_digest(tree.path), sorted(variables.items()), flags, cc, version, needs]
    digest = hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()
    folder = build / f"{tree.name}-{tree.version or 'given'}-{digest[:12]}"
    library = Library(folder / "prefix", digest)
    finished = folder / "finished"
    if finished.exists():
        return library
    to_stderr(f"compiling {TITLES[tree.name]} {tree.version} in {folder}")
    work = folder / "work"
    shutil.rmtree(folder, ignore_errors=True)
    work.mkdir(parents=True)
    # What the compiler writes about source files must not tell where this machine has them.
    flags.append(f"-ffile-prefix-map={tree.path}={tree.name}")
    variables |= {
        "CMAKE_C_FLAGS": shlex.join(flags),
        "CMAKE_INSTALL_PREFIX": str(library.prefix),
    }
    generator, program = _generator()
    if program:
        variables["CMAKE_MAKE_PROGRAM"] = program
    settings = [f"-D{name}={value}" for name, value in sorted(variables.items())]
    cmake = _tool("cmake", "CMAKE_BIN_DIR")
    if cmake is None:
        raise SourceError(
            "CMake was not found: pip installs it for a build by itself, but with --no-build-isolation you have to: pip install cmake ninja"
        )
    _run([cmake, "-S", str(tree.path), "-B", str(work), *generator, *settings], folder / "configure.log", tree)
    jobs = str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    _run([cmake, "--build", str(work), "--parallel", jobs, "--target", "install"], folder / "compile.log", tree)
    shutil.rmtree(work)  # the objects are in the libraries now, and nothing looks at them again
    finished.touch()
    return library


def _tool(name: str, folder: str) -> str | None:
    """A program from PyPI's package of its name, which needn't be on PATH in a venv, or from PATH."""
    try:
        module = __import__(name)
        program = shutil.which(name, path=getattr(module, folder))
    except (ImportError, AttributeError):
        program = None
    return program or shutil.which(name)


def _generator() -> tuple[list[str], str | None]:
    ninja = _tool("ninja", "BIN_DIR")
    return (["-G", "Ninja"], ninja) if ninja else ([], None)


def _run(command: Sequence[str], log: Path, tree: Tree) -> None:
    """Run a CMake command with its output in `log`. If it fails, raise SourceError with what helps."""
    # The compiler goes this way because it may be two words, such as `ccache gcc`.
    environ = {name: value for name, value in os.environ.items() if name not in ("CFLAGS", "DESTDIR")}
    environ["CC"] = shlex.join(compiler())
    with log.open("w", encoding="utf-8", errors="replace") as out:
        status = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, env=environ, check=False).returncode
    if status == 0:
        return
    text = log.read_text(encoding="utf-8", errors="replace")
    fix = next((fix for pattern, fix in FIXES if re.search(pattern, text)), None)
    if fix is None:
        fix = f"if the source is sound, remove {log.parent} and try again; the whole output is in {log}"
    errors = [line for line in text.splitlines() if re.search(r"\berror\b|CMake Error", line, re.IGNORECASE)]
    tail = text.splitlines()[-25:]
    raise SourceError("\n".join([*errors[:5], *tail, f"{TITLES[tree.name]} {tree.version} did not compile. To fix it: {fix}"]))
