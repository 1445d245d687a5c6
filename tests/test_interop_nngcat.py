"""Every protocol talks to `nngcat`, NNG's own tool, on either side of the protocol and of the connection."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from peers import KIB, MIB, SECONDS, Peer, body, converse, meet, probe

import nngio

TRANSPORTS = ("tcp", "ipc", "ws")
PROTOCOLS = ("req", "rep", "pub", "sub", "push", "pull", "surveyor", "respondent", "pair0", "pair1", "bus")
SIZES = (0, 1, 64 * KIB, 16 * MIB)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """What nngcat sends: a file of each size."""
    directory = tmp_path_factory.mktemp("nngcat")
    paths = {size: directory / str(size) for size in SIZES}
    for size, path in paths.items():
        path.write_bytes(body(size, "theirs"))
    return paths


@pytest.mark.parametrize("listens", [True, False], ids=["nngcat-listens", "nngcat-dials"])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nngcat_and_a_socket_exchange_bodies_of_all_sizes(
    protocol: str, transport: str, listens: bool, files: dict[int, Path], tmp_path: Path
) -> None:
    """What either side sends, of 0 B, 1 B, 64 KiB or 16 MiB, arrives at the other byte for byte."""
    data = [(body(size, "ours"), body(size, "theirs"), ("--file", str(path))) for size, path in files.items()]
    converse("nngcat", protocol, transport, tmp_path, data, listens=listens)


def test_nngcat_prints_only_the_topics_that_it_has_subscribed_to(tmp_path: Path) -> None:
    """A topic outside ASCII, given to nngcat on its command line, selects what a PUB sends to it."""
    topic = "größe/"
    with nngio.Pub0() as pub, meet("nngcat", "sub", pub, "tcp", tmp_path, "--subscribe", topic, listens=True) as peer:
        probe(peer, lambda data: pub.send(topic.encode() + data))
        for data in ("grösse/1", "größe", "größe/2", "Größe/3", ""):
            pub.send(data.encode())
        pub.send(f"{topic}end".encode())
        printed = []
        while not printed or printed[-1] != f"{topic}end":
            printed.append(peer.printed().decode())
        assert [text for text in printed if "there" not in text] == ["größe/2", "größe/end"]


def test_a_subscriber_receives_only_its_topics_from_several_nngcats(tmp_path: Path) -> None:
    """A SUB gets what begins with its topic, whichever of its publishers sends it, and nothing else."""
    with (
        nngio.Sub0(subscribe="größe/") as sub,
        meet("nngcat", "pub", sub, "tcp", tmp_path, "--data", "grösse/1", listens=False),
        meet("nngcat", "pub", sub, "ipc", tmp_path, "--data", "größe/2", listens=False),
        meet("nngcat", "pub", sub, "ws", tmp_path, "--data", "größe/3", listens=False),
    ):
        received = {sub.recv(timeout=SECONDS).decode() for _ in range(4)}  # each repeats its message
        assert received == {"größe/2", "größe/3"}


def test_a_thousand_messages_arrive_in_order(tmp_path: Path) -> None:
    """nngcat prints what a PUSH sends in the order in which it was sent, and ends with the last one that it was to receive."""
    with nngio.Push0() as push, meet("nngcat", "pull", push, "tcp", tmp_path, "--count", "1000", listens=True) as peer:
        for number in range(1000):
            push.send(b"%d" % number, timeout=SECONDS)
        assert [int(peer.printed()) for _ in range(1000)] == list(range(1000))
        assert peer.ended() == 0


def test_a_survey_brings_the_answers_of_several_nngcats(tmp_path: Path) -> None:
    """A SURVEYOR gets one answer from each of its respondents."""
    answers = [b"tcp", b"ipc", b"ws"]
    with ExitStack() as stack:
        surveyor = stack.enter_context(nngio.Surveyor0())
        for transport in answers:
            name = transport.decode()
            peer = stack.enter_context(meet("nngcat", "respondent", surveyor, name, tmp_path, "--data", name, listens=transport == b"ipc"))
            probe(peer, surveyor.send)
        surveyor.survey_time = SECONDS
        survey = surveyor.survey(b"who?")
        assert sorted(next(survey) for _ in answers) == sorted(answers)


def test_contexts_answer_requests_of_several_nngcats_in_any_order(tmp_path: Path) -> None:
    """Eight nngcats wait for the reply to their own request, and get it, the last one first."""
    with ExitStack() as stack:
        rep = stack.enter_context(nngio.Rep0())
        waiting = []
        for number in range(8):
            peer = stack.enter_context(meet("nngcat", "req", rep, "tcp", tmp_path, "--data", f"q{number}", listens=False))
            context = stack.enter_context(rep.context())
            assert context.recv(timeout=SECONDS) == b"q%d" % number
            waiting.append((peer, context, b"a%d" % number))
        for peer, context, answer in reversed(waiting):
            context.send(answer)
            assert peer.printed() == answer
            assert peer.ended() == 0


def test_a_request_reaches_the_nngcat_that_takes_the_place_of_another(tmp_path: Path) -> None:
    """A REQ that dials comes back to its address when another process listens there."""
    url = f"ipc://{tmp_path}/rep"
    with nngio.Req0(dial=url, block=False, reconnect_time_min=0.01) as req:
        for name in (b"first", b"second", b"third"):
            with Peer("nngcat", "--rep", "--bind", url, "--msgpack", "--data", name.decode()) as peer:
                assert req.request(b"who?", timeout=SECONDS) == name
                assert peer.printed() == b"who?"
