"""Options of sockets, contexts, dialers and listeners: what all have in common, default, set, read back, refused, by the table."""

import contextlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import test_options_at_work
import test_options_of_transports
from option_table import (
    ANYTHING,
    BY_CLASS,
    CONTEXTS,
    EACH,
    ENDPOINTS,
    OPTIONS,
    READ_ONLY,
    SETTABLE,
    SOCKETS,
    Address,
    Row,
    having,
    missing,
    public_classes,
    unless_missing,
)

import nngio
from nngio import _arguments
from nngio._core.library import lib
from nngio._core.nng import patched
from nngio._options import Option, options_of
from nngio.lowlevel import ffi

# The table.


def test_every_option_of_every_public_class_is_in_the_table() -> None:
    """Nothing is forgotten: each descriptor of each class has a row, each row a descriptor, and each effect a test."""
    described = {name: set(options_of(cls)) for name, cls in public_classes().items()}
    assert described == {name: set(rows) for name, rows in BY_CLASS.items()}
    for row in OPTIONS:
        places = (globals(), vars(test_options_at_work), vars(test_options_of_transports))
        assert any(callable(place.get(row.effect)) for place in places), f"{row.option}: no {row.effect}"


def test_nng_calls_the_options_so() -> None:
    """The macro and the name that an option has are NNG's."""
    for name, cls in public_classes().items():
        for attribute, option in options_of(cls).items():
            assert option.nng, f"{name}.{attribute}"
            text = getattr(lib, option.nng, None)
            if text is None:
                assert BY_CLASS[name][attribute].needs == option.nng
            else:
                assert ffi.string(text) == option.option


def test_options_are_what_dir_shows_and_documents() -> None:
    """Each option has a docstring that says what it can be and what it is; what a protocol doesn't have is not there."""
    for name, cls in public_classes().items():
        for attribute, option in options_of(cls).items():
            doc = option.__doc__
            assert doc
            assert doc.endswith(f"NNG: `{option.nng}`."), doc
            if not option.readonly:
                assert f"{option.allowed}; {option.default} unless set." in doc, f"{name}.{attribute}: {doc}"
    assert not hasattr(nngio.Pull0, "recv_buffer")  # which NNG takes, and does nothing with
    assert not hasattr(nngio.Req0, "max_ttl")
    assert not hasattr(nngio.Pub0, "recv_fd")
    assert not hasattr(nngio.Listener, "reconnect_time_min")


