"""Find the C sources that nngio is built from: NNG and mbedTLS.

As a command it unpacks them beside this file, which is what a build would do by itself:

    python nng_src/fetch.py            both, if they aren't there
    python nng_src/fetch.py nng        only NNG
    python nng_src/fetch.py --list     what is pinned, where it may come from, and what is unpacked

The order is: a tree already unpacked here, then each entry of sources.toml, from its upstream archive and
then from the Debian archives of this machine's apt configuration. Whatever goes wrong with one of them costs
one line on standard error and leads to the next.

A tree counts only with its stamp. It is unpacked under another name, stamped, and renamed as the last step,
so that one whose unpacking was interrupted is never built.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import shutil
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apt_sources import debian_archives
from archive import ArchiveError, unpack

HERE = Path(__file__).resolve().parent
NAMES = ("nng", "mbedtls")
TITLES = {"nng": "NNG", "mbedtls": "mbedTLS"}
STAMP = "nngio-source.json"

CONNECT_SECONDS = 10.0  # to connect, and for each read
DOWNLOAD_SECONDS = 180.0  # for a whole file, against a server that trickles
MAX_DOWNLOAD = 64 * 1024 * 1024


class SourceError(Exception):
    """No source can be had, or the one that was asked for is not usable. The text says what to do."""


@dataclass(frozen=True)
class Pin:
    """One entry of sources.toml."""

    name: str
    version: str
    sha256: str
    debian: str
    upstream: str = ""
    lacks: str = ""
    omit: Sequence[str] = ()


@dataclass(frozen=True)
class Tree:
    """An unpacked source tree. `version` is "" where it isn't known for certain."""

    name: str
    version: str
    path: Path
    origin: str
    patches: tuple[str, ...] = ()
    """What the patches that are in it are about, as their files' names say."""


def to_stderr(line: str) -> None:
    print(f"nngio: {line}", file=sys.stderr, flush=True)


def load_pins(file: Path = HERE / "sources.toml") -> dict[str, list[Pin]]:
    """The pinned sources of each name, best first."""
    with file.open("rb") as stream:
        tables = tomllib.load(stream)
    return {name: [Pin(name=name, **entry) for entry in entries] for name, entries in tables.items()}


