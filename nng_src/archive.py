"""Unpack a source archive so that nothing in it can land outside the folder it is unpacked to.

Only folders and regular files are ever created. Links and devices are skipped: no source that we compile
needs one, and without links a path can't be led outside. A member whose name is absolute or climbs with ".."
makes the whole archive suspect, so it is refused instead of skipped.
"""

from __future__ import annotations

import fnmatch
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

# NNG unpacks to 6 MB and mbedTLS to 40 MB: far more than that is not one of them.
MAX_UNPACKED = 400 * 1024 * 1024


class ArchiveError(Exception):
    """The archive is damaged, or its content is not to be trusted."""


def unpack(archive: Path, into: Path, omit: Sequence[str] = ()) -> str:
    """Unpack `archive` into the existing folder `into` without its top folder, and return that folder's name.

    `omit` are patterns of paths below the top folder; a matching file or folder is left out.
    Raises ArchiveError for anything but a whole, harmless archive; `into` may then hold a part of it.
    """
    top = ""
    total = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                parts = _parts(member.name)
                if not parts:
                    continue
                if top and parts[0] != top:
                    raise ArchiveError(f"has two top folders, {top!r} and {parts[0]!r}")
                top = parts[0]
                if len(parts) == 1 or _matches(parts[1:], omit):
                    continue
                target = into.joinpath(*parts[1:])
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                elif member.isfile():
                    total += member.size
                    if total > MAX_UNPACKED:
                        raise ArchiveError(f"holds more than {MAX_UNPACKED} bytes")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _write(tar, member, target)
            # tarfile stops at tar's own end mark, before the compression's checksum.
            assert tar.fileobj is not None
            while tar.fileobj.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ArchiveError(f"is not a whole tar archive ({error})") from error
    except OSError as error:
        # gzip and bz2 report damaged data as an OSError without a number; a full disk has one and is not the
        # archive's fault.
        if error.errno is not None:
            raise
        raise ArchiveError(f"is not a whole tar archive ({error})") from error
    if not any(into.iterdir()):
        raise ArchiveError("holds no files")
    return top


def _parts(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise ArchiveError(f"holds a path that leads outside, {name!r}")
    return path.parts


def _matches(parts: tuple[str, ...], omit: Sequence[str]) -> bool:
    """Whether a pattern matches the path or one of the folders that it is in; `*` doesn't match a slash."""
    for pattern in omit:
        wanted = pattern.split("/")
        if len(wanted) <= len(parts) and all(map(fnmatch.fnmatchcase, parts, wanted)):
            return True
    return False


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None  # a regular file always has content
    with content, target.open("wb") as out:
        shutil.copyfileobj(content, out)
    if target.stat().st_size != member.size:
        raise ArchiveError(f"ends in the middle of {member.name!r}")
    target.chmod(0o755 if member.mode & 0o100 else 0o644)
