"""NNG's log in Python's `logging`, with the real records of NNG 1.8 and later; before that, a clear refusal."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator

import programs
import pytest

import nngio
from nngio._core import callbacks
from nngio.lowlevel import lib

try:
    lib.nng_log_set_logger  # noqa: B018
    HAS_LOG = True
except nngio.NotSupported:
    HAS_LOG = False

with_log = pytest.mark.skipif(not HAS_LOG, reason="NNG before 1.8 has no log")
without_log = pytest.mark.skipif(HAS_LOG, reason="this NNG has a log")

SECONDS = 10.0


class Kept(logging.Handler):
    """Keeps the records that it gets, in the order in which they come."""

    def __init__(self) -> None:
        super().__init__()
        self.records: queue.Queue[logging.LogRecord] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.put(record)

    def next(self, code: str) -> logging.LogRecord:
        """The next record with NNG's code."""
        while True:
            record = self.records.get(timeout=SECONDS)
            if getattr(record, "nng_id", None) == code:
                return record


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A handler of the logger that NNG's records go to, which is enabled for all of them; NNG's log is off afterwards."""
    logger = logging.getLogger("nngio.nng")
    handler = Kept()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield handler
    if HAS_LOG:
        nngio.disable_logging()
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


@without_log
@pytest.mark.parametrize("call", [nngio.enable_logging, nngio.disable_logging, lambda: nngio.log(30, "hello")])
def test_an_nng_without_a_log_says_which_has_one(call: Callable[[], object]) -> None:
    """The release is named."""
    with pytest.raises(nngio.NotSupported, match=r"needs NNG 1\.8\.0 or later; this build has 1\.[5-7]"):
        call()


@with_log
def test_what_nng_logs_goes_to_the_logger(kept: Kept, address: Callable[[str], str]) -> None:
    """Its level, code, facility and time."""
    nngio.enable_logging()
    before = time.time()
    with nngio.Pair0() as socket:
        socket.dial(address("ipc"), block=False)
        record = kept.next("NNG-CONN-FAIL")
    assert record.name == "nngio.nng"
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("NNG-CONN-FAIL: ")
    assert record.__dict__["nng_facility"] == "user"
    assert before - 1 < record.created < time.time() + 1


@with_log
@pytest.mark.parametrize(
    ("level", "expected", "name"),
    [
        (logging.CRITICAL, logging.ERROR, "ERROR"),
        (logging.ERROR, logging.ERROR, "ERROR"),
        ("WARNING", logging.WARNING, "WARNING"),
        ("NOTICE", 25, "NOTICE"),
        (25, 25, "NOTICE"),
        (22, 20, "INFO"),
        (logging.INFO, logging.INFO, "INFO"),
        ("DEBUG", logging.DEBUG, "DEBUG"),
        (1, logging.DEBUG, "DEBUG"),
    ],
)
def test_levels_are_the_same_on_both_sides(kept: Kept, level: int | str, expected: int, name: str) -> None:
    """What is written with a level arrives with it; NNG knows no more than five of them."""
    nngio.enable_logging(level="DEBUG")
    assert nngio.log(level, "hello", id="LEVEL")
    record = kept.next("LEVEL")
    assert (record.levelno, record.levelname, record.getMessage()) == (expected, name, "LEVEL: hello")


@with_log
def test_a_level_above_all_of_nng_s_logs_nothing(kept: Kept) -> None:
    """NNG has nothing that is as severe as CRITICAL."""
    nngio.enable_logging(level="CRITICAL")
    assert not nngio.log("CRITICAL", "hello")
    nngio.enable_logging(level=22)
    assert not nngio.log("INFO", "hello")
    assert nngio.log("NOTICE", "hello", id="FIRST")
    assert kept.records.get(timeout=SECONDS).__dict__["nng_id"] == "FIRST"


@with_log
@pytest.mark.parametrize("level", ["ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"])
def test_only_what_is_severe_enough_is_logged(kept: Kept, level: str) -> None:
    """NNG itself leaves out the rest."""
    nngio.enable_logging(level=level)
    names = ("DEBUG", "INFO", "NOTICE", "WARNING", "ERROR")
    written = [name for name in names if nngio.log(name, name, id="SEVERE")]
    assert written == list(names[names.index(level) :])
    for name in written:
        assert kept.next("SEVERE").levelname == name


@with_log
def test_the_level_is_that_of_the_logger_unless_it_is_given(kept: Kept) -> None:
    """As it is when logging is enabled."""
    logging.getLogger("nngio.nng").setLevel(logging.ERROR)
    nngio.enable_logging()
    assert not nngio.log("WARNING", "hello")
    assert nngio.log("ERROR", "hello", id="THE-ERROR")
    assert kept.next("THE-ERROR").levelname == "ERROR"


@with_log
def test_what_is_for_audits_has_a_logger_of_its_own(kept: Kept) -> None:
    """A child of the other, so that handlers can be set for it alone."""
    nngio.enable_logging(facility="local3")
    nngio.log("WARNING", "who is that", id="WHO", auth=True)
    record = kept.next("WHO")
    assert (record.name, record.__dict__["nng_facility"]) == ("nngio.nng.auth", "auth")
    nngio.log("WARNING", "somebody", id="SOMEBODY")
    record = kept.next("SOMEBODY")
    assert (record.name, record.__dict__["nng_facility"]) == ("nngio.nng", "local3")


@with_log
def test_another_logger_can_be_given() -> None:
    """The object, or its name."""
    logger, handler = logging.getLogger("test-nng"), Kept()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        for given in (logger, "test-nng"):
            nngio.enable_logging(logger=given)
            nngio.log("ERROR", "hello", id="HELLO")
            assert handler.next("HELLO").name == "test-nng"
    finally:
        nngio.disable_logging()
        logger.removeHandler(handler)


@with_log
def test_a_text_that_is_too_long_ends_visibly(kept: Kept) -> None:
    """At NNG's limit of 511 bytes, and not within a character."""
    nngio.enable_logging()
    nngio.log("ERROR", "\u20ac" * 170, id="FITS")
    assert kept.next("FITS").getMessage() == "FITS: " + "\u20ac" * 170
    nngio.log("ERROR", "\u20ac" * 171, id="CUT")
    assert kept.next("CUT").getMessage() == "CUT: " + "\u20ac" * 168 + " [...]"
    nngio.log("ERROR", "100% %s %n", id="%s")
    assert kept.next("%s").getMessage() == "%s: 100% %s %n"


