"""Write the tables of docs/options.md from the classes: `python tools/options.py`. A test checks that they are up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nngio
from nngio._options import HasOptions, Option, either, options_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "options.md"
BEGIN = "<!-- what follows is written by `python tools/options.py` -->"
END = "<!-- end of what is written -->"


def classes(base: type[HasOptions]) -> list[type[HasOptions]]:
    found = [getattr(nngio, name) for name in nngio.__all__]
    return [cls for cls in found if isinstance(cls, type) and issubclass(cls, base) and cls is not base]


def rows(group: Iterable[type[HasOptions]]) -> list[tuple[Option[Any], list[str]]]:
    """The options of the classes, each with the names of those that have it, or one that is the same."""
    seen: dict[tuple[Any, ...], tuple[Option[Any], list[str]]] = {}
    for cls in group:
        for option in options_of(cls).values():
            same = (option.nng, option.attribute, option.default, option.allowed, option.raw, option.transports, option.settable)
            seen.setdefault(same, (option, []))[1].append(cls.__name__)
    return sorted(seen.values(), key=lambda item: (item[0].attribute, item[1]))


def line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def table(group: Iterable[type[HasOptions]], every: tuple[int, str], *, transports: bool) -> list[str]:
    """A table; what all of `every[0]` classes have is said to be of `every[1]`."""
    head = ["option", "of", "type", "unless set", "can be", *(["transports"] if transports else []), "NNG"]
    lines = [line(*head), line(*["---"] * len(head))]
    for option, owners in rows(group):
        of = every[1] if len(owners) == every[0] else ", ".join(owners)
        if option.raw is not None:
            of += " (raw)" if option.raw else " (not raw)"
        allowed = "read only" if option.readonly else option.allowed + (", before the start" if option.early else "")
        cells = [f"`{option.attribute}`", of, option.kind, "" if option.readonly else option.default, allowed]
        if transports:
            where = ", ".join(option.transports) or "all"
            if option.settable != option.transports:
                where += f"; set on {either(option.settable, 'and')}"
            cells.append(where)
        lines.append(line(*cells, f"`{option.nng}`"))
    return lines


def tables() -> str:
    sockets, contexts = classes(nngio.Socket), classes(nngio.Context)
    parts = ["## Sockets and contexts", ""]
    parts += table([*sockets, *contexts], (len(sockets), "all sockets"), transports=False)
    parts += ["", "## Dialers and listeners", ""]
    parts += table([nngio.Dialer, nngio.Listener], (2, "both"), transports=True)
    return "\n".join(parts)


def page() -> str:
    """The page as it should be."""
    before, mark, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"{PAGE} lacks the marks between which the tables go:\n{BEGIN}\n{END}")
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.name} is written", file=sys.stderr)
