"""What there is to measure: cases, and which libraries and verbs take part in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

ASYNC_MODES = ("asyncio", "uvloop", "trio")
MODES = ("sync", *ASYNC_MODES)
TRANSPORTS = ("inproc", "ipc", "tcp", "tls")
SMALL = 64
MEGABYTE = 1048576
SIZES = (8, SMALL, 1024, 65536, MEGABYTE)
COUNTS = (1, 10, 64, 1000)
SUBSCRIBERS = (1, 10, 100)
PENDING = 2000

TITLES = {
    "roundtrip": "REQ/REP round trip, one at a time",
    "pushpull": "PUSH/PULL throughput",
    "pair": "PAIR throughput, 128 messages of buffer on each side",
    "contexts": "Requests on many contexts at once, in one loop",
    "pubsub": "PUB to many SUBs, messages delivered",
    "import": "Import time, beyond an empty interpreter's",
    "pending": "Memory for a receive that waits, without its task",
}
ONE_WAY = ("pushpull", "pair")
LESS_IS_BETTER = ("roundtrip", "import", "pending")
LIBRARIES = ("c", "nngio", "python-nng", "pynng", "pyzmq")
LIBRARY_MODES = {
    "c": MODES,  # what it is compared with: see `measured_as`
    "nngio": MODES,
    "python-nng": ("sync", "asyncio", "uvloop"),
    "pynng": MODES,
    "pyzmq": ("sync", "asyncio", "uvloop"),
}


@dataclass(frozen=True, order=True)
class Case:
    """One thing to measure, for any library."""

    scenario: str
    transport: str
    size: int
    count: int
    mode: str
    placement: str

    def __str__(self) -> str:
        words = [self.scenario, self.mode, self.placement, self.transport]
        if self.size != SMALL:
            words.append(f"{self.size} B")
        if self.count != 1:
            words.append(f"{self.count} at once")
        return " ".join(words)


@dataclass(frozen=True, order=True)
class Entry:
    """A library, and the variant of its calls; `one` is a message for each call."""

    library: str
    verbs: str = "one"

    def __str__(self) -> str:
        return self.library if self.verbs == "one" else f"{self.library} {self.verbs}"


def measured_as(case: Case, entry: Entry) -> Case:
    """The case that an entry really runs. C has no loops: its sides are two threads that wait, where nothing else is said."""
    if entry.library != "c" or case.scenario in ("contexts", "pending", "pubsub"):
        return replace(case, mode="sync") if entry.library == "c" else case
    return replace(case, mode="sync", placement="processes" if case.placement == "processes" else "threads")


def variants(library: str, case: Case) -> Iterator[str]:
    """The verbs of a library that are worth measuring in a case, beside `one`."""
    one_way, awaits = case.scenario in ONE_WAY, case.mode in ASYNC_MODES
    if library.startswith("nngio") and one_way and case.size <= 1024:
        yield "many"
        yield "prefetch"
        if awaits and case.size == SMALL:
            yield "iter"
        if case.placement == "processes":
            yield "own"
    on_asyncio = case.mode in ("asyncio", "uvloop") and case.placement != "processes"
    if library == "python-nng" and on_asyncio and case.size == SMALL and (one_way or case.scenario == "roundtrip"):
        yield "ready"
    if library != "python-nng" and library != "c" and case.size >= 65536 and case.scenario in (*ONE_WAY, "roundtrip"):
        yield "msg"


def entries(case: Case, libraries: tuple[str, ...]) -> Iterator[Entry]:
    for library in libraries:
        kind = library.partition("@")[0]
        if case.mode not in LIBRARY_MODES[kind] or (kind == "pyzmq" and (case.transport == "tls" or case.scenario == "contexts")):
            continue
        if kind == "c" and case.scenario == "import":
            continue
        yield Entry(library)
        for verbs in variants(library, case):
            yield Entry(library, verbs)


def placements(mode: str) -> tuple[str, ...]:
    return ("threads", "processes") if mode == "sync" else ("loop", "threads", "processes")


def full() -> Iterator[Case]:
    """Everything: an hour or two."""
    for scenario in ("roundtrip", *ONE_WAY):
        for mode in MODES:
            for placement in placements(mode):
                for transport in TRANSPORTS:
                    if (placement, transport) != ("processes", "inproc"):
                        yield Case(scenario, transport, SMALL, 1, mode, placement)
        for mode, placement in (("sync", "threads"), ("asyncio", "loop")):
            for transport in ("inproc", "ipc", "tcp"):
                for size in SIZES:
                    if size != SMALL:
                        yield Case(scenario, transport, size, 1, mode, placement)
    for mode in ASYNC_MODES:
        for transport in ("inproc", "ipc", "tcp"):
            for count in COUNTS:
                yield Case("contexts", transport, SMALL, count, mode, "loop")
    for mode in ("sync", "asyncio", "trio"):
        for transport in ("inproc", "tcp"):
            for count in SUBSCRIBERS:
                yield Case("pubsub", transport, SMALL, count, mode, "loop")
    yield from costs()


def costs() -> Iterator[Case]:
    yield Case("import", "inproc", SMALL, 1, "sync", "loop")
    yield Case("pending", "inproc", SMALL, PENDING, "asyncio", "loop")


def short() -> Iterator[Case]:
    """What the project has set itself as targets, and little else."""
    for transport in ("inproc", "ipc", "tcp"):
        yield Case("roundtrip", transport, SMALL, 1, "sync", "threads")
    for transport in ("inproc", "tcp"):
        for mode in ASYNC_MODES:
            yield Case("roundtrip", transport, SMALL, 1, mode, "loop")
        for scenario in ONE_WAY:
            yield Case(scenario, transport, SMALL, 1, "sync", "threads")
            yield Case(scenario, transport, SMALL, 1, "asyncio", "loop")
        for count in (64, 1000):
            yield Case("contexts", transport, SMALL, count, "asyncio", "loop")
    for scenario in ONE_WAY:
        yield Case(scenario, "tcp", SMALL, 1, "asyncio", "processes")
    for transport in ("ipc", "tcp"):
        yield Case("pushpull", transport, MEGABYTE, 1, "sync", "threads")
    yield Case("pubsub", "tcp", SMALL, 10, "asyncio", "loop")
    yield from costs()


def in_short(case: Case, entry: Entry) -> bool:
    """Whether an entry of one of the short form's cases is measured there: what no target depends on is not."""
    ours = entry.library == "c" or entry.library.startswith("nngio")
    if case.mode == "uvloop" or (case.scenario == "contexts" and case.count == 1000):
        return ours
    if case.mode == "trio" or case.scenario == "contexts":
        return ours or entry.library == ("pynng" if case.mode == "trio" else "python-nng")
    if case.size == MEGABYTE:
        return entry.verbs == "msg" or entry.library in ("c", "python-nng")
    if entry.verbs in ("iter", "own"):
        return case.placement == "processes"
    if entry.verbs == "many":
        return case.placement == "processes" or (case.scenario, case.mode) == ("pair", "asyncio")
    return entry.verbs != "prefetch"
