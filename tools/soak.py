"""The soak: many processes exchange messages by all protocols and transports, for a time, and nothing may grow, stall or get lost.

    python tools/soak.py [--seconds N] [--seed N] [--share N]

`make soak` runs it for an hour. It makes sense from half a minute on; NNGIO_SOAK_SECONDS is the default of --seconds. With --share 0.1
each activity rests for nine tenths of the time, so that the soak can run beside something else: it finds less in the same time then.

What runs. A home serves on every transport; three guests, one for each style (threads, asyncio, trio), run all activities at the same
time (soak_worker.py); and visitors, which are guests that stay for a moment, come and go, half of them killed in the middle of it.

What is measured. The time is divided into laps. After each lap all activities pause, visitors are gone, nothing is open but what the
home had at the start, Python's garbage is collected and free memory is given back to the system. Then these are noted for each process:

- resident and proportional memory (RSS, PSS), as the system has it;
- bytes that the C library has given out (`malloc`), objects that Python has (`blocks`), sockets that are open;
- descriptors and threads.

What is growth. The first third of the laps is the warm-up: pools and caches fill. Through the rest a line is fitted (Theil and Sen: the
median of the slopes between all pairs of laps, which some outliers don't move). The line's rise over these laps is growth if it is more
than what is tolerated for that measure (TOLERATED), and if so many more pairs of laps rise than fall that chance does this once in five
thousand times (Mann and Kendall). So noise isn't taken for growth, however large, and a leak of some bytes for each exchange is found,
the smaller the longer it runs. That takes some laps, so there are at least 14, whatever the time.

Descriptors and open sockets can be counted, and even one that stays is too many: they have grown if the least of the last third of the
laps is more than the least of the second third.

What is a stall. Every call may take a minute at most, and every activity has to end its round within two when a lap ends; a process
that doesn't tells where its threads are. That all messages that a protocol promises arrive, once and in order, is checked by the
activities. The exit code is 0 if all of it holds; otherwise what failed, what grew and when is printed.
"""

import argparse
import contextlib
import json
import math
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import trustme

STYLES = ("sync", "asyncio", "trio")

STALLED = 240.0
"""Seconds after which a process that doesn't answer has stalled."""

FEWEST_LAPS = 14

MB, KB = 1_000_000, 1000
TOLERATED = {"rss": 4 * MB, "pss": 4 * MB, "malloc": 200 * KB, "blocks": 2000, "threads": 8}
"""How much each measure may rise over all laps after the warm-up. Pools of threads, asyncio's and trio's, take one more now and then."""

COUNTED = ("descriptors", "sockets")
"""Measures of which even one more is too many."""


class Stalled(Exception):
    """A process doesn't answer."""


class Worker:
    """A process of the soak."""

    def __init__(self, kind: str, folder: Path, seed: int, share: float) -> None:
        self.kind = kind
        program = str(Path(__file__).with_name("soak_worker.py"))
        # One arena: otherwise threads that come and go would find, or leave, free memory in arenas of others. And no caches of
        # threads, whose free memory counts as given out: they take thousands of rounds to fill.
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", program, kind, str(folder), str(seed), str(share)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
        )
        self.errors: list[str] = []
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._readers = [threading.Thread(target=self._read_out, daemon=True), threading.Thread(target=self._read_err, daemon=True)]
        for reader in self._readers:
            reader.start()

    def __repr__(self) -> str:
        return f"{self.kind} ({self.process.pid})"

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line)

    def tell(self, *words: Any) -> None:
        """Give it a command."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its answer will be missing
            self.process.stdin.write(json.dumps(words) + "\n")

    def answer(self) -> Any:
        """Its answer to the oldest command that it has not answered. Raises `Stalled`, with all that it says."""
        try:
            line = self._lines.get(timeout=STALLED)
        except queue.Empty:
            self.process.send_signal(signal.SIGUSR1)  # faulthandler tells where the threads are
            time.sleep(2)
            raise Stalled(f"{self} has not answered for {STALLED:.0f} s\n{''.join(self.errors)}") from None
        if line is None:
            code = self.process.wait()
            self._readers[1].join(5)
            raise Stalled(f"{self} has ended with {code}\n{''.join(self.errors)}")
        return json.loads(line)

    def ask(self, *words: Any) -> Any:
        """Give it a command, and wait for the answer."""
        self.tell(*words)
        return self.answer()

    def settle(self) -> dict[str, int]:
        """What the system says of it, once that no longer changes: connections that were closed are gone after a moment."""
        last, same = (0, 0), 0
        end = time.monotonic() + 10
        while same < 3 and time.monotonic() < end:
            now = self._count("fd"), self._count("task")
            last, same = now, same + 1 if now == last else 0
            time.sleep(0.1)
        rollup = dict(line.split()[:2] for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:])
        return {"rss": int(rollup["Rss:"]) * 1024, "pss": int(rollup["Pss:"]) * 1024, "descriptors": last[0], "threads": last[1]}

    def kinds(self) -> dict[str, int]:
        """How many descriptors of each kind it has."""
        found: Counter[str] = Counter()
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found[str(descriptor.readlink()).split(":[")[0]] += 1
        return dict(sorted(found.items()))

    def _count(self, what: str) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/{what}").iterdir()))

    def kill(self) -> None:
        """End it, however it is."""
        self.process.kill()
        self.process.wait()


def certificates(folder: Path) -> None:
    """An authority, and a certificate of this machine's, for TLS."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")