@dataclass
class Finder:
    """Finds or fetches source trees below `root`."""

    root: Path = HERE
    apt_dir: Path = Path("/etc/apt")
    pins: Mapping[str, Sequence[Pin]] = field(default_factory=load_pins)
    offline: bool = False
    timeout: float = CONNECT_SECONDS
    log: Callable[[str], None] = to_stderr

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Finder:
        """A finder that heeds NNGIO_APT_DIR (in place of /etc/apt) and NNGIO_OFFLINE=1 (no downloads)."""
        apt_dir = Path(environ.get("NNGIO_APT_DIR") or "/etc/apt")
        return cls(apt_dir=apt_dir, offline=environ.get("NNGIO_OFFLINE", "0") not in ("", "0"))

    def find(self, name: str) -> Tree:
        """The best tree to be had, unpacked here before or fetched now, or SourceError if there is none."""
        for pin in self.pins[name]:
            tree = self.unpacked(pin)
            if tree:
                return self._chosen(pin, tree)
        for pin in self.pins[name]:
            fetched = self._fetch(pin)
            if fetched:
                return self._chosen(pin, fetched)
        title, variable = TITLES[name], f"NNGIO_{name.upper()}_SOURCE"
        best = self.pins[name][0].version
        raise SourceError(
            f"{title}'s source can't be had: see the lines above. Any one of these helps:\n"
            f"  - a tarball or folder of its source: {variable}=/path/to/{name}-{best}.tar.gz\n"
            f"  - a system library: install libnng's development package and set NNGIO_SYSTEM_NNG=1\n"
            f"  - a network that reaches GitHub or a Debian archive (https_proxy is honoured)"
        )

    def unpacked(self, pin: Pin) -> Tree | None:
        """The tree of `pin` if it is here and whole."""
        path = self.root / f"{pin.name}-{pin.version}"
        if not path.is_dir():
            return None
        try:
            stamp = json.loads((path / STAMP).read_text(encoding="utf-8"))
            if stamp["sha256"] == pin.sha256:
                return Tree(pin.name, pin.version, path, stamp["origin"])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.log(f"{path.name} is not a whole tree of the pinned archive: not used")
        return None

    def places(self, pin: Pin) -> Iterator[tuple[str, str]]:
        """Each (address, origin) that the archive may come from, in the order they are tried."""
        if pin.upstream:
            yield pin.upstream, "upstream release"
        for base in debian_archives(self.apt_dir):
            yield f"{base}/{pin.debian}", "Debian source"

    def _fetch(self, pin: Pin) -> Tree | None:
        what = f"{TITLES[pin.name]} {pin.version}"
        if self.offline:
            self.log(f"{what}: not fetched, NNGIO_OFFLINE is set")
            return None
        tried = False
        for address, origin in self.places(pin):
            tried = True
            try:
                return self._fetch_from(address, origin, pin)
            except (OSError, http.client.HTTPException, ValueError, ArchiveError) as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                self.log(f"{what} from {address}: {_reason(error)}; trying the next source")
        if not tried:
            self.log(f"{what}: the apt configuration in {self.apt_dir} names no Debian archive")
        return None

    def _fetch_from(self, address: str, origin: str, pin: Pin) -> Tree:
        path = self.root / f"{pin.name}-{pin.version}"
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self.root) as work:
            archive, tree = Path(work, "archive"), Path(work, "tree")
            self._download(address, archive, pin.sha256)
            tree.mkdir()
            unpack(archive, tree, pin.omit)
            stamp = {"name": pin.name, "version": pin.version, "sha256": pin.sha256, "origin": origin}
            (tree / STAMP).write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
            tree.chmod(0o755)
            if path.exists():
                shutil.rmtree(path)  # not whole, or find() would have used it
            tree.rename(path)
        self.log(f"{TITLES[pin.name]} {pin.version} from {address}: SHA-256 is right, unpacked in {path.name}")
        return Tree(pin.name, pin.version, path, origin)

    def _download(self, address: str, target: Path, sha256: str) -> None:
        """Write the file at `address` to `target`. Raises ArchiveError unless it is the pinned one."""
        digest, size, deadline = hashlib.sha256(), 0, time.monotonic() + DOWNLOAD_SECONDS
        request = urllib.request.Request(address, headers={"User-Agent": "nngio-build"})
        with urllib.request.urlopen(request, timeout=self.timeout) as response, target.open("wb") as out:
            announced = response.headers.get("Content-Length")
            while chunk := response.read1(65536):
                out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                if size > MAX_DOWNLOAD:
                    raise ArchiveError(f"is larger than {MAX_DOWNLOAD} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not finished after {DOWNLOAD_SECONDS:.0f} s")
        if announced and announced.isdecimal() and size < int(announced):
            raise ArchiveError(f"the download stopped at {size} of {announced} bytes")
        if digest.hexdigest() != sha256:
            raise ArchiveError(f"wrong SHA-256, {digest.hexdigest()} in place of {sha256}")

    def _chosen(self, pin: Pin, tree: Tree) -> Tree:
        if pin.lacks:
            title, best = TITLES[pin.name], self.pins[pin.name][0].version
            self.log(
                f"WARNING: building with {title} {pin.version}, a fallback. It lacks {pin.lacks}.\n"
                f"nngio: WARNING: to build a newer one, give its source in NNGIO_{pin.name.upper()}_SOURCE "
                f"(a folder or tarball, {best} is the preferred one)"
                + (" or link the system's library with NNGIO_SYSTEM_NNG=1" if pin.name == "nng" else "")
                + "."
            )
        return tree


def _reason(error: Exception) -> str:
    """The error in one line."""
    reason = getattr(error, "reason", None)
    text = str(reason if isinstance(reason, Exception) else error) or type(error).__name__
    return " ".join(text.split())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="fetch.py",
        description="Unpack the C sources of nngio beside this file.",
        epilog="NNGIO_APT_DIR stands in for /etc/apt, NNGIO_OFFLINE=1 forbids downloads.",
    )
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="name", help="nng or mbedtls; both if none is given")
    parser.add_argument("--list", action="store_true", help="print what is pinned and where it may come from, and stop")
    options = parser.parse_args(arguments)
    finder = Finder.from_environment()
    names = options.names or NAMES
    if options.list:
        for pin in (pin for name in names for pin in finder.pins[name]):
            here = finder.unpacked(pin)
            print(f"{pin.name} {pin.version}  SHA-256 {pin.sha256}  {'unpacked' if here else 'not unpacked'}")
            for address, _origin in finder.places(pin):
                print(f"    {address}")
        return 0
    try:
        for name in names:
            print(finder.find(name).path)
    except SourceError as error:
        print(f"nngio: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