@with_log
def test_a_handler_that_fails_stops_nothing(kept: Kept) -> None:
    """A filter that raises is reported like a callback that does, and the next record comes."""

    def refuse(record: logging.LogRecord) -> bool:
        if record.__dict__["nng_id"] == "BAD":
            raise ValueError("the filter failed")
        return True

    kept_errors: list[object] = []
    logger = logging.getLogger("nngio.nng")
    logger.addFilter(refuse)
    try:
        nngio.enable_logging()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.unraisablehook", lambda what: kept_errors.append(what.exc_value))
            nngio.log("ERROR", "hello", id="BAD")
            nngio.log("ERROR", "hello", id="GOOD")
            assert kept.next("GOOD").levelname == "ERROR"
    finally:
        logger.removeFilter(refuse)
    assert [str(error) for error in kept_errors] == ["the filter failed"]


@with_log
def test_what_can_not_be_kept_is_counted(kept: Kept) -> None:
    """A handler that stands still loses the newest records; a warning tells how many, and every other one arrives in order."""
    stopped, go_on = threading.Event(), threading.Event()

    def wait(_: logging.LogRecord) -> bool:
        stopped.set()
        return go_on.wait(SECONDS)

    logger = logging.getLogger("nngio.nng")
    nngio.enable_logging(level="ERROR")
    logger.addFilter(wait)
    try:
        nngio.log("ERROR", "first", id="COUNT")
        assert stopped.wait(SECONDS)
        for number in range(600):
            assert nngio.log("ERROR", str(number), id="COUNT")
    finally:
        go_on.set()
        logger.removeFilter(wait)
    nngio.log("ERROR", "last", id="LAST")
    texts = []
    with contextlib.suppress(queue.Empty):
        while not texts or not texts[-1].startswith("LAST"):
            texts.append(kept.records.get(timeout=1).getMessage())
    counted = [int(text.removeprefix("COUNT: ")) for text in texts[1:] if text.startswith("COUNT")]
    assert counted == list(range(len(counted)))
    lost = sum(int(text.split()[0]) for text in texts if "records of NNG's log were dropped" in text)
    assert len(counted) + lost + (0 if texts[-1].startswith("LAST") else -1) == 600
    assert lost > 0


