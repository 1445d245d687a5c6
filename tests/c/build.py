"""Compile a C test of the shim: with the shim's own sources, and with the NNG that the extension is built with.

    python tests/c/build.py FOLDER     compiles all of them into FOLDER, and prints their paths

NNGIO_SANITIZE and the other variables of nng_src/README.md hold here too.
"""

import contextlib
import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SHIM = ROOT / "src" / "nngio" / "_ffi" / "shim"

PROGRAMS = sorted(HERE.glob("test_*.c"))


def build_all(folder: Path) -> list[Path]:
    """Compile each program. What stands between Python and the shim is left out."""
    sys.path[:0] = [str(ROOT), str(ROOT / "nng_src")]
    from native import Options, compiler

    import build_ffi

    options = Options.from_environment()
    trees = build_ffi.prepare()
    nng = build_ffi.vendored_nng(*trees, options, build_ffi.BUILD) if trees else build_ffi.system_nng()
    features = build_ffi.BUILD / f"c-tests-{hashlib.sha256((nng.digest + options.sanitize).encode()).hexdigest()[:12]}"
    with build_ffi.locked(build_ffi.BUILD / "lock"), contextlib.redirect_stdout(sys.stderr):
        build_ffi.write_module_source(nng, options, features)
    folder.mkdir(parents=True, exist_ok=True)
    flags = ["-std=gnu11", "-g", "-O1", "-UNDEBUG", "-Wall", "-Wno-deprecated-declarations"]
    if " + " in nng.source:
        flags.append("-DNNGIO_NNG_PATCHED")
    includes = [f"-I{HERE}", f"-I{SHIM}", f"-I{features}"]
    sources = [file for file in sorted(SHIM.glob("*.c")) if '#include "python.h"' not in file.read_text(encoding="utf-8")]
    shared = [str(HERE / "check.c"), *map(str, sources)]
    compile_ = [*compiler(), *flags, *options.compile_flags, *nng.compile_flags, *includes]
    objects = []
    for source in shared:
        target = folder / f"{Path(source).stem}.o"
        subprocess.run([*compile_, "-c", source, "-o", str(target)], check=True)
        objects.append(str(target))
    binaries = []
    for program in PROGRAMS:
        binary = folder / program.stem
        libraries = [*nng.objects, *nng.link_flags, *options.link_flags, "-pthread"]
        subprocess.run([*compile_, str(program), *objects, *libraries, "-o", str(binary)], check=True)
        binaries.append(binary)
    return binaries


if __name__ == "__main__":
    for binary in build_all(Path(sys.argv[1])):
        print(binary)
