"""Writes docs/coverage.md: each function of NNG's, and its name in Python.

    python tools/coverage.py           write the page
    python tools/coverage.py --check   fail if it is not what would be written, or if a function is missing

A function has its Python name from the docstring that says `NNG: nng_x`, or from the table `REACHED` below, for what several do or
what happens by itself; what has no name has its reason in `REASONS`. Every name is looked up by importing it, and an entry that says
nothing new, or that no function answers to, is an error: the tables can't be out of date.
"""

from __future__ import annotations

import argparse
import ast
import fnmatch
import functools
import importlib
import inspect
import itertools
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nngio
from nngio._ffi import declarations

PAGE = Path(__file__).resolve().parent.parent / "docs" / "coverage.md"
MODULES = ("nngio", "nngio.http", "nngio.prometheus")
"""Where public names are looked for."""
WANTED = 95
"""Percent of the functions that aren't deprecated which are to have a name."""

GROUPS: list[tuple[str, str]] = [
    ("Statistics", r"nng_stats?_"),
    ("Logging", r"nng_(log_|\w+_logger$)"),
    ("URLs", r"nng_url_"),
    ("UDP", r"nng_udp_"),
    ("Messages", r"nng_msg_"),
    ("Asynchronous operations", r"nng_(aio_|sleep_aio)"),
    ("Contexts", r"nng_ctx_"),
    ("Dialers", r"nng_dialer_"),
    ("Listeners", r"nng_listener_"),
    ("Pipes", r"nng_pipe_"),
    ("Byte streams", r"nng_stream_"),
    ("TLS", r"nng_tls_(config|engine)_"),
    ("HTTP", r"nng_http_"),
    ("Id maps", r"nng_id_"),
    ("Protocols", r"nng_(bus|pair|pub|sub|push|pull|req|rep|surveyor|respondent)[01]?_"),
    ("Threads, time and random numbers", r"nng_(thread|mtx|cv)_|nng_(clock|msleep|random|opts_parse)$"),
    ("Transports", r"nng_\w+_register$"),
    ("Sockets and the library", r"nng_"),
]
"""The page's tables, in order of the match: the first pattern that matches has the function."""

DEPRECATED = (
    "nng_getopt*", "nng_setopt*", "nng_*_getopt*", "nng_*_setopt*", "nng_closeall", "nng_ctx_get_addr", "nng_ctx_set_addr",
    "nng_stream_set_addr", "nng_inproc_register", "nng_ipc_register", "nng_tcp_register", "nng_tls_register", "nng_ws_register",
    "nng_wss_register", "nng_zt_register",
)  # fmt: skip
"""What NNG 1.12 itself advises against; left out of the count."""

_PROTOCOLS = {
    "bus": "Bus0", "pair0": "Pair0", "pair1": "Pair1", "pub": "Pub0", "sub": "Sub0", "push": "Push0", "pull": "Pull0", "req": "Req0",
    "rep": "Rep0", "surveyor": "Surveyor0", "respondent": "Respondent0",
}  # fmt: skip

