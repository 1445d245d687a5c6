"""Admission: rules for who may connect, applied by NNG's threads in C (shim/admission.c)."""

from collections.abc import Iterable

from nngio._core import nng
from nngio._core.errors import InvalidArgument, NoMemory
from nngio._core.library import ffi, lib
from nngio._core.owner import own_admission
from nngio._core.typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    Network = str | IPv4Network | IPv6Network | IPv4Address | IPv6Address

__all__ = ["Admission", "AdmissionCounters"]

MOST_PEERS = 2**31 - 1
MOST_NUMBER = 2**32 - 1


class AdmissionCounters(NamedTuple):
    """How many peers were admitted and refused, and by what, since the rules were made."""

    admitted: int
    """Peers that were let in; a protocol can still have refused one, such as a PAIR's second."""
    denied: dict[str, int]
    """By rule that denies, such as `10.0.0.0/8` or `uid 1000`: peers that it has refused. The first that matches counts."""
    not_allowed: int
    """Peers that no rule allowed."""
    over_limit: int
    """Peers for whom there was no place."""

    @property
    def refused(self) -> int:
        """Peers that were refused, whatever the reason."""
        return sum(self.denied.values()) + self.not_allowed + self.over_limit


class _Rule(NamedTuple):
    text: str
    kind: int
    value: Any


class Admission:
    """Rules for who may connect to a socket: `socket.admission = Admission(...)`, or `admission=` when it is made.

    A peer that matches a rule that denies is refused. Then, if there are rules that allow, it has to match one of them, of
    whatever kind. Then there has to be a place: at most `max_peers` may be connected with the socket at the same time. A rule
    about something that isn't known of a peer, such as the network of one that comes by ipc, doesn't match it. All that holds
    for peers that dial and for peers that are dialed.

    `allow` and `deny` are IP networks or addresses, as text or from `ipaddress`; an IPv6 address that stands for an IPv4
    address counts as that. `..._uids`, `..._gids` and `..._pids` are numbers, of peers that come by ipc. `..._subjects` are
    common names of TLS certificates, as `Pipe.tls_peer_cn` tells them, from NNG 1.6 on; one that allows matches only if the
    certificate was verified. An empty list of those that allow is a list too: it admits nobody.

    A peer that is refused is disconnected before the socket knows of it; one that dials tries again, as ever. The rules never
    change. They can serve several sockets, each with a limit of its own; `counters` has the sums. Raises `NotSupported` for
    subjects before NNG 1.6. NNG: `nng_pipe_notify`, `nng_pipe_close`.
    """

    __slots__ = ("_allowed", "_denied", "_owner", "_rules", "max_peers")

    max_peers: int | None
    """How many peers a socket may have; None for any number."""

    def __init__(
        self,
        *,
        allow: "Network | Iterable[Network] | None" = None,
        deny: "Network | Iterable[Network] | None" = None,
        max_peers: int | None = None,
        allow_uids: Iterable[int] | None = None,
        deny_uids: Iterable[int] | None = None,
        allow_gids: Iterable[int] | None = None,
        deny_gids: Iterable[int] | None = None,
        allow_pids: Iterable[int] | None = None,
        deny_pids: Iterable[int] | None = None,
        allow_subjects: Iterable[str] | None = None,
        deny_subjects: Iterable[str] | None = None,
    ) -> None:
        if max_peers is not None:
            _check_number(max_peers, "max_peers", MOST_PEERS)
        self.max_peers = max_peers
        self._denied = [
            *_networks(deny, "deny"),
            *_numbers(deny_uids, "deny_uids", "uid", lib.NNGIO_RULE_UID),
            *_numbers(deny_gids, "deny_gids", "gid", lib.NNGIO_RULE_GID),
            *_numbers(deny_pids, "deny_pids", "pid", lib.NNGIO_RULE_PID),
            *_subjects(deny_subjects, "deny_subjects"),
        ]
        self._allowed: list[_Rule] | None = None
        if any(rules is not None for rules in (allow, allow_uids, allow_gids, allow_pids, allow_subjects)):
            self._allowed = [
                *_networks(allow, "allow"),
                *_numbers(allow_uids, "allow_uids", "uid", lib.NNGIO_RULE_UID),
                *_numbers(allow_gids, "allow_gids", "gid", lib.NNGIO_RULE_GID),
                *_numbers(allow_pids, "allow_pids", "pid", lib.NNGIO_RULE_PID),
                *_subjects(allow_subjects, "allow_subjects"),
            ]
        rules = [(rule, True) for rule in self._denied] + [(rule, False) for rule in self._allowed or ()]
        self._rules = own_admission(self, len(rules), self._allowed is not None, -1 if max_peers is None else max_peers)
        for i, (rule, denies) in enumerate(rules):
            _fill_in(self._rules, i, rule, denies)

    @property
    def counters(self) -> AdmissionCounters:
        """How many peers were admitted and refused, and by what. Thread-safe."""
        totals, refused = ffi.new("uint64_t[3]"), ffi.new("uint64_t[]", len(self._denied) + len(self._allowed or ()))
        lib.nngio_admission_counters(self._rules, totals, refused)
        denied: dict[str, int] = {}
        for i, rule in enumerate(self._denied):
            denied[rule.text] = denied.get(rule.text, 0) + refused[i]
        return AdmissionCounters(totals[0], denied, totals[1], totals[2])

    def __reduce__(self) -> Any:
        raise TypeError("an Admission can't be copied or pickled: it counts what happens in this process")

    def __repr__(self) -> str:
        parts = [f"denies {', '.join(rule.text for rule in self._denied)}"] if self._denied else []
        if self._allowed is not None:
            parts.append(f"allows {', '.join(rule.text for rule in self._allowed) or 'nobody'}")
        if self.max_peers is not None:
            parts.append(f"at most {self.max_peers} {'peer' if self.max_peers == 1 else 'peers'}")
        return f"<nngio.Admission {'; '.join(parts) or 'of anybody'}>"


