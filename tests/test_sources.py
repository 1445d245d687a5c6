"""Where the C sources of a build come from: downloads, archives, patches, apt configurations.

The downloads are real ones, from an HTTP server on the loopback interface.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

NNG_SRC = Path(__file__).resolve().parent.parent / "nng_src"
if not (NNG_SRC / "fetch.py").exists():
    pytest.skip("the build's own modules are only in a checkout or an sdist", allow_module_level=True)

from apt_sources import debian_archives  # noqa: E402
from archive import ArchiveError, unpack  # noqa: E402
from fetch import STAMP, Finder, Pin, SourceError, Tree, load_pins  # noqa: E402
from trees import copy_licences, given_tree, patched, tree_digest  # noqa: E402
from unified_diff import PatchError, apply_patch  # noqa: E402

HEADER = "#define NNG_MAJOR_VERSION 1\n#define NNG_MINOR_VERSION 5\n#define NNG_PATCH_VERSION 2\n"
FILES = {"LICENSE.txt": "MIT\n", "include/nng/nng.h": HEADER, "src/core/aio.c": "one\ntwo\nthree\nfour\nfive\n"}

Respond = Callable[[BaseHTTPRequestHandler], None]


def make_archive(files: dict[str, str], top: str = "nng-1.5.2", extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    """A .tar.gz with these files below a top folder, and these members as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
        for member in extra:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return out.getvalue()


GOOD = make_archive(FILES)
GOOD_SHA256 = hashlib.sha256(GOOD).hexdigest()


class Server:
    """An HTTP server on a free port that answers each path as it was told to, and 404 elsewhere."""

    def __init__(self) -> None:
        self.answers: dict[str, Respond] = {}
        self.requests: list[str] = []
        self.stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                respond = outer.answers.get(self.path)
                if respond:
                    respond(self)
                else:
                    self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = False  # so that closing it waits for those that answer
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def serve(self, path: str, content: bytes, announced: int | None = None) -> str:
        """Answer `path` with `content`, and with a wrong Content-Length if one is given. Returns the address."""

        def respond(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Content-Length", str(len(content) if announced is None else announced))
            request.end_headers()
            request.wfile.write(content)

        self.answers[path] = respond
        return self.address + path

    def close(self) -> None:
        self.stopping.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    yield running
    running.close()


class World:
    """A folder for source trees, an apt configuration, and the lines that the build would print."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "nng_src"
        self.apt = folder / "apt"
        self.lines: list[str] = []
        self.root.mkdir()
        self.apt.mkdir()

    def debian(self, *addresses: str) -> None:
        text = "".join(f"deb {address} bookworm main\n" for address in addresses)
        (self.apt / "sources.list").write_text(text)

    def finder(self, *pins: Pin) -> Finder:
        return Finder(self.root, self.apt, {"nng": pins}, timeout=5, log=self.lines.append)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def pin(version: str = "1.5.2", sha256: str = GOOD_SHA256, upstream: str = "", lacks: str = "") -> Pin:
    return Pin("nng", version, sha256, f"pool/nng_{version}.tar.gz", upstream, lacks)


def unreachable() -> str:
    """An address on which nothing listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}/nng.tar.gz"


def is_whole(tree: Tree) -> bool:
    return all((tree.path / name).read_text() == text for name, text in FILES.items())


def check_moves_on(world: World, server: Server, upstream: str, sha256: str, expected: str) -> None:
    """The source at `upstream` fails with one line that says `expected`, and the next release is built."""
    server.serve("/debian/pool/nng_1.5.2.tar.gz", GOOD)
    world.debian(server.address + "/debian")
    server.serve("/debian/pool/nng_9.tar.gz", b"")  # so that the failing release has no second chance
    finder = world.finder(pin("9", sha256, upstream), pin())
    finder.timeout = 2  # the source that answers has to do so within it, on a busy machine too
    tree = finder.find("nng")
    assert tree.version == "1.5.2"
    assert is_whole(tree)
    failures = [line for line in world.lines if upstream in line]
    assert len(failures) == 1
    assert expected in failures[0]
    assert failures[0].endswith("; trying the next source")
    assert "\n" not in failures[0]
    assert len(world.lines) == 3  # upstream, Debian's empty file, and the one that is right
    assert sorted(path.name for path in world.root.iterdir()) == ["nng-1.5.2"]