REACHED: dict[str, list[str]] = {
    # Options: a descriptor knows the name and the type, and takes the function for its object's kind; any others go by their names.
    **{
        f"nng_{kind}_{verb}{suffix}": [f"{noun}.{verb}_option"]
        for kind, noun in (("socket", "Socket"), ("ctx", "Context"), ("dialer", "Dialer"), ("listener", "Listener"), ("pipe", "Pipe"))
        for verb in ("get", "set")
        for suffix in ("", "_bool", "_int", "_ms", "_size", "_string", "_uint64", "_addr")
        if not (kind == "pipe" and verb == "set") and not (kind == "ctx" and suffix in ("_addr", "_string"))
    },
    # Protocols.
    **{
        f"nng_{name.rstrip('01')}{number}_open{raw}": [cls]
        for name, cls in _PROTOCOLS.items()
        for number in (("", "0") if not name.startswith("pair") else (name[-1],))
        for raw in ("", "_raw")
    },
    "nng_pair1_open_poly": ["Pair1"],
    "nng_sub0_socket_subscribe": ["Sub0.subscribe"],
    "nng_sub0_socket_unsubscribe": ["Sub0.unsubscribe"],
    "nng_sub0_ctx_subscribe": ["SubContext.subscribe"],
    "nng_sub0_ctx_unsubscribe": ["SubContext.unsubscribe"],
    # Messages.
    "nng_msg_realloc": ["Message.append", "Message.chop"],
    # Sockets: other names for the same, and what happens by itself.
    "nng_socket_close": ["Socket.close"],
    "nng_send_aio": ["Sender.send_aio"],
    "nng_recv_aio": ["Receiver.recv_aio"],
    "nng_sock_send": ["Sender.send_aio"],
    "nng_sock_recv": ["Receiver.recv_aio"],
    "nng_send": ["Sender.send"],
    "nng_recv": ["Receiver.recv"],
    "nng_sendmsg": ["Sender.send"],
    "nng_recvmsg": ["Receiver.recv_msg"],
    "nng_ctx_sendmsg": ["Context"],
    "nng_ctx_recvmsg": ["Context"],
    "nng_socket_proto_id": ["Socket.protocol"],
    "nng_socket_peer_id": ["Socket.peer_protocol"],
    "nng_socket_proto_name": ["Socket.protocol_name"],
    "nng_socket_peer_name": ["Socket.peer_protocol_name"],
    "nng_socket_raw": ["Socket.raw"],
    "nng_str_sockaddr": ["TCPAddress.__str__"],
    "nng_strfree": ["Socket.name"],
    "nng_strerror": ["NNGError"],
    "nng_init_set_parameter": ["init"],
    "nng_version": ["lowlevel.nng_version"],
    # Endpoints.
    "nng_dialer_close": ["Dialer.close"],
    "nng_listener_close": ["Listener.close"],
    "nng_dialer_id": ["Dialer.id"],
    "nng_listener_id": ["Listener.id"],
    "nng_dialer_get_url": ["Dialer.url", "URL"],
    "nng_listener_get_url": ["Listener.url", "URL"],
    "nng_pipe_id": ["Pipe.id"],
    # Operations.
    "nng_aio_free": ["Aio"],
    "nng_aio_reap": ["Aio"],
    "nng_aio_stop": ["Aio"],
    "nng_aio_set_expire": ["Aio.set_timeout"],
    "nng_aio_count": ["UDP.recv"],
    "nng_aio_set_iov": ["UDP.send"],
    "nng_aio_set_input": ["UDP.send"],
    # URLs.
    "nng_url_clone": ["URL.__copy__"],
    # Statistics.
    "nng_stats_dump": ["Statistic.__str__"],
}
"""Python names by function or pattern, for what no docstring names. A dot leads to an attribute; a first word in small letters may be
a submodule of nngio's."""

LATER: dict[str, list[str]] = {
    **{
        f"nng_{kind}_{verb}*": [f"{noun}.{verb}_option"]
        for kind, noun in (("stream_dialer", "StreamDialer"), ("stream_listener", "StreamListener"), ("stream", "Stream"))
        for verb in ("get", "set")
    },
    "nng_stream_dialer_alloc*": ["StreamDialer"],
    "nng_stream_dialer_free": ["StreamDialer"],
    "nng_stream_dialer_close": ["StreamDialer.close"],
    "nng_stream_dialer_dial": ["StreamDialer.dial"],
    "nng_stream_listener_alloc*": ["StreamListener"],
    "nng_stream_listener_free": ["StreamListener"],
    "nng_stream_listener_close": ["StreamListener.close"],
    "nng_stream_listener_listen": ["StreamListener"],
    "nng_stream_listener_accept": ["StreamListener.accept"],
    "nng_stream_free": ["Stream"],
    "nng_stream_close": ["Stream.close"],
    "nng_stream_send": ["Stream.send"],
    "nng_stream_recv": ["Stream.recv"],
    "nng_aio_get_output": ["StreamDialer"],
    "nng_device": ["device"],
    "nng_device_aio": ["adevice"],
    "nng_tls_config_*": ["TLSConfig"],
    "nng_dialer_[gs]et_ptr": ["TLSConfig"],
    "nng_listener_[gs]et_ptr": ["TLSConfig"],
}
"""The same for names that may not be there yet: an entry counts once its name exists. An entry that a docstring makes superfluous
does no harm here."""

STANDARD: dict[str, str] = {
    "nng_id_alloc*": "itertools.count",
    "nng_id_[gsrv]*": "dict",
    "nng_id_map_*": "dict",
    "nng_thread_*": "threading.Thread",
    "nng_mtx_*": "threading.Lock",
    "nng_cv_*": "threading.Condition",
    "nng_clock": "time.monotonic",
    "nng_msleep": "time.sleep",
    "nng_random": "secrets.randbits",
    "nng_opts_parse": "argparse.ArgumentParser",
    "nng_alloc": "bytes",
    "nng_free": "bytes",
    "nng_strdup": "str",
}
"""What Python's own library has for it: better there, because it knows of the interpreter, its threads and its signals."""

