"""What an installed nngio consists of. Slower checks of wheels and sdists are in tools/check_wheel.py."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nngio import _nng

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"

in_checkout = pytest.mark.skipif(not PYPROJECT.exists(), reason="needs a checkout")


def build_text(name: str) -> str:
    text = _nng.ffi.string(getattr(_nng.lib, name))
    assert isinstance(text, bytes)
    return text.decode()


vendored = pytest.mark.skipif(build_text("nngio_build_nng_source") == "system library", reason="the system's NNG was asked for")


def linked_libraries() -> list[str]:
    """The shared libraries of the extension, as the dynamic linker finds them, without those it always adds."""
    done = subprocess.run(["ldd", _nng.__file__], capture_output=True, text=True, check=True)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    return [name for name in names if not re.search(r"linux-vdso|ld-linux|ld-musl", name)]


@in_checkout
def test_the_installed_version_is_the_declared_one() -> None:
    """pip's metadata and pyproject.toml agree."""
    declared = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"]
    assert importlib.metadata.version("nngio") == declared


@vendored
def test_the_licences_of_all_that_is_linked_are_installed() -> None:
    """The metadata holds our licence, NNG's and mbedTLS's, in full."""
    files = importlib.metadata.files("nngio") or []
    licences = {file.name: file.read_text() for file in files if "licenses" in file.parts}
    assert {"LICENSE", "LICENSE.nng.txt", "LICENSE.mbedtls.txt"} <= set(licences)
    assert "nngio contributors" in licences["LICENSE"]
    assert "Staysail Systems" in licences["LICENSE.nng.txt"]
    assert "Apache License" in licences["LICENSE.mbedtls.txt"]


@vendored
@pytest.mark.skipif(not sys.platform.startswith("linux") or not shutil.which("ldd"), reason="needs ldd")
def test_the_extension_links_only_libc() -> None:
    """NNG and mbedTLS are inside: nothing but the C library has to be installed."""
    libraries = linked_libraries()
    if any("san.so" in name for name in libraries):
        pytest.skip("a sanitizer build links the sanitizer")
    assert [name for name in libraries if not re.match(r"libc\.|libpthread\.", name)] == []


@pytest.mark.skipif(
    sys.implementation.name != "cpython" or bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="this interpreter has no stable ABI",
)
def test_the_extension_is_for_every_python_from_3_11_on() -> None:
    """The file name says that the extension uses the stable ABI only."""
    assert ".abi3" in Path(_nng.__file__).name


@pytest.mark.skipif(not sys.platform.startswith("linux") or not shutil.which("nm"), reason="needs nm")
def test_the_extension_exports_nothing_of_nng() -> None:
    """Another library in the process with its own NNG or mbedTLS can't collide with ours."""
    done = subprocess.run(["nm", "-D", "--defined-only", _nng.__file__], capture_output=True, text=True, check=True)
    exported = {line.split()[-1] for line in done.stdout.splitlines()}
    assert exported == {"PyInit__nng", "PyInit__python"}


@vendored
def test_the_extension_says_what_it_was_built_from() -> None:
    """The sources' origin and versions are in the module, and no path of the machine that built it."""
    origin = r"(upstream release|Debian source) [\d.]+|given source"
    assert re.fullmatch(rf"({origin})( \+ (1 patch|\d+ patches))?", build_text("nngio_build_nng_source"))
    assert re.fullmatch(origin, build_text("nngio_build_mbedtls"))
    assert re.fullmatch(r"1\.\d+(\.\d+)?|", build_text("nngio_build_nng_version"))


def test_type_information_is_installed() -> None:
    """py.typed tells type checkers to read our annotations."""
    assert importlib.resources.files("nngio").joinpath("py.typed").is_file()


def texts() -> dict[Path, str]:
    """The files that are committed or would be, by path."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    files = [ROOT / line for line in done.stdout.splitlines()]
    return {file: file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()}


in_git = pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="needs git")


@in_git
def test_no_source_of_others_is_committed() -> None:
    """NNG and mbedTLS are fetched by a build, and ignored by git."""
    names = [path.relative_to(ROOT).as_posix() for path in texts()]
    assert [name for name in names if re.match(r"nng_src/(nng|mbedtls)-|LICENSE\..*\.txt|build/", name)] == []


@in_git
def test_no_archive_of_this_machine_is_written_down() -> None:
    """A Debian archive's address comes from the apt configuration and is in no file of ours."""
    from apt_sources import debian_archives

    hosts = {urlsplit(address).hostname or "" for address in debian_archives(Path("/etc/apt"))} - {""}
    if not hosts:
        pytest.skip("this machine's apt configuration names no Debian archive")
    assert [(path.name, host) for path, text in texts().items() for host in hosts if host in text] == []
