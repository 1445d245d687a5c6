"""Find the Debian archives that this machine uses, from its own apt configuration.

Both formats are read: one entry per line (sources.list, sources.list.d/*.list) and deb822
(sources.list.d/*.sources).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

# Third-party archives use the same formats. Debian's own is told by its suites, which no mirror can rename.
SUITES = frozenset(
    [
        *("oldoldstable", "oldstable", "stable", "testing", "unstable", "sid", "experimental"),
        *("buster", "bullseye", "bookworm", "trixie", "forky", "duke"),
    ]
)

# The security archive has another layout of its pool, and nothing that the main one lacks.
SKIPPED_SUITE = re.compile(r"-security$|/updates$")


def debian_archives(apt_dir: Path) -> list[str]:
    """The http(s) addresses of Debian archives in the apt configuration `apt_dir`, without a final slash."""
    found: list[str] = []
    for uri, suite in _entries(apt_dir):
        if SKIPPED_SUITE.search(suite) or suite.split("-")[0] not in SUITES:
            continue
        for base in _addresses(uri):
            if base not in found:
                found.append(base)
    return found


def _entries(apt_dir: Path) -> Iterator[tuple[str, str]]:
    """Every (URI, suite) pair that is switched on."""
    parts = apt_dir / "sources.list.d"
    files = [apt_dir / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    for file in files:
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        yield from _deb822(text) if file.suffix == ".sources" else _one_line(text)


def _one_line(text: str) -> Iterator[tuple[str, str]]:
    """Lines such as `deb [arch=amd64 signed-by=/a.gpg] http://host/debian bookworm main`."""
    for line in text.splitlines():
        match = re.match(r"\s*deb(?:-src)?\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+[^#\s]", line)
        if match:
            yield match[1], match[2]


def _deb822(text: str) -> Iterator[tuple[str, str]]:
    """Stanzas of `Field: value`, where a line that starts with a space goes on and # starts a comment."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n[ \t]*\n", "\n".join(lines)):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                fields.setdefault(name, []).extend(line.split())
            elif ":" in line:
                name, value = line.split(":", 1)
                name = name.strip().lower()
                fields[name] = value.split()
        if fields.get("enabled", ["yes"])[:1] in (["no"], ["false"], ["0"]):
            continue
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                yield uri, suite


def _addresses(uri: str) -> Iterator[str]:
    """The http(s) addresses behind a URI: itself, or those in a local mirror list, as cloud images have."""
    if uri.startswith("mirror+file:"):
        try:
            text = Path(uri.removeprefix("mirror+file:")).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        for line in text.splitlines():
            words = line.split()
            if words and words[0].startswith(("http://", "https://")):
                yield words[0].rstrip("/")
    elif uri.startswith(("http://", "https://")):
        yield uri.rstrip("/")