REASONS: dict[str, str] = {
    "nng_msg_reserve": "a message's spare room is NNG's own affair; `Message(size=n)` allocates once",
    "nng_msg_capacity": "a message's spare room is NNG's own affair; `Message(size=n)` allocates once",
    "nng_fini": "it is of use at the end of a process only, which nngio sees to; NNG can't be started again after it",
    "nng_aio_begin": "it is for who provides operations, in C; Python's own are coroutines",
    "nng_aio_finish": "it is for who provides operations, in C; Python's own are coroutines",
    "nng_aio_defer": "it is for who provides operations, in C; Python's own are coroutines",
    "nng_aio_get_input": "what an operation is given and brings has a name of its own: arguments and results of the verbs",
    "nng_aio_set_output": "it is for who provides operations, in C; Python's own are coroutines",
    "nng_tls_engine_register": "a TLS engine is written in C",
    "nng_tls_engine_send": "a TLS engine is written in C",
    "nng_tls_engine_recv": "a TLS engine is written in C",
    "nng_socket_[gs]et_ptr": "no option of a socket's is a pointer, but for the deprecated TLS configuration",
    "nng_ctx_[gs]et_ptr": "no option of a context's is a pointer",
    "nng_ctx_[gs]et_string": "no option of a context's is text",
    "nng_stream_[gs]et_ptr": "no option of a stream's is a pointer",
    "nng_pipe_get_ptr": "its only option, the names in a certificate, is read when the pipe is made",
}
"""Why a function has no name. What also has one, has that."""


class Row(NamedTuple):
    """One function, and what becomes of it."""

    name: str
    since: str | None
    deprecated: bool
    python: list[str]
    standard: str | None
    reason: str | None


_NOTE = re.compile(r"NNG: ((?:`nng_\w+`(?:, and |, | and )?)+)")


@functools.cache
def documented() -> dict[str, list[str]]:
    """The Python names that docstrings have for functions."""
    found: dict[str, list[str]] = {}
    for name, value in _public():
        text = " ".join((inspect.getdoc(value) or getattr(value, "__doc__", None) or "").split())
        for note in _NOTE.findall(text):
            for function in re.findall(r"nng_\w+", note):
                names = found.setdefault(function, [])
                if name not in names:
                    names.append(name)
    return found


def _public() -> Iterator[tuple[str, Any]]:
    """Each public name, as a user writes it after `nngio.`, and what it stands for."""
    public: set[Any] = {value for _, value in _top() if inspect.isclass(value)}
    for name, value in _top():
        yield name, value
        if not inspect.isclass(value):
            continue
        for cls in value.__mro__:
            if cls is not value and (cls in public or not cls.__module__.startswith("nngio.")):
                continue  # it is listed there
            for attribute, member in vars(cls).items():
                if not attribute.startswith("_"):
                    yield f"{name}.{attribute}", member
            yield from ((f"{name}.{attribute}", text) for attribute, text in _attribute_texts(cls))


def _top() -> Iterator[tuple[str, Any]]:
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        prefix = module_name.removeprefix("nngio").lstrip(".")
        for name in module.__all__:
            yield (f"{prefix}.{name}" if prefix else name), getattr(module, name)


class _Text:
    """What has a docstring, and is nothing else."""

    def __init__(self, text: str) -> None:
        self.__doc__ = text


