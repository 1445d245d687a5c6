"""Apply unified diffs to a tree, strictly: every line of context must be exactly where the patch has it.

This stands in for `patch -p1 --fuzz=0`, because a machine with a C compiler needn't have `patch`. A patch
that only nearly fits was written for another source, and guessing in C is worse than stopping.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


class PatchError(Exception):
    """The patch is malformed, or doesn't fit the tree."""


@dataclass
class _Hunk:
    start: int  # where the old lines start, counted from 0
    old: list[bytes] = field(default_factory=list)
    new: list[bytes] = field(default_factory=list)


@dataclass
class _FileDiff:
    old: str  # path below the tree, "" for a file that the patch creates
    new: str  # path below the tree, "" for a file that the patch deletes
    hunks: list[_Hunk] = field(default_factory=list)


def apply_patch(patch: Path, tree: Path) -> None:
    """Apply the diff in `patch` to the files below `tree`, its paths without their first folder.

    Raises PatchError that names the file and line; the tree may then be patched in part, so patch a copy.
    """
    try:
        diffs = _parse(patch.read_bytes())
        for diff in diffs:
            _apply(diff, tree)
    except PatchError as error:
        raise PatchError(f"{patch.name}: {error}") from None


def _parse(text: bytes) -> list[_FileDiff]:
    diffs: list[_FileDiff] = []
    lines = text.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith((b"GIT binary patch", b"Binary files ", b"rename from ", b"copy from ")):
            raise PatchError(f"line {at + 1}: only changes of text are supported: {_show(line)}")
        if line.startswith(b"--- ") and lines[at + 1 : at + 2] and lines[at + 1].startswith(b"+++ "):
            diffs.append(_FileDiff(_path(line), _path(lines[at + 1])))
            at += 2
        elif line.startswith(b"@@ "):
            if not diffs:
                raise PatchError(f"line {at + 1}: a hunk before any file name")
            hunk, at = _parse_hunk(lines, at)
            diffs[-1].hunks.append(hunk)
        else:
            at += 1  # the reason for the patch, or a line of git's
    if not any(diff.hunks for diff in diffs):
        raise PatchError("holds no change")
    return diffs


def _path(line: bytes) -> str:
    name = line[4:].split(b"\t")[0].strip().decode("utf-8")
    if name == "/dev/null":
        return ""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        raise PatchError(f"a path must be like a/src/file.c, not {name!r}")
    return str(PurePosixPath(*path.parts[1:]))


def _parse_hunk(lines: list[bytes], at: int) -> tuple[_Hunk, int]:
    """The hunk whose header is `lines[at]`, and the index of the line behind it."""
    header = HUNK.match(lines[at])
    if header is None:
        raise PatchError(f"line {at + 1}: not a hunk header: {_show(lines[at])}")
    start, old_count, new_count = int(header[1]), int(header[2] or 1), int(header[4] or 1)
    # With no old lines the number is that of the line before the insertion.
    hunk = _Hunk(start if old_count == 0 else start - 1)
    first, at = at, at + 1
    while len(hunk.old) < old_count or len(hunk.new) < new_count:
        line = lines[at] if at < len(lines) else b""
        kind, rest = line[:1], line[1:]
        if kind in (b"\n", b"\r"):  # an editor has stripped the space of an empty context line
            kind, rest = b" ", line
        if kind not in (b" ", b"-", b"+"):
            raise PatchError(f"line {first + 1}: the hunk is shorter than its header says")
        if kind != b"+":
            hunk.old.append(rest)
        if kind != b"-":
            hunk.new.append(rest)
        at += 1
        if lines[at : at + 1] and lines[at].startswith(b"\\"):  # "\ No newline at end of file" is about this line
            for side, used in ((hunk.old, kind != b"+"), (hunk.new, kind != b"-")):
                if used:
                    side[-1] = side[-1].rstrip(b"\r\n")
            at += 1
    if len(hunk.old) != old_count or len(hunk.new) != new_count:
        raise PatchError(f"line {first + 1}: the hunk is longer than its header says")
    return hunk, at


def _apply(diff: _FileDiff, tree: Path) -> None:
    if diff.old:
        target = tree / diff.old
        if not target.is_file():
            raise PatchError(f"{diff.old}: there is no such file in the tree")
        lines = target.read_bytes().splitlines(keepends=True)
    else:
        if (tree / diff.new).exists():
            raise PatchError(f"{diff.new}: the patch creates this file, but it exists")
        lines = []
    result: list[bytes] = []
    done = 0
    for hunk in diff.hunks:
        end = hunk.start + len(hunk.old)
        if hunk.start < done or lines[hunk.start : end] != hunk.old:
            raise PatchError(f"{diff.old or diff.new}: line {hunk.start + 1}: the tree differs from what the patch expects")
        result += lines[done : hunk.start] + hunk.new
        done = end
    result += lines[done:]
    if diff.new:
        target = tree / diff.new
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"".join(result))
    if diff.old and diff.old != diff.new:
        (tree / diff.old).unlink()


def _show(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()
