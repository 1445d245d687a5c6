"""Several hosts on one machine: network namespaces, each with a cable to a switch, and processes that run there.

    with Network("left", "right") as network:
        left, right = network.hosts
        program = right.start([sys.executable, "server.py"])
        left.unplug()      # packets are dropped, and nobody is told
        left.plug()
        left.link(up=False)  # the host's own interface goes down
        left.slow("256kbit")
        left.lose(20)      # packets in a hundred
        left.heal()

A namespace has no name. It lives for as long as the process that holds it, which ends when its standard input does, and so with the
test, however that ends; what runs in a host is killed by the kernel when the test's process dies. So nothing has to be tidied up:
interfaces, rules and routes go with their namespace, and none of them was ever made in the machine's own.

The switch is a bridge in a namespace of its own. Unplugging takes a cable's far end out of the bridge, so the host's interface stays
up, and its TCP connections notice nothing.
"""

import functools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

__all__ = ["Host", "Network", "Program", "why_not"]

PATIENCE = 60.0
"""Seconds for what takes a moment on an idle machine."""

TOOLS = {"ip": "iproute2", "tc": "iproute2", "ss": "iproute2", "nft": "nftables", "nsenter": "util-linux", "unshare": "util-linux"}
"""What is needed, and the Debian package that has it."""

FOLDER = Path(__file__).parent


@functools.cache
def why_not() -> str | None:
    """Why there can't be several hosts here; None if there can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [f"{tool} (Debian: {package})" for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    try:
        with Network("probe") as network:
            network.hosts[0].lose(1)
    except (RuntimeError, OSError) as error:
        return f"this kernel, or a container, doesn't allow them: {error}"
    return None


def run(command: Sequence[str], text: str | None = None) -> str:
    """Run a command to its end, and return what it prints. RuntimeError when it fails."""
    ended = subprocess.run(command, input=text, capture_output=True, text=True, timeout=PATIENCE)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ended.stderr.strip() or ended.stdout.strip() or ended.returncode}")
    return ended.stdout


class Namespace:
    """A network namespace, for as long as the process that holds it."""

    def __init__(self) -> None:
        script = "ip link set lo up && echo up && exec cat"
        command = ["unshare", "--net", "sh", "-c", script]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.holder.stdout is not None
        assert self.holder.stderr is not None
        if self.holder.stdout.readline() != "up\n":
            why = self.holder.stderr.read().strip()
            self.end()
            raise RuntimeError(f"unshare --net: {why}")

    @property
    def pid(self) -> int:
        """The process that holds it."""
        return self.holder.pid

    @property
    def entering(self) -> list[str]:
        """What a command has to begin with, to run there."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--"]

    def run(self, *command: str, text: str | None = None) -> str:
        """Run a command there."""
        return run([*self.entering, *command], text)

    def ip(self, *lines: str) -> None:
        """Run `ip` there, once for all lines."""
        self.run("ip", "-batch", "-", text="".join(f"{line}\n" for line in lines))

    def end(self) -> None:
        """Let it go. The kernel removes it when nothing runs there any more."""
        for stream in (self.holder.stdin, self.holder.stdout, self.holder.stderr):
            assert stream is not None
            stream.close()
        self.holder.wait(PATIENCE)


