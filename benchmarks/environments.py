"""Where the libraries live: a virtual environment for each below build/bench, nngio and the C program built from this checkout."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "build" / "bench"
HARNESS = BENCH / "harness"
LOOPS = ("trio>=0.26", "uvloop; sys_platform != 'win32'")
PACKAGES = {
    # The requirements of the project's own build are there for nngio and for the C program.
    "harness": ("cffi>=1.17", "cmake>=3.20", "matplotlib", "ninja", "rich", "setuptools>=77", "trustme"),
    "nngio": ("cffi>=1.17", *LOOPS),
    "python-nng": ("nng", *LOOPS),
    "python-nng-tls": ("nng-ssl", *LOOPS),
    "pynng": ("pynng", *LOOPS),
    "pyzmq": ("pyzmq", *LOOPS),
}


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment(name: str, upgrade: bool = False) -> Path:
    """The Python of an environment, which is made if need be. The versions stay until `upgrade`."""
    folder, stamp = BENCH / name, BENCH / name / "packages.json"
    wanted = json.dumps([*PACKAGES[name], sys.version])
    if upgrade or not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {', '.join(PACKAGES[name])} in {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python_of(folder)), "-m", "pip", "--disable-pip-version-check", "-qq", "install"]
        subprocess.run([*pip, *PACKAGES[name]], check=True)
        stamp.write_text(wanted)
    return python_of(folder)


def build_nngio() -> Path:
    """Build the checkout as it is now into a folder of its own, to put on a path. What has not changed is not compiled again."""
    target = BENCH / "nngio-build"
    # The build notes dependencies relative to the checkout.
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"nngio does not build:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return target


def build_program() -> Path:
    """The C program, linked with the NNG that the extension uses, but with upstream's counts of threads."""
    sys.path[:0] = [str(ROOT), str(ROOT / "nng_src")]
    import libraries
    import native

    import build_ffi

    trees = build_ffi.prepare()
    options = native.Options()
    nng = libraries.vendored_nng(*trees, options, build_ffi.BUILD) if trees else libraries.system_nng()
    sources = sorted((ROOT / "benchmarks" / "c").glob("*.[ch]"))
    command = [*native.compiler(), "-O2", "-std=gnu11", *nng.compile_flags]
    digest = hashlib.sha256(json.dumps([nng.digest, command]).encode())
    for source in sources:
        digest.update(source.read_bytes())
    program = BENCH / "c" / f"nng-bench-{digest.hexdigest()[:12]}"
    if not program.exists():
        shutil.rmtree(program.parent, ignore_errors=True)
        program.parent.mkdir(parents=True)
        files = [str(source) for source in sources if source.suffix == ".c"]
        # The flags that the extension is linked with hide symbols, which is nothing to a program.
        link = [flag for flag in nng.link_flags if not flag.startswith("-Wl,--exclude")]
        subprocess.run([*command, *files, *nng.objects, *link, "-pthread", "-o", str(program)], check=True)
    return program


def certificates() -> Path:
    """A folder with `server.pem`, key and certificate of localhost, and `ca.pem`, who vouches for it."""
    folder = BENCH / "certificates"
    if not (folder / "ca.pem").exists():
        import trustme

        folder.mkdir(parents=True, exist_ok=True)
        authority = trustme.CA()
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder
