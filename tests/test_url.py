"""URLs: NNG's parser, whose parts are plain values."""

import copy
import pickle

import programs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nngio
from nngio import URL

PARTS = [
    ("tcp://127.0.0.1:5555", ("tcp", None, "127.0.0.1:5555", "127.0.0.1", 5555, "", None, None, "")),
    ("TCP://LocalHost:5555/", ("tcp", None, "localhost:5555", "localhost", 5555, "/", None, None, "/")),
    ("tcp://*:5555", ("tcp", None, ":5555", "", 5555, "", None, None, "")),
    ("tcp://[::1]:80", ("tcp", None, "[::1]:80", "::1", 80, "", None, None, "")),
    ("tcp://host", ("tcp", None, "host", "host", None, "", None, None, "")),
    ("tcp://host:http", ("tcp", None, "host:http", "host", None, "", None, None, "")),
    ("ws://host/a/../b?q=1#f", ("ws", None, "host", "host", 80, "/b", "q=1", "f", "/b?q=1#f")),
    ("wss4://joe:pw@host:1/x", ("wss4", "joe:pw", "host:1", "host", 1, "/x", None, None, "/x")),
    ("ws://host/%41%2f", ("ws", None, "host", "host", 80, "/A%2F", None, None, "/A%2F")),
    ("ipc:///tmp/a b?c", ("ipc", None, None, None, None, "/tmp/a b?c", None, None, None)),
    ("inproc://some/name", ("inproc", None, None, None, None, "some/name", None, None, None)),
    ("abstract://n%00m", ("abstract", None, None, None, None, "n%00m", None, None, None)),
]


def parts(url: URL) -> tuple[object, ...]:
    return (url.scheme, url.userinfo, url.host, url.hostname, url.port, url.path, url.query, url.fragment, url.request_uri)


@pytest.mark.parametrize(("text", "expected"), PARTS)
def test_a_url_has_the_parts_that_nng_finds(text: str, expected: tuple[object, ...]) -> None:
    """Each of them, and the text as it was."""
    url = URL(text)
    assert parts(url) == expected
    assert url.raw == text
    assert repr(url) == f"nngio.URL({text!r})"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("TCP://LocalHost:5555", "tcp://localhost:5555"),
        ("tcp://*:5555", "tcp://:5555"),
        ("ws://Joe@Host//a/./b/../c?x#y", "ws://Joe@host/a/c?x#y"),
        ("ipc:///tmp//x", "ipc:///tmp//x"),
        ("inproc://Name", "inproc://Name"),
        ("tcp://user@*", "tcp://user@*"),
        ("tcp://user@*:80", "tcp://user@:80"),
    ],
)
def test_its_text_is_put_together_from_its_parts(text: str, canonical: str) -> None:
    """And makes an equal one."""
    assert str(URL(text)) == canonical
    assert URL(canonical) == URL(text)
    assert hash(URL(canonical)) == hash(URL(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has no scheme; begin it with one, as in tcp://"),
        ("127.0.0.1:5555", "no scheme"),
        ("tcp:127.0.0.1", "no scheme"),
        ("tcp://a@b@c:1", "more than one @"),
        ("tcp://[::1:5555", "the ] of its IPv6 address is missing"),
        ("tcp://host:", "a colon, and no port behind it"),
        ("ws://host/%zz", "two hexadecimal digits"),
        ("tcp://a\0b", "NUL"),
        ("tcp://\ud800", "half a surrogate pair"),
    ],
)
def test_what_is_no_url_is_refused_with_a_reason(text: str, why: str) -> None:
    """`InvalidArgument`, which is a ValueError, says what to mend."""
    with pytest.raises(nngio.InvalidArgument, match=why) as caught:
        URL(text)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("text", ["tcp://user@", "ws://user@/path", "TLS+TCP://2FF]f@", "tcp://user@@host", "ws://@?x", "wss://a@#b"])
def test_a_user_without_a_host_is_refused_everywhere(text: str) -> None:
    """NNG would read on behind the text's end."""
    with nngio.Pair0() as socket:
        for make in (URL, socket.dial, socket.listen, nngio.StreamDialer, nngio.StreamListener):
            with pytest.raises(nngio.InvalidArgument, match="there is no host behind its @"):
                make(text)


def test_only_text_is_a_url() -> None:
    """Bytes are refused."""
    with pytest.raises(TypeError, match="a URL is text, not bytes"):
        URL(b"tcp://host")  # type: ignore[arg-type]


def test_it_is_a_value() -> None:
    """It can't be changed; a copy is itself, a pickled one equal."""
    url = URL("ws://host/x?y")
    assert copy.copy(url) is url
    assert copy.deepcopy([url])[0] is url
    assert pickle.loads(pickle.dumps(url)) == url
    assert url != "ws://host/x?y"
    assert url != URL("ws://host/x?z")
    with pytest.raises(AttributeError, match="port can't be set"):
        url.port = 81
    with pytest.raises(AttributeError, match="port can't be deleted"):
        del url.port


def test_a_forked_child_can_parse_urls() -> None:
    """Nothing of NNG's threads is involved."""
    programs.run(
        """
import nngio
nngio.Pair0().close()
pid = os.fork()
if pid == 0:
    os._exit(nngio.URL("tcp://host:7").port)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
main_ends()
""",
        options=programs.FORKS,
    ).check(out="7\n")


def check_any(text: str) -> None:
    """What holds for any text: it is a URL, whose own text is one with the same scheme, or it is refused."""
    try:
        url = URL(text)
    except nngio.InvalidArgument:
        return
    assert url.raw == text
    assert url.scheme == url.scheme.lower()
    assert (url.host is None) == (url.hostname is None) == (url.request_uri is None)
    assert pickle.loads(pickle.dumps(url)) == url
    if "%" not in text:  # what is decoded may mean something else the next time
        assert URL(str(url)).scheme == url.scheme


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Nothing crashes, and nothing but `InvalidArgument` is raised."""
    check_any(text)


@given(
    st.sampled_from(["tcp", "tls+tcp", "ws", "wss", "ipc", "inproc", "abstract", "unix", "x"]),
    st.text(st.sampled_from("ab/.:@[]%?#*2fF-\u00e9\u20ac\U0001f600;")),
)
def test_what_looks_like_a_url_is_parsed_or_refused(scheme: str, rest: str) -> None:
    """The same for texts made of the characters that mean something."""
    check_any(f"{scheme}://{rest}")
