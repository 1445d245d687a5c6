"""Source trees for a build: the one that the user gives, the one that is found, and their patched copies.

A tree is never changed in place. One that has patches is copied into the build folder and patched there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from archive import ArchiveError, unpack
from fetch import HERE, STAMP, TITLES, SourceError, Tree
from unified_diff import PatchError, apply_patch

# A file that only the right kind of tree has, the macros in it that hold the version, and the major versions
# that fit.
HEADERS = {
    "nng": ("include/nng/nng.h", r"NNG_(?:MAJOR|MINOR|PATCH)_VERSION\s+(\d+)", range(1, 2)),
    "mbedtls": ("include/mbedtls/{}.h", r"MBEDTLS_VERSION_(?:MAJOR|MINOR|PATCH)\s+(\d+)", range(2, 4)),
}
LICENCES = {"nng": "LICENSE.txt", "mbedtls": "LICENSE"}


def given_tree(name: str, path: Path, build: Path) -> Tree:
    """The tree in the folder or tarball `path`, which the user has named in the environment."""
    variable = f"NNGIO_{name.upper()}_SOURCE"
    if path.is_dir():
        tree = Tree(name, _named_version(name, path.resolve().name), path.resolve(), "given source")
    elif path.is_file():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        target = build / "given" / f"{name}-{digest[:12]}"
        try:
            top = _unpack_given(path, target)
        except ArchiveError as error:
            raise SourceError(f"{variable}={path}: {error}; give a folder, or a whole .tar.gz, .tar.bz2 or .tar.xz") from error
        tree = Tree(name, _named_version(name, top), target, "given source")
    else:
        raise SourceError(f"{variable}={path}: there is no such file or folder; give {TITLES[name]}'s source, or unset it")
    version = _header_version(tree)
    if version is None:
        raise SourceError(f"{variable}={path}: this is not {TITLES[name]}'s source; give its folder, with include/ in it")
    majors = HEADERS[name][2]
    if int(version.split(".")[0]) not in majors:
        wanted = " or ".join(f"{major}.x" for major in majors)
        raise SourceError(f"{variable}={path}: this is {TITLES[name]} {version}; nngio needs {wanted}")
    return tree


def patched(tree: Tree, build: Path, patches: Path = HERE / "patches") -> Tree:
    """A copy of the tree with its release's patches, `<name>-<version>-*.patch`; without any, the tree."""
    version = tree.version or _header_version(tree) or ""
    files = sorted(patches.glob(f"{tree.name}-{version}-*.patch"))
    if not files:
        return tree
    digest = hashlib.sha256(tree_digest(tree.path).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    count = f"{len(files)} patch" + ("es" if len(files) > 1 else "")
    # The name is the stamp: a copy gets it only when the last patch is in.
    target = build / "patched" / f"{tree.name}-{version}-{digest.hexdigest()[:12]}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".patch-", dir=target.parent) as work:
            copy = Path(work, "tree")
            shutil.copytree(tree.path, copy, ignore=shutil.ignore_patterns(".git"))
            for file in files:
                try:
                    apply_patch(file, copy)
                except PatchError as error:
                    raise SourceError(
                        f"{TITLES[tree.name]} {version}: {error}. The patch was written for another source: "
                        f"give the release itself, or correct or remove {file}"
                    ) from error
            copy.rename(target)
    about = tuple(file.stem.removeprefix(f"{tree.name}-{version}-") for file in files)
    return Tree(tree.name, tree.version, target, f"{tree.origin} + {count}", about)


def tree_digest(path: Path) -> str:
    """A digest of a tree's file names and contents, without hidden files, build folders and our stamp."""
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "build")))
        for name in sorted(files):
            file = Path(folder, name)
            if name != STAMP and not name.startswith(".") and file.is_file():
                content = file.read_bytes()
                digest.update(f"{file.relative_to(path).as_posix()}\0{len(content)}\0".encode())
                digest.update(content)
    return digest.hexdigest()


def copy_licences(trees: Sequence[Tree], root: Path) -> None:
    """Put the licence of each tree into `root` as LICENSE.<name>.txt, and remove those of other libraries."""
    texts = {tree.name: (tree.path / LICENCES[tree.name]).read_bytes() for tree in trees}
    for name in LICENCES:
        target = root / f"LICENSE.{name}.txt"
        if name not in texts:
            target.unlink(missing_ok=True)
        elif not target.exists() or target.read_bytes() != texts[name]:
            target.write_bytes(texts[name])


def _unpack_given(path: Path, target: Path) -> str:
    """Unpack unless it was unpacked before. Returns the name of the archive's top folder."""
    note = target / STAMP
    if note.exists():
        return note.read_text(encoding="utf-8").strip()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".given-", dir=target.parent) as work:
        tree = Path(work, "tree")
        tree.mkdir()
        top = unpack(path, tree)
        (tree / STAMP).write_text(top + "\n", encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        tree.rename(target)
    return top


def _named_version(name: str, text: str) -> str:
    """The version in a name such as nng-1.12.0 or v1.5.2; in some releases the headers name another."""
    match = re.fullmatch(rf"(?:{name}-|v|.*-)?v?(\d+\.\d+(?:\.\d+)?)", text, re.IGNORECASE)
    return match[1] if match else ""


def _header_version(tree: Tree) -> str | None:
    """The version that the headers claim, or None if this isn't a tree of its kind."""
    pattern, macros, _majors = HEADERS[tree.name]
    for stem in ("build_info", "version"):  # mbedTLS moved its version to build_info.h in 3.0
        header = tree.path / pattern.format(stem)
        if header.is_file():
            numbers: list[str] = re.findall(macros, header.read_text(encoding="utf-8", errors="replace"))
            if numbers:
                return ".".join(numbers[:3])
    return None