@with_log
def test_records_are_handed_over_on_the_callback_thread(kept: Kept) -> None:
    """So a handler may send them with nngio itself."""
    where: list[bool] = []

    def look(_: logging.LogRecord) -> bool:
        where.append(callbacks.on_callback_thread())
        return True

    kept.addFilter(look)
    nngio.enable_logging()
    nngio.log("ERROR", "hello", id="WHERE")
    kept.next("WHERE")
    assert where
    assert all(where)


@with_log
def test_disabling_it_ends_it(kept: Kept) -> None:
    """Also twice; and it can be enabled again."""
    nngio.enable_logging()
    nngio.disable_logging()
    nngio.disable_logging()
    nngio.log("ERROR", "hello", id="UNHEARD")
    nngio.enable_logging()
    nngio.log("ERROR", "hello", id="HEARD")
    assert kept.records.get(timeout=SECONDS).__dict__["nng_id"] == "HEARD"


@with_log
def test_nng_writes_to_standard_error_by_itself() -> None:
    """Without Python's logging."""
    ended = programs.run(
        "import nngio\nnngio.enable_logging(to='stderr', level='INFO')\n"
        "nngio.log('INFO', 'hello', id='TO-STDERR')\nprint('logging' in sys.modules)\nmain_ends()"
    )
    ended.check(out="True\n", err=None)
    assert "TO-STDERR: hello" in ended.err


@with_log
def test_nng_writes_to_syslog_by_itself() -> None:
    """Where nobody listens to that, nothing happens."""
    programs.run("import nngio\nnngio.enable_logging(to='syslog')\nnngio.log('DEBUG', 'hello')\nmain_ends()").check()


@with_log
def test_a_program_that_logs_ends_at_once() -> None:
    """With sockets open whose connections fail over and over."""
    programs.run(
        """
import logging, nngio
logging.basicConfig(level=logging.DEBUG, stream=open(os.devnull, "w"))
nngio.enable_logging()
for _ in range(5):
    nngio.Pair0(dial="inproc://nobody", block=False, reconnect_time_min=0.001)
time.sleep(0.1)
main_ends()
"""
    ).check(exit_seconds=5)


@with_log
def test_a_forked_child_is_refused() -> None:
    """Its parent's log is its parent's."""
    programs.run(
        """
import nngio
nngio.enable_logging()
pid = os.fork()
if pid == 0:
    refused = 0
    for call in (nngio.enable_logging, nngio.disable_logging, lambda: nngio.log(40, "hello")):
        try:
            call()
        except nngio.ForkedError:
            refused += 1
    os._exit(refused)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
main_ends()
""",
        options=programs.FORKS,
    ).check(out="3\n")


@with_log
def test_what_makes_no_sense_is_refused() -> None:
    """With what there is instead."""
    with pytest.raises(ValueError, match="there is no level 'LOUD'; there are CRITICAL"):
        nngio.enable_logging(level="LOUD")
    with pytest.raises(TypeError, match="a level is a number or a name"):
        nngio.log(1.5, "hello")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the facility is one of user, daemon"):
        nngio.enable_logging(facility="auth")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match='goes to "logging", "stderr" or "syslog", not to \'file\''):
        nngio.enable_logging(to="file")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Logger or its name, not int"):
        nngio.enable_logging(logger=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the text is text, not bytes"):
        nngio.log(40, b"hello")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the id of a record can't hold a NUL"):
        nngio.log(40, "hello", id="a\0b")


@with_log
def test_threads_log_at_once_and_nothing_is_mixed_up(kept: Kept) -> None:
    """Each thread's records arrive in its order."""
    nngio.enable_logging(level="ERROR")

    def write(name: str) -> None:
        for number in range(100):
            nngio.log("ERROR", f"{name} {number}", id="MANY")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen: dict[str, list[int]] = {name: [] for name in "abcd"}
    for _ in range(400):
        name, number = kept.next("MANY").getMessage().removeprefix("MANY: ").split()
        seen[name].append(int(number))
    assert all(numbers == list(range(100)) for numbers in seen.values())