def test_the_upstream_archive_is_preferred(world: World, server: Server) -> None:
    """The first source that works is unpacked, and no other is asked."""
    upstream = server.serve("/upstream.tar.gz", GOOD)
    world.debian(server.address + "/debian")
    tree = world.finder(pin(upstream=upstream)).find("nng")
    assert (tree.version, tree.origin) == ("1.5.2", "upstream release")
    assert is_whole(tree)
    assert server.requests == ["/upstream.tar.gz"]
    assert len(world.lines) == 1


def test_a_wrong_checksum_moves_on_to_the_next_source(world: World, server: Server) -> None:
    """An archive that isn't the pinned one is refused, however well it unpacks."""
    upstream = server.serve("/upstream.tar.gz", GOOD)
    check_moves_on(world, server, upstream, "0" * 64, "wrong SHA-256")


def test_an_unreachable_host_moves_on_to_the_next_source(world: World, server: Server) -> None:
    """A refused connection is one line."""
    check_moves_on(world, server, unreachable(), GOOD_SHA256, "Connection refused")


def test_a_missing_file_moves_on_to_the_next_source(world: World, server: Server) -> None:
    """A 404, which is what a Debian archive says of a replaced version, is one line."""
    check_moves_on(world, server, server.address + "/gone.tar.gz", GOOD_SHA256, "404")


def test_a_truncated_download_moves_on_to_the_next_source(world: World, server: Server) -> None:
    """A connection that ends before the announced length is one line that says how much arrived."""
    upstream = server.serve("/upstream.tar.gz", GOOD[:100], announced=len(GOOD))
    check_moves_on(world, server, upstream, GOOD_SHA256, f"stopped at 100 of {len(GOOD)} bytes")