def test_the_page_about_options_has_them_all() -> None:
    """Its tables are what `python tools/options.py` writes."""
    spec = importlib.util.spec_from_file_location("options_tool", Path(__file__).parent.parent / "tools" / "options.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(), "run python tools/options.py"


CONSTRUCTOR = {"admission", "listen", "dial", "dial_timeout", "raw", "block", "prefetch", "tls"}


def test_type_checkers_see_the_keyword_arguments_that_there_are() -> None:
    """Those of a class are its options that can be set, and what makes a socket."""
    for name, cls in public_classes().items():
        module, suffix, more = _arguments, "Arguments", CONSTRUCTOR
        if name in ENDPOINTS:
            module, suffix, more = sys.modules[cls.__module__], "Options", set()
        elif name in CONTEXTS:
            suffix, more = "Options", set()
        settable = {attribute for attribute, option in options_of(cls).items() if not option.readonly}
        assert set(getattr(module, f"{name}{suffix}").__annotations__) == settable | more, name


@pytest.mark.parametrize(("name", "row"), EACH)
def test_an_option_has_its_default(name: str, row: Row, address: Address) -> None:
    """Nobody has set it."""
    with having(name, row, address) as thing, unless_missing(row):
        if row.default is READ_ONLY:
            with pytest.raises(nngio.BadState, match=f"{row.option} is known once"):
                getattr(thing, row.option)
            return
        value = getattr(thing, row.option)
        if row.default is not ANYTHING:
            assert value == row.default
            assert type(value) is type(row.default) or row.option.endswith("headers")


@pytest.mark.parametrize(("name", "row"), SETTABLE)
def test_an_option_that_is_set_is_read_back(name: str, row: Row, address: Address) -> None:
    """Each value comes back as it was set, the least and the most among them."""
    with having(name, row, address) as thing, unless_missing(row):
        for value in row.values:
            setattr(thing, row.option, value)
            assert getattr(thing, row.option) == value
        with pytest.raises(AttributeError, match=f"{row.option} can't be deleted"):
            delattr(thing, row.option)


@pytest.mark.parametrize(("name", "row"), SETTABLE)
def test_an_option_is_a_keyword_argument(name: str, row: Row, address: Address) -> None:
    """Of the class, and of the `dial`, `listen` and `context` that make its object."""
    options = {row.option: row.values[0]}
    with unless_missing(row):
        if name in CONTEXTS:
            with getattr(nngio, name.replace("Context", "0"))() as sock, sock.context(**options) as context:
                assert getattr(context, row.option) == row.values[0]
            return
        if name not in ENDPOINTS:
            with getattr(nngio, name)(raw=row.raw, **options) as sock:
                assert getattr(sock, row.option) == row.values[0]
            return
        with nngio.Pair0() as pair:
            url = address(row.transport)
            if name == "Listener":
                made = [nngio.Listener(pair, url, **options), pair.listen(address(row.transport), **options)]
            else:
                url = url.replace(":0", ":9")
                made = [nngio.Dialer(pair, url, **options), pair.dial(url, block=False, **options)]
            for endpoint in made:
                assert getattr(endpoint, row.option) == row.values[0]
            assert [endpoint.started for endpoint in made] == [False, True]


@pytest.mark.parametrize(("name", "row"), SETTABLE)
def test_an_option_refuses_what_it_can_not_be(name: str, row: Row, address: Address) -> None:
    """A wrong value is a ValueError, a wrong type a TypeError, both name the option; it stays what it was."""
    if missing(row):
        pytest.skip("this NNG doesn't have it")
    with having(name, row, address) as thing:
        before = getattr(thing, row.option)
        before = dict(before) if row.option.endswith("headers") else before
        said = "header" if row.option.endswith("headers") else f"{row.option}|IP address" if row.option == "local_address" else row.option
        for values, error in ((row.wrong, ValueError), (row.mistyped, TypeError)):
            for value in values:
                with pytest.raises(error, match=said):
                    setattr(thing, row.option, value)
                assert getattr(thing, row.option) == before


@pytest.mark.parametrize(("name", "row"), [param for param in EACH if not param.values[1].values])
def test_an_option_that_can_only_be_read_is_not_set(name: str, row: Row, address: Address) -> None:
    """It says so, and so does the constructor."""
    with having(name, row, address) as thing, pytest.raises(AttributeError, match=f"{row.option} can be read, not set"):
        setattr(thing, row.option, 1)
    if name in SOCKETS and row.option != "raw":
        with pytest.raises(AttributeError, match=f"{row.option} can be read, not set"):
            getattr(nngio, name)(**{row.option: 1})


def test_type_checkers_see_which_options_can_only_be_read() -> None:
    """Of sockets, dialers and listeners: they are annotated so, and those alone."""
    for cls in (*public_classes().values(), nngio.Socket):
        for base in cls.__mro__:
            annotations = inspect.get_annotations(base)
            for attribute, option in vars(base).items():
                if isinstance(option, Option):
                    annotation = str(annotations.get(attribute, ""))
                    assert ("ReadOnly" in annotation) == option.readonly, f"{base.__name__}.{attribute}"


TRANSPORTS = {"inproc", "ipc", "tcp", "ws", "tls+tcp", "wss"}


@pytest.mark.parametrize("transport", sorted(TRANSPORTS))
@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_option_of_another_transport_is_refused(name: str, transport: str, address: Address) -> None:
    """The error names the option, the URL and its transport, and those that have the option."""
    with nngio.Pair0() as pair:
        url = address(transport).replace(":0", ":9") if name == "Dialer" else address(transport)
        endpoint = getattr(nngio, name)(pair, url)
        for attribute, option in options_of(type(endpoint)).items():
            row = BY_CLASS[name][attribute]
            wanted = not option.transports or transport in option.transports
            attempts: list[Callable[[], Any]] = [lambda a=attribute: getattr(endpoint, a)]  # type: ignore[misc]
            if row.values:
                attempts.append(lambda a=attribute, v=row.values[0]: setattr(endpoint, a, v))  # type: ignore[misc]
            for attempt in attempts:
                if wanted and attempt is attempts[0]:
                    if not option.patch or patched(option.patch):
                        with contextlib.suppress(nngio.BadState):
                            attempt()
                elif not wanted:
                    with pytest.raises(nngio.NotSupported) as caught:
                        attempt()
                    for said in (attribute, url, f"is {transport}", option.transports[0]):
                        assert said in str(caught.value)


def test_other_names_of_a_transport_are_known(tmp_path: Path) -> None:
    """`unix` is ipc, and `tcp4`, `TCP`, `ws4` are what they are."""
    with nngio.Pair0() as pair:
        assert nngio.Listener(pair, f"unix://{tmp_path}/a", ipc_permissions=0o600).ipc_permissions == 0o600
        for url in ("tcp4://127.0.0.1:0", "TCP://127.0.0.1:0", "ws4://127.0.0.1:0/x", "tcp6://[::1]:0"):
            assert nngio.Listener(pair, url, tcp_keepalive=True).tcp_keepalive
        with pytest.raises(nngio.NotSupported, match="ipc_permissions is of ipc only, and abstract://x is abstract"):
            nngio.Listener(pair, "abstract://x", ipc_permissions=0o600)


def test_an_unknown_option_is_refused_with_a_hint(address: Address) -> None:
    """The closest name, the object that has it, or else all that there are."""
    with nngio.Pair0() as pair, nngio.Sub0() as sub:
        for attempt, said in (
            (lambda: nngio.Pair0(send_bufer=1), "Pair0 has no option 'send_bufer'; did you mean 'send_buffer'?"),
            (lambda: nngio.Pair0(recv_max_sise=1), "did you mean 'recv_max_size'"),
            (lambda: nngio.Pub0(tcp_nodelay=True), r"Pub0 has no option 'tcp_nodelay': it is for dial\(..., tcp_nodelay=...\) or listen\("),
            (lambda: pair.dial("tcp://127.0.0.1:9", tcp_nodely=True), "Dialer has no option 'tcp_nodely'; did you mean 'tcp_nodelay'?"),
            (lambda: pair.listen(address("tcp"), reconnect_time_min=1), r"it is for dial\(..., reconnect_time_min=...\)"),
            (lambda: nngio.Listener(pair, address("tcp"), send_buffer=1), r"it is for Pair0\(..., send_buffer=...\)"),
            (lambda: nngio.Dialer(pair, "tcp://127.0.0.1:9", zzz=1), "it has local_address, reconnect_time_max, .* and tls$"),
            (
                lambda: nngio.Pull0(recv_buffer=1),
                "^Pull0 has no option 'recv_buffer': Pair0, .* and Sub0 have it; prefetch=N receives",
            ),
            (lambda: nngio.Rep0(resend_time=1), "^Rep0 has no option 'resend_time': Req0 has it$"),
            (lambda: nngio.Req0(survey_time=1), "^Req0 has no option 'survey_time': Surveyor0 has it$"),
            (lambda: nngio.Rep0(send_buffer=1), "^Rep0 has no option 'send_buffer': Pair0, .* and Push0 have it$"),
            (lambda: nngio.Pair0(poly=True), "^Pair0 has no option 'poly': Pair1 has it$"),
            (
                lambda: nngio.Rep0(port=1),
                "^Rep0 has no option 'port'; it has max_ttl, name, .*, prefetch, admission and tls$",
            ),
            (lambda: nngio.Pair1(polyamorous=True), "did you mean 'poly'?"),
            (lambda: nngio.Pair1(ttl_max=3), "did you mean 'max_ttl'?"),
            (lambda: nngio.Pair0(block_on_dial=False), "did you mean 'block'?"),
            (lambda: pair.dial("tcp://127.0.0.1:9", tls_config=1), "did you mean 'tls'?"),
            (lambda: sub.context(recv_bufer=1), "SubContext has no option 'recv_bufer'; did you mean 'recv_buffer'?"),
            (lambda: sub.context(recv_max_size=1), r"it is for Sub0\(..., recv_max_size=...\)"),
            (lambda: nngio.Pub0(recv_timeout=5), "^Pub0 receives nothing, so it has no recv_timeout$"),
            (lambda: nngio.Push0(recv_timout=5), "Push0 has no option 'recv_timout': Push0 receives nothing, so it has no recv_timeout"),
            (lambda: nngio.Push0(recv_fd=5), "Push0 receives nothing, so it has no recv_fd"),
            (lambda: nngio.Pull0(send_buffer=5), "Pull0 sends nothing, so it has no send_buffer"),
            (lambda: sub.context(send_timeout=5), "SubContext sends nothing, so it has no send_timeout"),
            (lambda: nngio.Pair0(lisen="inproc://x"), "did you mean 'listen'?"),
            (lambda: nngio.Pair0(dail="inproc://x"), "did you mean 'dial'?"),
            (lambda: nngio.Pair0(bind="inproc://x"), "did you mean 'listen'?"),
            (lambda: nngio.Pair0(diel_timeout=1), "did you mean 'dial_timeout'?"),
            (lambda: nngio.Pair1(polly=True), "did you mean 'poly'?"),
            (lambda: nngio.Sub0(subscibe=b""), "did you mean 'subscribe'?"),
            (lambda: nngio.Sub0(topics=b""), "did you mean 'subscribe'?"),
            (lambda: nngio.Pair0(timeout=1), "Pair0 has no option 'timeout'; did you mean 'send_timeout' or 'recv_timeout'?"),
            (lambda: nngio.Pull0(timeout=1), "Pull0 has no option 'timeout'; did you mean 'recv_timeout'?"),
        ):
            with pytest.raises(TypeError, match=said):
                attempt()  # type: ignore[no-untyped-call]
        assert pair.dialers == pair.listeners == ()


def test_an_attribute_that_there_is_not_is_refused_with_a_hint(address: Address) -> None:
    """Of whatever has options: setting it would do nothing."""
    with nngio.Pair0(listen=address("tcp")) as pair, nngio.Pair0(dial=pair.listeners[0].url) as other, nngio.Sub0() as sub:
        other.wait_for_peers(timeout=5)
        listener, dialer, pipe = pair.listeners[0], other.dialers[0], other.pipes[0]
        stream = nngio.StreamDialer("tcp://127.0.0.1:9")
        for thing, name, said in (
            (sub, "recv_timout", "^Sub0 has no option 'recv_timout'; did you mean 'recv_timeout'?"),
            (sub, "tcp_nodelay", r"it is for dial\(..., tcp_nodelay=...\) or listen\("),
            (sub.context(), "recv_timout", "SubContext has no option 'recv_timout'; did you mean 'recv_timeout'?"),
            (sub.context(), "recv_max_size", r"it is for Sub0\(..., recv_max_size=...\)"),
            (listener, "tcp_keepalve", "Listener has no option 'tcp_keepalve'; did you mean 'tcp_keepalive'?"),
            (listener, "reconnect_time_min", r"it is for Pair0\(..., reconnect_time_min=...\) or dial\(..., reconnect_time_min=...\)"),
            (dialer, "send_buffer", r"it is for Pair0\(..., send_buffer=...\)"),
            (stream, "tcp_nodely", "StreamDialer has no option 'tcp_nodely'; did you mean 'tcp_nodelay'?"),
            (sub, "send_timeout", "^Sub0 sends nothing, so it has no send_timeout$"),
            (pair, "admision", "did you mean 'admission'?"),
            (pair, "lisen", "Pair0 has no option 'lisen'; it has"),
            (pipe, "tcp_nodelay", "Pipe has no option 'tcp_nodelay', nor any that can be set"),
        ):
            with pytest.raises(AttributeError, match=said):
                setattr(thing, name, True)
            assert not hasattr(thing, name)
        stream.close()


def test_a_method_is_called_and_not_set(lonely: nngio.Pair0) -> None:
    """What would be set in its place makes it one that can't be called. A function in its place is somebody's wish."""
    with nngio.Sub0() as sub:
        for name, value, said in (
            ("subscribe", b"topic", r"subscribe is a method: call it, as in subscribe\(b'topic'\)"),
            ("listen", "inproc://x", r"call it, as in listen\('inproc://x'\)"),
            ("on_pipe", print, r"call it, as in on_pipe\(function\)"),
        ):
            with pytest.raises(AttributeError, match=said):
                setattr(sub, name, value)
    instead = mock.Mock()
    with mock.patch.object(lonely, "send", instead):
        lonely.send(b"x")
    instead.assert_called_once_with(b"x")


def test_a_class_of_ones_own_has_attributes_of_its_own() -> None:
    """Any that isn't the name of an option that it lacks; those of its class stay what they are."""

    class Worker(nngio.Pull0):
        jobs: int

        def __init__(self, **options: Any) -> None:
            self.port = 5555
            super().__init__(**options)
            self.jobs = 3

    with Worker(recv_timeout=1) as worker:
        worker.recv_timeout = 2
        worker.whatever = "else"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
        assert (worker.jobs, worker.port, worker.recv_timeout) == (3, 5555, 2)
        for name in ("send_timeout", "tcp_nodelay", "max_ttl"):
            with pytest.raises(AttributeError, match=f"^Worker (has no option '{name}'|sends nothing, so it has no {name})"):
                setattr(worker, name, 1)


def test_an_endpoint_with_a_bad_option_is_closed(address: Address) -> None:
    """Nothing of it remains: its address is free."""
    url = address("inproc")
    with nngio.Pair0() as pair, nngio.Pair0() as other:
        with pytest.raises(TypeError):
            nngio.Listener(pair, url, ipc_permission=1)
        with pytest.raises(nngio.NotSupported):
            pair.listen(url, recv_max_size=100)
        other.listen(url)
        opened = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(50):
            with pytest.raises(ValueError, match="recv_max_size"):
                pair.listen(address("ipc"), recv_max_size=-1)
        assert len(list(Path("/proc/self/fd").iterdir())) <= opened + 5


def test_an_option_of_a_closed_object_says_so(address: Address) -> None:
    """Reading and setting raise `Closed`, or `NoEntry` for an endpoint."""
    with nngio.Pair0() as pair, nngio.Sub0() as sub:
        context = sub.context()
        listener = pair.listen(address("tcp"))
        dialer = nngio.Dialer(pair, listener.url)
        assert not listener.closed
        assert not dialer.closed
        for closed in (context, listener, dialer):
            closed.close()
    assert listener.closed
    assert dialer.closed
    for thing, option, value in (
        (pair, "send_buffer", 1),
        (context, "recv_buffer", 1),
        (listener, "recv_max_size", 1),
        (dialer, "tcp_nodelay", True),
        (dialer, "reconnect_time_min", 1),
    ):
        with pytest.raises((nngio.Closed, nngio.NoEntry)):
            getattr(thing, option)
        with pytest.raises((nngio.Closed, nngio.NoEntry)):
            setattr(thing, option, value)


def test_raw_sockets_have_the_options_of_their_mode() -> None:
    """What NNG would take and forget is refused: a raw REQ resends nothing, and only a raw one has a buffer."""
    for cls, raw, option, value in (
        (nngio.Req0, True, "resend_time", 1),
        (nngio.Req0, True, "resend_tick", 1),
        (nngio.Surveyor0, True, "survey_time", 1),
        (nngio.Sub0, True, "prefer_new", False),
        (nngio.Req0, False, "send_buffer", 1),
        (nngio.Req0, False, "recv_buffer", 1),
        (nngio.Rep0, False, "recv_buffer", 1),
        (nngio.Respondent0, False, "recv_buffer", 1),
        (nngio.Surveyor0, False, "recv_buffer", 1),
    ):
        with cls(raw=raw) as sock:
            for attempt in (lambda s=sock, o=option: getattr(s, o), lambda s=sock, o=option, v=value: setattr(s, o, v)):  # type: ignore[misc]
                with pytest.raises(nngio.NotSupported, match=f"raw.*{option}|{option}.*raw"):
                    attempt()
    with nngio.Sub0(raw=True) as sub, pytest.raises(nngio.NotSupported, match="a raw SUB has no topics"):
        sub.subscribe(b"x")


# Names and numbers.


def test_a_name_takes_the_place_of_the_one_before() -> None:
    """A shorter name is that name alone, for NNG too; one without our patch has blanks behind it."""
    with nngio.Pair0() as pair:
        assert pair.name == str(pair.id)
        for name in ("a long name", "short", "x" * 63, "ä"):
            before = len(pair.name.encode())
            pair.name = name
            assert pair.name == name
            text = ffi.new("char **")
            assert lib.nng_socket_get_string(pair._c, b"socket-name", text) == 0
            told = ffi.string(text[0]).decode()
            lib.nng_strfree(text[0])
            assert told.rstrip(" ") == name
            if patched("socket-name"):
                assert told == name
                for long in (64, 5000):  # which NNG's own would write beyond its field
                    assert lib.nng_socket_set_string(pair._c, b"socket-name", b"x" * long) == lib.NNG_EINVAL
            else:
                assert len(told.encode()) >= before


@pytest.mark.parametrize("name", SOCKETS)
def test_a_socket_tells_its_protocol_and_its_mode(name: str) -> None:
    """The numbers and names are those of the protocol; two that belong together are each other's peers."""
    peers = {"Pub0": "Sub0", "Push0": "Pull0", "Req0": "Rep0", "Surveyor0": "Respondent0"}
    peers |= {peer: name for name, peer in peers.items()} | {"Pair0": "Pair0", "Pair1": "Pair1", "Bus0": "Bus0"}
    for raw in (False, True):
        with getattr(nngio, name)(raw=raw) as one, getattr(nngio, peers[name])() as other:
            assert one.raw is raw
            assert one.protocol_name == {"Pair0": "pair", "Pair1": "pair1"}.get(name, name.lower()[:-1])
            assert (one.peer_protocol, one.peer_protocol_name) == (other.protocol, other.protocol_name)
            assert (other.peer_protocol, other.peer_protocol_name) == (one.protocol, one.protocol_name)


def test_an_option_can_be_read_and_set_by_nngs_name_for_it() -> None:
    """In each of NNG's types, on each kind of object; one with an attribute is checked as that is."""
    with nngio.Req0(listen="tcp://127.0.0.1:0") as req, nngio.Rep0(dial=req.listeners[0].url) as rep, req.context() as context:
        req.wait_for_peers(timeout=10)
        listener, dialer, pipe = req.listeners[0], rep.dialers[0], req.pipes[0]
        assert req.get_option("protocol-name", "string") == "req"
        assert req.get_option("recv-size-max", "size") == req.recv_max_size
        assert req.get_option("raw", "bool") is False
        assert listener.get_option("local-address", "addr") == listener.local_address
        assert dialer.get_option("reconnect-time-min", "ms") == dialer.reconnect_time_min
        assert pipe.get_option("tcp-nodelay", "bool") is True
        assert context.get_option("req:resend-time", "ms") == 60
        req.set_option("recv-timeout", "ms", 1.5)
        rep.set_option("ttl-max", "int", 3)
        context.set_option("recv-timeout", "ms", None)
        assert (req.recv_timeout, rep.max_ttl, context.recv_timeout) == (1.5, 3, None)
        with pytest.raises(ValueError, match="max_ttl is from 1 to 15"):
            rep.set_option("ttl-max", "int", 16)
        with pytest.raises(AttributeError, match="can be read, not set"):
            req.set_option("raw", "bool", True)
        with pytest.raises(nngio.BadType):
            req.get_option("recv-timeout", "string")
        for kind in ("bool", "int", "size", "string", "uint64", "addr"):
            with pytest.raises(nngio.BadType, match=f"recv-timeout is of the kind 'ms', not '{kind}'"):
                req.set_option("recv-timeout", kind, 1)
        assert req.recv_timeout == 1.5


@pytest.mark.parametrize(
    ("kind", "value"),
    [("bool", True), ("int", 1), ("ms", 1.0), ("size", 1), ("string", "x"), ("uint64", 1), ("addr", "127.0.0.1")],
)
def test_an_option_that_nng_does_not_have_is_told_of_each_object(kind: Any, value: Any) -> None:
    """Whatever its type would be."""
    with (
        nngio.Req0(listen="tcp://127.0.0.1:0") as req,
        nngio.Rep0(dial=req.listeners[0].url) as rep,
        req.context() as context,
        nngio.StreamListener("tcp://127.0.0.1:0") as listens,
        nngio.StreamDialer(listens.url) as dials,
        dials.dial(timeout=10) as stream,
    ):
        req.wait_for_peers(timeout=10)
        assert listens.get_option("tcp-bound-port", "int") == listens.port
        for target in (req, context, req.listeners[0], rep.dialers[0], req.pipes[0], listens, dials, stream):
            with pytest.raises(nngio.NotSupported):
                target.get_option("nonsense", kind)
            with pytest.raises(nngio.NotSupported):
                target.set_option("nonsense", kind, value)
        with pytest.raises(nngio.NotSupported, match="this Req0 has no option 'nonsense'"):
            req.get_option("nonsense", "int")


@pytest.mark.parametrize(
    ("name", "kind", "error", "text"),
    [
        (5, "int", TypeError, "an option's name is text, not int"),
        ("recv-buffer\0", "int", ValueError, "NUL"),
        ("x", "float", ValueError, "an option's kind is bool, int"),
        ("ws:request-header:X", "string", nngio.NotSupported, "request_headers"),
    ],
)
def test_what_is_no_name_or_kind_of_an_option_is_refused(name: Any, kind: Any, error: type[Exception], text: str) -> None:
    """Before NNG sees it."""
    with nngio.Pair0() as pair, pytest.raises(error, match=text):
        pair.set_option(name, kind, "value")
