"""NNG as the extension sees it: static libraries that we compile, or the system's shared one."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from fetch import SourceError, Tree
from native import Options, build_libraries, compiler


@dataclass
class Nng:
    """How to compile and link against NNG."""

    source: str  # what the module says about it
    version: str = ""  # "" where only nng_version() can tell
    mbedtls: str = ""
    patches: str = ""  # what those of ours that are in it are about, with a space between them
    digest: str = ""
    include: Path | None = None  # the only folder to take NNG's headers from; None for the compiler's own paths
    compile_flags: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    link_flags: list[str] = field(default_factory=list)


def vendored_nng(nng: Tree, mbedtls: Tree, options: Options, build: Path) -> Nng:
    """NNG and mbedTLS as static libraries of ours."""
    library, tls = build_libraries(nng, mbedtls, options, build)
    return Nng(
        source=describe(nng),
        version=nng.version,
        mbedtls=describe(mbedtls),
        patches=" ".join(nng.patches),
        digest=library.digest,
        include=library.prefix / "include",
        compile_flags=["-DNNG_STATIC_LIB", f"-I{library.prefix / 'include'}"],
        # Each needs those behind it; the last two are parts of mbedTLS 3 that its configuration may leave
        # empty.
        objects=library.archives("nng") + tls.archives("mbedtls", "mbedx509", "mbedcrypto", "everest", "p256m"),
        link_flags=["-Wl,--exclude-libs,ALL"] if sys.platform == "linux" else [],
    )


def system_nng() -> Nng:
    """The system's shared NNG: through pkg-config if that knows it, else on the compiler's own paths."""
    cflags, libs = [], ["-lnng"]
    pkg_config = os.environ.get("PKG_CONFIG") or "pkg-config"
    if shutil.which(pkg_config):
        for package in ("nng", "libnng"):
            done = subprocess.run([pkg_config, "--cflags", "--libs", package], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                words = shlex.split(done.stdout)
                libs = [word for word in words if word.startswith(("-l", "-L", "-Wl,"))]
                cflags = [word for word in words if word not in libs]
                break
    # Which library that is, the headers and the linker say; both may be replaced under the same name by an
    # upgrade.
    probe = subprocess.run(
        [*compiler(), *shlex.split(os.environ.get("CFLAGS", "")), *cflags, "-E", "-"],
        input="#include <nng/nng.h>\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode:
        raise SourceError(
            "NNGIO_SYSTEM_NNG is set, but <nng/nng.h> doesn't compile. Install NNG's development package "
            "(Debian: apt install libnng-dev), say where it is in CFLAGS and LDFLAGS, or unset it.\n"
            f"{probe.stderr}"
        )
    trace = subprocess.run(
        [
            *compiler(),
            *shlex.split(os.environ.get("LDFLAGS", "")),
            *libs,
            "-shared",
            "-o",
            os.devnull,
            "-Wl,-t",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    files = [Path(line.strip()) for line in trace.stdout.splitlines() if "libnng" in line]
    stats = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
    digest = hashlib.sha256(repr((probe.stdout, stats)).encode()).hexdigest()
    return Nng("system library", digest=digest, compile_flags=cflags, link_flags=libs)


def describe(tree: Tree) -> str:
    """Such as `upstream release 1.12.4`, `Debian source 1.5.2 + 3 patches`, `given source`."""
    origin, plus, patches = tree.origin.partition(" + ")
    version = "" if origin == "given source" else f" {tree.version}"
    return f"{origin}{version}{plus}{patches}"