def test_a_truncated_download_of_unknown_length_moves_on_to_the_next_source(world: World, server: Server) -> None:
    """A server that announces no length and ends too early is found out by the checksum."""

    def stop_early(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(GOOD[:100])

    server.answers["/upstream.tar.gz"] = stop_early
    check_moves_on(world, server, server.address + "/upstream.tar.gz", GOOD_SHA256, "wrong SHA-256")


@pytest.mark.parametrize(
    ("failure", "expected"),
    [("wrong", "wrong SHA-256"), ("unreachable", "Connection refused"), ("truncated", f"stopped at 100 of {len(GOOD)} bytes")],
)
def test_a_debian_archive_that_fails_leads_to_the_next_one(world: World, server: Server, failure: str, expected: str) -> None:
    """Of two archives in the apt configuration the second gives the same release, and the first costs one line."""
    server.serve("/wrong/pool/nng_1.5.2.tar.gz", make_archive({"evil.c": ""}))
    server.serve("/truncated/pool/nng_1.5.2.tar.gz", GOOD[:100], announced=len(GOOD))
    server.serve("/good/pool/nng_1.5.2.tar.gz", GOOD)
    first = unreachable() if failure == "unreachable" else f"{server.address}/{failure}"
    world.debian(first, f"{server.address}/good")
    tree = world.finder(pin(), pin("1", "0" * 64, f"{server.address}/never")).find("nng")
    assert (tree.version, tree.origin) == ("1.5.2", "Debian source")
    assert is_whole(tree)
    assert expected in world.lines[0]
    assert world.lines[0].endswith("; trying the next source")
    assert len(world.lines) == 2
    assert "/never" not in server.requests


def test_a_slow_server_moves_on_to_the_next_source(world: World, server: Server) -> None:
    """A server that accepts and then says nothing is given up after the time limit."""

    def say_nothing(_request: BaseHTTPRequestHandler) -> None:
        server.stopping.wait(60)

    server.answers["/upstream.tar.gz"] = say_nothing
    check_moves_on(world, server, server.address + "/upstream.tar.gz", GOOD_SHA256, "timed out")


def test_a_server_that_stalls_midway_moves_on_to_the_next_source(world: World, server: Server) -> None:
    """The time limit holds for each read, not only for the first."""

    def stall(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(GOOD[:100])
        server.stopping.wait(60)

    server.answers["/upstream.tar.gz"] = stall
    check_moves_on(world, server, server.address + "/upstream.tar.gz", GOOD_SHA256, "timed out")


@pytest.mark.parametrize(
    "content",
    [GOOD[: len(GOOD) // 2], GOOD[:-20] + b"\0" * 20, b"<html>please log in</html>", b""],
    ids=["truncated", "corrupt", "web page", "empty"],
)
def test_a_damaged_archive_moves_on_to_the_next_source(world: World, server: Server, content: bytes) -> None:
    """Even with the right checksum, what isn't a whole archive is not built."""
    upstream = server.serve("/upstream.tar.gz", content)
    sha256 = hashlib.sha256(content).hexdigest()
    check_moves_on(world, server, upstream, sha256, "is not a whole tar archive")


@pytest.mark.parametrize("name", ["nng-1.5.2/../../evil", "/evil", "../evil"])
def test_an_archive_that_leads_outside_moves_on_to_the_next_source(world: World, server: Server, name: str) -> None:
    """A member with an absolute path or .. makes the archive refused, and nothing is written outside."""
    content = make_archive(FILES, extra=(tarfile.TarInfo(name),))
    upstream = server.serve("/upstream.tar.gz", content)
    sha256 = hashlib.sha256(content).hexdigest()
    check_moves_on(world, server, upstream, sha256, "leads outside")
    assert not list(world.root.parent.glob("**/evil"))


def test_links_in_an_archive_are_never_made(tmp_path: Path) -> None:
    """A file "below" a link lands in a folder of the tree, because there is no link."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    link = tarfile.TarInfo("top/link")
    link.type, link.linkname = tarfile.SYMTYPE, str(outside)
    below = tarfile.TarInfo("top/link/file")
    below.size = 3
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(make_archive({}, extra=(link, below)))
    assert unpack(archive, inside) == "top"
    assert list(outside.iterdir()) == []
    assert not (inside / "link").is_symlink()
    assert (inside / "link" / "file").read_bytes() == b"xxx"


def test_omitted_folders_are_not_unpacked(tmp_path: Path) -> None:
    """A pattern leaves out what it names and all below, and * stays within one folder."""
    files = {"tests/a.c": "", "docs/man/CMakeLists.txt": "", "docs/man/x.adoc": "", "docs/y.adoc": "", "src/tests/b.c": ""}
    archive, target = tmp_path / "a.tar.gz", tmp_path / "tree"
    archive.write_bytes(make_archive(files))
    target.mkdir()
    unpack(archive, target, ["tests", "docs/*/*.adoc"])
    left = sorted(str(path.relative_to(target)) for path in target.rglob("*") if path.is_file())
    assert left == ["docs/man/CMakeLists.txt", "docs/y.adoc", "src/tests/b.c"]


def test_an_archive_with_two_top_folders_is_refused(tmp_path: Path) -> None:
    """Without one top folder there is no telling what to strip."""
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(make_archive(FILES, extra=(tarfile.TarInfo("other/file"),)))
    (tmp_path / "tree").mkdir()
    with pytest.raises(ArchiveError, match="two top folders"):
        unpack(archive, tmp_path / "tree")


def test_without_any_source_the_error_names_three_remedies(world: World, server: Server) -> None:
    """When all fail, the error says how to give a tarball, a system library or a network."""
    world.debian(server.address)
    with pytest.raises(SourceError) as caught:
        world.finder(pin("9", upstream=unreachable()), pin()).find("nng")
    text = str(caught.value)
    assert "NNGIO_NNG_SOURCE=" in text
    assert "NNGIO_SYSTEM_NNG=1" in text
    assert "network" in text
    assert len(world.lines) == 3
    assert list(world.root.iterdir()) == []


@pytest.mark.parametrize("name", ["nng", "mbedtls"])
def test_a_build_without_any_source_ends_with_three_remedies(tmp_path: Path, server: Server, name: str) -> None:
    """setup.py's last words: a line for each source that it has tried, and then a tarball, a system library or a network."""
    if not (NNG_SRC.parent / "setup.py").exists():
        pytest.skip("needs a checkout or an sdist")
    tree, apt = tmp_path / "tree", tmp_path / "apt"
    apt.mkdir()
    (tree / "nng_src").mkdir(parents=True)
    for file in (NNG_SRC.parent / "setup.py", NNG_SRC.parent / "build_ffi.py"):
        shutil.copy(file, tree)
    for file in NNG_SRC.glob("*.py"):
        shutil.copy(file, tree / "nng_src")
    if name == "mbedtls":
        given = tmp_path / "nng-1.5.2"
        (given / "include/nng").mkdir(parents=True)
        (given / "include/nng/nng.h").write_text(HEADER)
    upstream = server.serve("/upstream.tar.gz", GOOD)
    server.serve("/debian/stopped", GOOD[:100], announced=len(GOOD))
    (apt / "sources.list").write_text(f"deb {unreachable().rpartition('/')[0]}/debian sid main\ndeb {server.address}/debian sid main\n")
    (tree / "nng_src" / "sources.toml").write_text(
        f'[[{name}]]\nversion = "9"\nsha256 = "{"0" * 64}"\nupstream = "{upstream}"\ndebian = "stopped"\n'
    )
    environ = {key: value for key, value in os.environ.items() if not key.startswith("NNGIO_")} | {"NNGIO_APT_DIR": str(apt)}
    if name == "mbedtls":
        environ["NNGIO_NNG_SOURCE"] = str(given)
    command = [sys.executable, "setup.py", "--version"]
    done = subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    tried = [line for line in lines if line.endswith("; trying the next source")]
    assert len(tried) == 3
    for line, reason in zip(tried, ("wrong SHA-256", "Connection refused", f"stopped at 100 of {len(GOOD)}"), strict=True):
        assert reason in line
    remedies = [line for line in lines[lines.index(tried[-1]) :] if line.startswith("  - ")]
    assert len(remedies) == 3
    for remedy, word in zip(remedies, (f"NNGIO_{name.upper()}_SOURCE=", "NNGIO_SYSTEM_NNG=1", "network"), strict=True):
        assert word in remedy


def test_offline_asks_nobody(world: World, server: Server) -> None:
    """With NNGIO_OFFLINE=1 no request is made, and a tree that is here is used."""
    upstream = server.serve("/upstream.tar.gz", GOOD)
    finder = world.finder(pin(upstream=upstream))
    finder.offline = True
    with pytest.raises(SourceError):
        finder.find("nng")
    assert server.requests == []
    finder.offline = False
    finder.find("nng")
    finder.offline = True
    assert is_whole(finder.find("nng"))
    assert len(server.requests) == 1


def test_an_unpacked_tree_is_used_without_a_download(world: World, server: Server) -> None:
    """A whole tree of a later choice is preferred to a download of an earlier one."""
    upstream = server.serve("/upstream.tar.gz", GOOD)
    world.finder(pin(upstream=upstream)).find("nng")
    tree = world.finder(pin("9", "0" * 64, server.address + "/nine"), pin(upstream=upstream)).find("nng")
    assert (tree.version, tree.origin) == ("1.5.2", "upstream release")
    assert server.requests == ["/upstream.tar.gz"]


@pytest.mark.parametrize("stamp", [None, "", "{}", '{"sha256": "00", "origin": "somewhere"}'])
def test_a_half_unpacked_tree_is_not_used(world: World, server: Server, stamp: str | None) -> None:
    """A folder of the right name without the right stamp is replaced by a whole tree."""
    half = world.root / "nng-1.5.2"
    half.mkdir()
    (half / "LICENSE.txt").write_text("half\n")
    (half / "left-over").write_text("")
    if stamp is not None:
        (half / STAMP).write_text(stamp)
    tree = world.finder(pin(upstream=server.serve("/upstream.tar.gz", GOOD))).find("nng")
    assert is_whole(tree)
    assert not (tree.path / "left-over").exists()
    assert "not a whole tree" in world.lines[0]


def test_a_fallback_prints_what_it_lacks(world: World, server: Server) -> None:
    """Building an older release says so, with what is missing and how to give a newer one."""
    upstream = server.serve("/upstream.tar.gz", GOOD)
    world.finder(pin("9", upstream=unreachable()), pin(upstream=upstream, lacks="wings")).find("nng")
    warning = world.lines[-1]
    assert "WARNING" in warning
    assert "lacks wings" in warning
    assert "NNGIO_NNG_SOURCE" in warning
    assert "NNGIO_SYSTEM_NNG=1" in warning


def test_every_pinned_source_is_complete() -> None:
    """sources.toml has a checksum and a place for each release, and a newest one that is no fallback."""
    pins = load_pins()
    assert [p.version for p in pins["nng"]] == ["1.12.4", "1.5.2"]
    assert [p.version for p in pins["mbedtls"]] == ["3.6.7", "3.6.6", "2.28.3"]
    for table in pins.values():
        assert not table[0].lacks
        for entry in table:
            assert len(bytes.fromhex(entry.sha256)) == 32
            assert entry.debian.startswith("pool/main/")
            assert entry.version in entry.debian


ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] http://one.example/debian/ bookworm main contrib # comment
deb-src https://two.example/debian sid main
deb http://security.example/debian-security bookworm-security main
deb http://vendor.example/apt vendor main
deb cdrom:[Debian]/ bookworm main
deb http://flat.example/debian ./
deb http://one.example/debian bookworm-updates main
"""

DEB822 = """
# a comment
Types: deb deb-src
URIs: http://three.example/debian
# another, within the stanza
  https://four.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBFit
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: mirror+file:{mirrors}
Suites: trixie-backports
Components: main
"""


def test_debian_archives_are_read_from_the_one_line_format(tmp_path: Path) -> None:
    """Options, comments, other vendors, security archives and non-HTTP addresses are told apart."""
    (tmp_path / "sources.list").write_text(ONE_LINE)
    assert debian_archives(tmp_path) == ["http://one.example/debian", "https://two.example/debian"]


def test_debian_archives_are_read_from_the_deb822_format(tmp_path: Path) -> None:
    """Continuation lines, comments, disabled stanzas and local mirror lists are understood."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "mirrors").write_text("https://five.example/debian/\tpriority:1\n")
    (parts / "debian.sources").write_text(DEB822.format(mirrors=tmp_path / "mirrors"))
    (parts / "old.list").write_text("deb http://six.example/debian stable main\n")
    (parts / "notes.txt").write_text("deb http://ignored.example/debian stable main\n")
    assert debian_archives(tmp_path) == [
        "http://six.example/debian",
        "http://three.example/debian",
        "https://four.example/debian",
        "https://five.example/debian",
    ]


def test_a_machine_without_apt_has_no_debian_archive(tmp_path: Path) -> None:
    """A missing configuration is no error."""
    assert debian_archives(tmp_path / "none") == []


PATCH = """\
Subject: why

--- a/src/core/aio.c
+++ b/src/core/aio.c
@@ -1,3 +1,4 @@
 one
-two
+zwei
+zweieinhalb
 three
@@ -5 +6 @@
-five
+funf
--- /dev/null
+++ b/src/core/new.c
@@ -0,0 +1 @@
+new
\\ No newline at end of file
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    path = tmp_path / "nng-1.5.2"
    for name, text in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return Tree("nng", "1.5.2", path, "Debian source")


@pytest.fixture
def patches(tmp_path: Path) -> Path:
    folder = tmp_path / "patches"
    folder.mkdir()
    return folder


def test_patches_are_applied_to_a_copy(tree: Tree, patches: Path, tmp_path: Path) -> None:
    """The copy has every patch of its release, in the order of their names, and the tree is as it was."""
    before = tree_digest(tree.path)
    (patches / "nng-1.5.2-a.patch").write_text(PATCH)
    second = PATCH.replace("two", "zweieinhalb").split("@@ -5")[0].replace("one\n-", "zwei\n-").replace("-1,3 +1,4", "-2,3 +2,4")
    (patches / "nng-1.5.2-b.patch").write_text(second)
    (patches / "nng-1.12.4-other.patch").write_text("not for this one")
    result = patched(tree, tmp_path / "build", patches)
    assert result.origin == "Debian source + 2 patches"
    assert (result.path / "src/core/aio.c").read_text() == "one\nzwei\nzwei\nzweieinhalb\nthree\nfour\nfunf\n"
    assert (result.path / "src/core/new.c").read_text() == "new"
    assert tree_digest(tree.path) == before


def test_a_patched_copy_is_made_once_for_each_set_of_patches(tree: Tree, patches: Path, tmp_path: Path) -> None:
    """The same patches give the same copy, a changed patch another."""
    patch = patches / "nng-1.5.2-a.patch"
    patch.write_text(PATCH)
    first = patched(tree, tmp_path / "build", patches)
    made = first.path.stat().st_mtime_ns
    assert patched(tree, tmp_path / "build", patches).path.stat().st_mtime_ns == made
    patch.write_text(PATCH.replace("zwei", "deux"))
    assert patched(tree, tmp_path / "build", patches).path != first.path


def test_a_tree_without_patches_is_built_in_place(tree: Tree, patches: Path, tmp_path: Path) -> None:
    """No copy is made for a release that needs none."""
    assert patched(tree, tmp_path / "build", patches) is tree


def test_a_patch_that_does_not_fit_stops_the_build(tree: Tree, patches: Path, tmp_path: Path) -> None:
    """The error names the patch, the file, the line and what to do, and no half-patched copy is left."""
    (patches / "nng-1.5.2-a.patch").write_text(PATCH)
    (patches / "nng-1.5.2-b.patch").write_text(PATCH)
    with pytest.raises(SourceError, match=r"nng-1\.5\.2-b\.patch: src/core/aio\.c: line 1: .* remove ") as caught:
        patched(tree, tmp_path / "build", patches)
    assert "give the release itself" in str(caught.value)
    assert list((tmp_path / "build" / "patched").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda text: text.replace(" one", " One"), "line 1: the tree differs"),
        (lambda text: text.replace("-1,3 +1,4", "-2,3 +2,4"), "line 2: the tree differs"),
        (lambda text: text.replace("-1,3 +1,4", "-1,9 +1,9"), "shorter than its header"),
        (lambda text: text.replace("-1,3 +1,4", "-1,1 +1,4"), "longer than its header"),
        (lambda text: text.replace("a/src/core/aio.c", "a/src/core/none.c"), "no such file"),
        (lambda text: text.replace("b/src/core/new.c", "b/src/core/aio.c"), "it exists"),
        (lambda text: text.replace("b/src/core/aio.c", "b/../aio.c"), "a path must be like"),
        (lambda text: "rename from a\nrename to b\n" + text, "only changes of text"),
        (lambda _text: "nothing here\n", "holds no change"),
        (lambda text: text[text.index("@@") :], "before any file name"),
    ],
)
def test_a_patch_is_applied_exactly_or_refused(tree: Tree, patches: Path, change: Callable[[str], str], complaint: str) -> None:
    """There is no fuzz and no offset, and what isn't understood is an error."""
    patch = patches / "nng-1.5.2-a.patch"
    patch.write_text(change(PATCH))
    with pytest.raises(PatchError, match=complaint):
        apply_patch(patch, tree.path)


def test_a_patch_can_delete_a_file(tree: Tree, patches: Path) -> None:
    """+++ /dev/null removes the file, if its content is the expected one."""
    patch = patches / "p.patch"
    patch.write_text("--- a/LICENSE.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-MIT\n")
    apply_patch(patch, tree.path)
    assert not (tree.path / "LICENSE.txt").exists()


@pytest.mark.skipif(not shutil.which("git"), reason="needs git, to make a patch as an author would")
def test_a_patch_that_git_has_made_is_understood(tree: Tree, tmp_path: Path) -> None:
    """`git diff --no-index` writes what is applied."""
    changed = tmp_path / "changed"
    shutil.copytree(tree.path, changed)
    (changed / "src/core/aio.c").write_text("zero\none\ntwo\nthree\nfour\n")
    (changed / "src/core/more.c").write_text("more\n")
    command = ["git", "diff", "--no-index", "--no-prefix", tree.path.name, changed.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    patch = tmp_path / "p.patch"
    patch.write_text(done.stdout)
    apply_patch(patch, tree.path)
    assert tree_digest(tree.path) == tree_digest(changed)


@pytest.mark.parametrize("name", ["nng-1.12.0", "v1.12.0", "NNG-1.12.0"])
def test_a_given_folder_is_built_as_it_is(tmp_path: Path, name: str) -> None:
    """The version comes from the folder's name, because some releases' headers name another."""
    path = tmp_path / name
    (path / "include/nng").mkdir(parents=True)
    (path / "include/nng/nng.h").write_text(HEADER)
    assert given_tree("nng", path, tmp_path / "build") == Tree("nng", "1.12.0", path, "given source")


def test_a_given_tarball_is_unpacked_in_the_build_folder(tmp_path: Path) -> None:
    """A tarball is unpacked once, below the build folder, whatever it is called."""
    tarball = tmp_path / "download"
    tarball.write_bytes(GOOD)
    first = given_tree("nng", tarball, tmp_path / "build")
    assert first.version == "1.5.2"
    assert first.path.is_relative_to(tmp_path / "build")
    assert is_whole(first)
    made = first.path.stat().st_mtime_ns
    assert given_tree("nng", tarball, tmp_path / "build").path.stat().st_mtime_ns == made


def test_a_given_source_that_is_not_usable_stops_the_build(tmp_path: Path) -> None:
    """A wrong path, a damaged tarball, another project or another major version is an error with its fix."""
    (tmp_path / "damaged").write_bytes(GOOD[:100])
    (tmp_path / "other").mkdir()
    two = tmp_path / "two" / "include" / "nng"
    two.mkdir(parents=True)
    (two / "nng.h").write_text(HEADER.replace("MAJOR_VERSION 1", "MAJOR_VERSION 2"))
    four = tmp_path / "four" / "include" / "mbedtls"
    four.mkdir(parents=True)
    (four / "build_info.h").write_text("#define MBEDTLS_VERSION_MAJOR 4\n")
    for name, path, complaint in [
        ("nng", "none", "no such file or folder; give NNG's source, or unset it"),
        ("nng", "damaged", "not a whole tar archive .*; give a folder"),
        ("nng", "other", "this is not NNG's source; give its folder"),
        ("nng", "two", "needs 1.x"),
        ("mbedtls", "four", "needs 2.x or 3.x"),
    ]:
        with pytest.raises(SourceError, match=f"NNGIO_{name.upper()}_SOURCE=.*{complaint}"):
            given_tree(name, tmp_path / path, tmp_path / "build")


def test_licences_are_copied_beside_ours(tree: Tree, tmp_path: Path) -> None:
    """The licence of each library built is put beside ours, and taken away with the library."""
    copy_licences([tree], tmp_path)
    assert (tmp_path / "LICENSE.nng.txt").read_text() == "MIT\n"
    copy_licences([], tmp_path)
    assert not (tmp_path / "LICENSE.nng.txt").exists()


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs fetch.py in a folder without trees, with an apt configuration that names nothing."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in (*NNG_SRC.glob("*.py"), NNG_SRC / "sources.toml"):
        shutil.copy(file, folder)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environ = os.environ | {"NNGIO_OFFLINE": "1", "NNGIO_APT_DIR": str(tmp_path / "none")}
        line = [sys.executable, "-W", "error", str(folder / "fetch.py"), *arguments]
        return subprocess.run(line, env=environ, capture_output=True, text=True, check=False)

    return run


def test_the_command_lists_what_is_pinned(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """--list prints each release with its checksum, whether it is unpacked, and where it may come from."""
    done = command("--list")
    assert done.returncode == 0
    for entries in load_pins().values():
        for entry in entries:
            assert f"{entry.name} {entry.version}  SHA-256 {entry.sha256}  not unpacked" in done.stdout
            assert entry.upstream in done.stdout


def test_the_command_explains_itself(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """--help names the environment variables."""
    done = command("--help")
    assert done.returncode == 0
    assert "NNGIO_OFFLINE" in done.stdout


def test_the_command_fails_with_the_remedies(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Without a source the command exits with 1, one line per release, and what helps."""
    done = command("nng")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "NNGIO_NNG_SOURCE=" in done.stderr
    assert len([line for line in done.stderr.splitlines() if "not fetched" in line]) == 2