def _networks(rules: "Network | Iterable[Network] | None", name: str) -> list[_Rule]:
    if rules is None:
        return []
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network  # as late as most programs can do without

    if isinstance(rules, (str, IPv4Network, IPv6Network, IPv4Address, IPv6Address)):
        rules = (rules,)
    return [_network(rule, name) for rule in rules]


def _network(rule: "Network", name: str) -> _Rule:
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

    if not isinstance(rule, (str, IPv4Network, IPv6Network, IPv4Address, IPv6Address)):
        raise TypeError(f"{name} has IP networks, such as '10.0.0.0/8' or ipaddress.ip_network(...), not {type(rule).__name__}")
    if "%" in str(rule):
        raise InvalidArgument(f"{name}: {str(rule)!r} has a zone, and a rule can't; leave out what is between % and /")
    try:
        network = ip_network(rule)
    except ValueError as error:
        raise InvalidArgument(f"{name}: {error}{_hint(rule)}") from None
    text, bits = str(network), network.prefixlen
    if isinstance(network, IPv4Network):
        return _Rule(text, lib.NNGIO_RULE_IPV4, (network.network_address.packed, bits))
    if network.network_address.ipv4_mapped is not None and bits >= 96:
        return _Rule(text, lib.NNGIO_RULE_IPV4, (network.network_address.ipv4_mapped.packed, bits - 96))
    return _Rule(text, lib.NNGIO_RULE_IPV6, (network.network_address.packed, bits))


def _hint(rule: object) -> str:
    from ipaddress import ip_network

    try:
        return f"; do you mean {str(ip_network(str(rule), strict=False))!r}?"
    except ValueError:
        return "; write it like '10.0.0.0/8' or '2001:db8::/32'"


def _numbers(rules: Iterable[int] | None, name: str, what: str, kind: int) -> list[_Rule]:
    if rules is None:
        return []
    if isinstance(rules, (str, bytes, int)):
        raise TypeError(f"{name} is a list of numbers, such as [{rules!r}], not {type(rules).__name__}")
    numbers = list(rules)
    for number in numbers:
        _check_number(number, f"a number in {name}", MOST_NUMBER)
    return [_Rule(f"{what} {number}", kind, number) for number in numbers]


def _subjects(rules: Iterable[str] | None, name: str) -> list[_Rule]:
    if rules is None:
        return []
    nng.lib.NNG_OPT_TLS_PEER_CN  # noqa: B018  # NotSupported, with the release that has it
    if isinstance(rules, str):
        raise TypeError(f"{name} is a list of common names, such as [{rules!r}], not str")
    subjects = list(rules)
    for subject in subjects:
        if not isinstance(subject, str):
            raise TypeError(f"{name} has common names, as text, not {type(subject).__name__}")
        if not subject or "\0" in subject:
            raise InvalidArgument(f"{name}: {subject!r} is no common name")
    return [_Rule(f"subject {subject}", lib.NNGIO_RULE_SUBJECT, subject.encode("utf-8", "surrogateescape")) for subject in subjects]


def _check_number(number: object, name: str, most: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{name} is a whole number, not {type(number).__name__}")
    if not 0 <= number <= most:
        raise InvalidArgument(f"{name} is 0 to {most}; got {number}")


def _fill_in(rules: Any, i: int, rule: _Rule, denies: bool) -> None:
    if rule.kind in (lib.NNGIO_RULE_IPV4, lib.NNGIO_RULE_IPV6):
        lib.nngio_admission_set_network(rules, i, denies, rule.kind, *rule.value)
    elif rule.kind == lib.NNGIO_RULE_SUBJECT:
        if lib.nngio_admission_set_subject(rules, i, denies, rule.value):
            raise NoMemory()
    else:
        lib.nngio_admission_set_number(rules, i, denies, rule.kind, rule.value)