class Program:
    """A process in a host. What it prints is read as it comes, line by line."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._threads = [threading.Thread(target=self._read_out), threading.Thread(target=self._read_err)]
        for thread in self._threads:
            thread.start()

    def _read_out(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        self._errors += self.process.stderr

    @property
    def errors(self) -> str:
        """What it has written to its standard error."""
        return "".join(self._errors)

    def line(self, timeout: float = PATIENCE) -> str:
        """The next line that it prints. AssertionError when there is none within `timeout` seconds."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"{self.command} has printed nothing for {timeout:.0f} s: {self.errors}") from None
        if line is None:
            self._threads[1].join(PATIENCE)
            raise AssertionError(f"{self.command} has ended with {self.process.wait(PATIENCE)}: {self.errors}")
        return line

    def tell(self, *words: Any) -> None:
        """Write a line of JSON to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")

    def ask(self, *words: Any, timeout: float = PATIENCE) -> Any:
        """Tell it something, and return its answer, a line of JSON."""
        self.tell(*words)
        return json.loads(self.line(timeout))

    def kill(self) -> None:
        """End it, if it has not ended yet."""
        self.process.kill()
        self.process.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


class Host(Namespace):
    """One host: a namespace with an interface, `cable`, and an address."""

    def __init__(self, network: "Network", number: int, name: str) -> None:
        super().__init__()
        self.name = name
        self.address = f"10.77.0.{number}"
        self.port = f"port{number}"
        self.network = network
        self.programs: list[Program] = []
        switch = network.switch
        self.ip(
            f"link add cable type veth peer name {self.port} netns {switch.pid}",
            f"address add {self.address}/24 dev cable",
            "link set cable up",
        )
        switch.ip(f"link set {self.port} master switch up")

    def __repr__(self) -> str:
        return f"<host {self.name}, {self.address}>"

    def start(self, command: Sequence[str]) -> Program:
        """Start a process. It is killed with the network, or when the thread that calls this ends: call it in the main thread."""
        program = Program([*self.entering, "setpriv", "--pdeathsig", "KILL", *command])
        self.programs.append(program)
        return program

    def sysctl(self, **values: int) -> None:
        """Set variables of net.ipv4, which are the host's own."""
        settings = [f"echo {value} >/proc/sys/net/ipv4/{name}" for name, value in values.items()]
        self.run("sh", "-ec", "\n".join(settings))

    # What can go wrong with a cable.

    def unplug(self) -> None:
        """Let the switch drop all packets from and to it, in silence."""
        self.network.switch.ip(f"link set {self.port} nomaster")

    def plug(self) -> None:
        """Undo that."""
        self.network.switch.ip(f"link set {self.port} master switch")

    def link(self, *, up: bool) -> None:
        """Take the interface up or down. Its address stays."""
        self.ip(f"link set cable {'up' if up else 'down'}")

    def slow(self, rate: str) -> None:
        """Let no more than so much through, each way: 1mbit, 200kbit."""
        shape = ["root", "tbf", "rate", rate, "burst", "3kb", "latency", "200ms"]
        self.run("tc", "qdisc", "replace", "dev", "cable", *shape)
        self.network.switch.run("tc", "qdisc", "replace", "dev", self.port, *shape)

    def lose(self, percent: int) -> None:
        """Drop so many packets in a hundred, at random, each way."""
        chance = f"numgen random mod 100 < {percent} drop"
        self.run(
            "nft",
            "-f",
            "-",
            text="table ip loss {\n"
            f"chain in {{ type filter hook input priority 0; {chance}; }}\n"
            f"chain out {{ type filter hook output priority 0; {chance}; }}\n"
            "}\n",
        )

    def heal(self) -> None:
        """Undo all of these."""
        self.run("nft", "flush", "ruleset")
        for where, device in ((self, "cable"), (self.network.switch, self.port)):
            if "tbf" in where.run("tc", "qdisc", "show", "dev", device):
                where.run("tc", "qdisc", "delete", "dev", device, "root")
        self.link(up=True)
        self.plug()

    def reset_connections(self) -> None:
        """Let the kernel end all its TCP connections. The other end is told, unless the cable is unplugged."""
        self.run("ss", "--kill", "--tcp", "state", "connected")

    def take_address(self, other: "Host") -> None:
        """Take over the address of another host, which loses it. Everybody learns at once where it is now."""
        other.ip(f"address delete {other.address}/24 dev cable")
        self.ip(f"address add {other.address}/24 dev cable")
        for host in self.network.hosts:
            host.ip("neighbour flush dev cable")


class Network:
    """Hosts that are connected by a switch. Use it in a `with` block, at whose end all of it is gone."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.hosts: list[Host] = []

    def __enter__(self) -> Self:
        self.switch = Namespace()
        try:
            self.switch.ip("link add switch type bridge forward_delay 0 mcast_snooping 0", "link set switch up")
            for number, name in enumerate(self.names, 1):
                self.hosts.append(Host(self, number, name))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        for host in self.hosts:
            for program in host.programs:
                program.kill()
        for namespace in (*self.hosts, self.switch):
            namespace.end()