def growth(values: Sequence[float], tolerated: float) -> float:
    """How much the values of all laps have grown after the warm-up; 0 if that is nothing that matters."""
    kept = values[len(values) // 3 :]
    if len(kept) < FEWEST_LAPS * 2 // 3:
        return 0
    pairs = list(combinations(enumerate(kept), 2))
    rise = median((late - early) / (j - i) for (i, early), (j, late) in pairs) * (len(kept) - 1)
    rising = sum((late > early) - (late < early) for (_, early), (_, late) in pairs)
    chance = math.sqrt(len(kept) * (len(kept) - 1) * (2 * len(kept) + 5) / 18)  # the standard deviation of `rising`, were it all chance
    return rise if rise > tolerated and rising > 3.5 * chance else 0


def stayed(values: Sequence[float]) -> float:
    """How many of what can be counted have stayed after the warm-up."""
    third = len(values) // 3
    return max(min(values[-third:]) - min(values[third:-third]), 0) if third else 0


class Soak:
    """The processes, and what was measured."""

    def __init__(self, folder: Path, seconds: float, seed: int, share: float) -> None:
        self.folder = folder
        self.seconds = seconds
        self.share = share
        self.lap_seconds = min(max(seconds / 15, 1.5), 60)
        self.random = random.Random(seed)
        self.started = time.monotonic()
        self.home = Worker("home", folder, seed, share)
        self.guests = [Worker(style, folder, seed + i, share) for i, style in enumerate(STYLES)]
        self.workers = [self.home, *self.guests]
        self.visitors: list[Worker] = []
        self.urls = self.home.ask("urls")
        self.times: list[float] = []
        self.samples: dict[str, dict[str, list[float]]] = {worker.kind: {} for worker in self.workers}
        self.done: Counter[str] = Counter()
        self.kinds: dict[str, list[dict[str, int]]] = {worker.kind: [] for worker in self.workers}
        self.visits = 0
        self.failures: list[str] = []

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def lap(self) -> None:
        """Let all run for a while, and then measure."""
        end = time.monotonic() + self.lap_seconds
        for guest in self.guests:
            guest.ask("lap", self.urls)
        while (left := end - time.monotonic()) > 0:
            self.visit(min(self.random.uniform(1, 4) / max(self.share, 0.1), left))
        for guest in self.guests:
            guest.tell("pause")
        answers = {guest.kind: guest.answer() for guest in self.guests}
        # Nobody asks it anything now. Its connections end, then it is still.
        self.home.settle()
        answers["home"] = self.home.ask("pause")
        self.times.append(self.elapsed)
        self.done = Counter()
        for worker in self.workers:
            answer = answers[worker.kind]
            self.failures += answer["failures"]
            self.failures += [f"{worker} says: {''.join(worker.errors)}"] if worker.errors else []
            self.done.update(answer["done"])
            for name, value in {**answer["measures"], **worker.settle()}.items():
                self.samples[worker.kind].setdefault(name, []).append(value)
            self.kinds[worker.kind].append(worker.kinds())

    def visit(self, seconds: float) -> None:
        """Let a visitor come for so long. It leaves in good order, or is killed."""
        visitor = Worker(self.random.choice(STYLES), self.folder, self.random.getrandbits(30), self.share)
        self.visitors = [visitor]
        try:
            visitor.ask("lap", self.urls)
            time.sleep(seconds)
            if self.random.random() < 0.5:
                return
            self.failures += visitor.ask("pause")["failures"]
            if not self.failures:
                self.leave(visitor)
        finally:
            visitor.kill()
            self.visitors = []
            self.visits += 1

    def leave(self, worker: Worker) -> None:
        """End a process in good order, and see that it has nothing to say."""
        worker.ask("end")
        code = worker.process.wait(STALLED)
        if code or worker.errors:
            self.failures.append(f"{worker} has ended with {code}\n{''.join(worker.errors)}")

    def run(self) -> bool:
        """Run all of it; whether all is well."""
        print(f"soak: {self.seconds:.0f} s, a lap is {self.lap_seconds:.1f} s; RSS in MB, descriptors, threads", flush=True)
        try:
            while not self.failures and (self.elapsed < self.seconds or len(self.times) < FEWEST_LAPS):
                self.lap()
                self.tell_progress()
            for worker in [] if self.failures else [*self.guests, self.home]:
                self.leave(worker)
        except Stalled as stalled:
            self.failures.append(str(stalled))
        finally:
            for worker in [*self.workers, *self.visitors]:
                worker.kill()
        return self.verdict()

    def tell_progress(self) -> None:
        """One line for each lap."""
        last = {kind: {name: values[-1] for name, values in measures.items()} for kind, measures in self.samples.items()}
        states = [f"{kind} {m['rss'] / MB:.1f} {m['descriptors']:.0f} {m['threads']:.0f}" for kind, m in last.items()]
        rounds = sum(self.done[name] for name in self.done if name not in ("answers", "responses", "pulled"))
        print(
            f"{self.elapsed:6.0f} s  {' | '.join(states)} | {rounds} rounds, {self.done['answers']} answers, {self.visits} visitors",
            flush=True,
        )

    def verdict(self) -> bool:
        """Print what has grown and what has failed."""
        grown = [
            (kind, name, by, values)
            for kind, measures in self.samples.items()
            for name, values in measures.items()
            if (by := stayed(values) if name in COUNTED else growth(values, TOLERATED[name]))
        ]
        for kind, name, by, values in grown:
            print(f"\nsoak: {name} of {kind} has grown by {by:.0f}, and {TOLERATED.get(name, 0):.0f} is tolerated:")
            print("".join(f"{at:8.0f} s {value:14.0f}\n" for at, value in zip(self.times, values, strict=True)), end="")
            if name == "descriptors":
                kinds = self.kinds[kind]
                print(f"     after the warm-up {kinds[len(kinds) // 3]}, now {kinds[-1]}")
        for failure in self.failures:
            print(f"\nsoak: at {self.elapsed:.0f} s: {failure}")
        print(f"soak: {'FAILED' if grown or self.failures else 'passed'} after {self.elapsed:.0f} s: {self.counts()}", flush=True)
        return not grown and not self.failures

    def counts(self) -> str:
        """What was done."""
        parts: Iterable[str] = (f"{count} {name}" for name, count in sorted(self.done.items()))
        return ", ".join([*parts, f"{self.visits} visitors"])


def main() -> None:
    parser = argparse.ArgumentParser(description="Let everything run for a long time, and see that nothing grows, stalls or gets lost.")
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("NNGIO_SOAK_SECONDS", "3600")))
    parser.add_argument("--seed", type=int, default=random.getrandbits(20), help="of what is chosen at random; time has its own part in it")
    parser.add_argument("--share", type=float, default=1, help="how much of the time each activity runs, 1 unless given; the rest it rests")
    arguments = parser.parse_args()
    if not 0 < arguments.share <= 1:
        parser.error("--share is more than 0 and at most 1")
    with tempfile.TemporaryDirectory(prefix="nngio-soak-") as name:
        certificates(Path(name))
        print(f"soak: --seed {arguments.seed}")
        sys.exit(not Soak(Path(name), arguments.seconds, arguments.seed, arguments.share).run())


if __name__ == "__main__":
    main()