def _attribute_texts(cls: type) -> Iterator[tuple[str, _Text]]:
    """The strings below a class's annotated attributes, which Python doesn't keep."""
    body = next((node.body for node in _classes(cls.__module__) if node.name == cls.__name__), [])
    for statement, following in itertools.pairwise(body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, _Text(text)


@functools.cache
def _classes(module: str) -> list[ast.ClassDef]:
    tree = ast.parse(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def exists(name: str) -> bool:
    """Whether there is such a name below `nngio`."""
    first, *rest = name.split(".")
    value: Any = nngio
    try:
        value = getattr(nngio, first) if hasattr(nngio, first) else importlib.import_module(f"nngio.{first}")
    except ImportError:
        return False
    for part in rest:
        if not hasattr(value, part) and part not in getattr(value, "__annotations__", {}):
            return False
        value = getattr(value, part, None)
    return True


def importable(name: str) -> bool:
    """Whether Python's own library has such a name."""
    module, _, attribute = name.rpartition(".")
    return hasattr(importlib.import_module(module or "builtins"), attribute)


def _matches(name: str, patterns: Iterable[str]) -> list[str]:
    return [pattern for pattern in patterns if fnmatch.fnmatchcase(name, pattern)]


def rows() -> list[Row]:
    """All functions. ValueError names every fault of the tables, and every function that they leave out."""
    functions = [f for f in declarations.functions(declarations.load()) if f.name.startswith("nng_")]
    names = {f.name for f in functions}
    types = {d.name for d in declarations.load() if d.kind == "type"}
    said = {name: found for name, found in documented().items() if name not in types}
    faults = [f"{name} is said of {', '.join(said[name])}, and NNG has no such function" for name in said if name not in names]
    tables: dict[str, Iterable[str]] = {
        "REACHED": REACHED,
        "LATER": LATER,
        "STANDARD": STANDARD,
        "REASONS": REASONS,
        "DEPRECATED": DEPRECATED,
    }
    for title, table in tables.items():
        faults += [f"{title}: no function is {pattern}" for pattern in table if not any(fnmatch.fnmatchcase(n, pattern) for n in names)]
    faults += [f"REACHED: nngio has no {name}" for found in REACHED.values() for name in found if not exists(name)]
    faults += [f"STANDARD: Python has no {name}" for name in STANDARD.values() if not importable(name)]
    result: list[Row] = []
    for function in functions:
        deprecated = bool(_matches(function.name, DEPRECATED))
        python = list(said.get(function.name, []))
        if not python:
            python = [name for pattern in _matches(function.name, REACHED) for name in REACHED[pattern]]
        if not python:
            python = [name for pattern in _matches(function.name, LATER)[:1] for name in LATER[pattern] if exists(name)]
        standard = next((STANDARD[pattern] for pattern in _matches(function.name, STANDARD)), None)
        reasons = [REASONS[pattern] for pattern in _matches(function.name, REASONS)]
        if not python and not deprecated and not reasons and not standard:
            if not _matches(function.name, LATER):
                faults.append(f"{function.name} has neither a name nor a reason")
            reasons = ["not wrapped yet"]
        if len(reasons) + (standard is not None) > 1:
            faults.append(f"{function.name} has more than one reason")
        reason = next(iter(reasons), None)
        result.append(Row(function.name, function.since, deprecated, python, None if python else standard, None if python else reason))
    if faults:
        raise ValueError("\n".join(faults))
    return result


def counted(table: list[Row]) -> tuple[int, int, int]:
    """How many functions aren't deprecated, how many of them have a name, and for how many Python's own library has one."""
    current = [row for row in table if not row.deprecated]
    return len(current), sum(bool(row.python) for row in current), sum(bool(row.standard) for row in current)


def page() -> str:
    """The text of docs/coverage.md."""
    table = rows()
    total, named, standard = counted(table)
    lines = [
        "# What of NNG there is",
        "",
        "<!-- Written by tools/coverage.py; change that, or the docstrings. -->",
        "",
        f"NNG 1.12 has {len(table)} public functions, but for those that imitate its predecessor nanomsg. Of the {total} that are not",
        f"deprecated, {named} have a name in nngio, and for {standard} more Python's own library has what they do: together",
        f"{100 * (named + standard) // total} %. Why the others have none is said beside them. All of them can be called by their C names",
        "through [nngio.lowlevel](api/lowlevel.md).",
        "",
        "A function that was added after NNG 1.5.2 has the release behind its name.",
        "",
        "| | not deprecated | in nngio | in Python |",
        "|---|---|---|---|",
    ]
    grouped: dict[str, list[Row]] = {title: [] for title, _ in GROUPS}
    for row in table:
        grouped[next(title for title, pattern in GROUPS if re.match(pattern, row.name))].append(row)
    ordered = ["Sockets and the library", *(title for title, _ in GROUPS if title != "Sockets and the library")]
    lines += ["| " + " | ".join([title, *map(str, counted(grouped[title]))]) + " |" for title in ordered]
    for title in ordered:
        lines += ["", f"## {title}", "", "| function | its name in nngio |", "|---|---|"]
        for row in sorted(grouped[title]):
            since = f" ({row.since})" if row.since else ""
            lines.append(f"| `{row.name}`{since} | {_cell(row)} |")
    return "\n".join(lines) + "\n"


SHOWN = 4


def _cell(row: Row) -> str:
    if row.python:
        names = [f"`{name}`" for name in row.python]
        return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    if row.deprecated:
        return "*deprecated*"
    if row.standard:
        return f"Python's own `{row.standard}`"
    assert row.reason is not None
    return f"*{row.reason}*" if row.reason == "not wrapped yet" else row.reason


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/coverage.md.")
    parser.add_argument("--check", action="store_true", help="only look whether it is up to date")
    arguments = parser.parse_args()
    try:
        text = page()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    total, named, standard = counted(rows())
    share = 100 * (named + standard) / total
    print(f"of {total} functions {named} have a name, and {standard} one of Python's: {share:.1f} %; {WANTED} % are wanted")
    if arguments.check:
        if PAGE.read_text(encoding="utf-8") != text:
            print(f"{PAGE} is out of date: run tools/coverage.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
