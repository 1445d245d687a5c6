"""NNG's log, in Python's `logging`.

A record is copied where NNG makes it, by C, into a queue of 512 (shim/log.c). The thread that runs callbacks takes them out and gives
them to the logger, so that neither NNG nor a lock of its own ever waits for a handler.
"""

import threading
from typing import TYPE_CHECKING, Any, Literal

from nngio._core import callbacks
from nngio._core.errors import ForkedError, check
from nngio._core.library import ffi, lib
from nngio._core.nng import lib as nng

if TYPE_CHECKING:
    import logging

__all__ = ["disable_logging", "enable_logging", "log"]

Facility = Literal["user", "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]
Place = Literal["logging", "stderr", "syslog"]

NOTICE = 25
"""Between logging's INFO and WARNING, which NNG has and logging hasn't."""
LONGEST = 511
"""NNG's limit for a text, in bytes."""
CUT = b" [...]"

FACILITIES = ("user", "daemon", *(f"local{i}" for i in range(8)))
SEVERITIES = ((40, "ERR"), (30, "WARN"), (NOTICE, "NOTICE"), (20, "INFO"), (10, "DEBUG"))
"""logging's level, and what NNG calls it."""

_lock = threading.Lock()
_logger: "logging.Logger | None" = None


def enable_logging(
    *,
    level: int | str | None = None,
    logger: "logging.Logger | str" = "nngio.nng",
    facility: Facility = "user",
    to: Place = "logging",
) -> None:
    """Have what NNG logs: connections that fail and peers that are refused, and with DEBUG each connection.

    NNG drops its log unless this is called. Records go to the logger from the thread that runs callbacks, soon after; a handler that
    takes long holds up other callbacks, and nothing of NNG's. Up to 512 wait for it; what is more is dropped, and a warning tells how
    many. A record has NNG's code for what has happened, such as `NNG-CONN-FAIL`, as `record.nng_id`, and `record.nng_facility`; its
    time is that of the event. What NNG logs for security audits goes to the child logger `auth`. NNG's NOTICE is level 25.

    Calling it again changes what is given; `disable_logging` ends it. It starts NNG, so call `nngio.init` before.

    Args:
        level: what to log, as logging's number or name. None: what the logger is enabled for now; NOTICE if not `to` logging.
        logger: the logger that gets the records, or its name.
        facility: what records are marked with, but for those for audits; syslog sorts by it.
        to: "stderr" or "syslog" to have NNG write there by itself, without Python.

    Raises:
        NotSupported: this NNG is older than 1.8, and has no log.
        ValueError: there is no such level, facility or place.

    Thread safety: may be called on any thread. NNG: `nng_log_set_logger`, `nng_log_set_level`, `nng_log_set_facility`,
    `nng_null_logger`, `nng_stderr_logger`, `nng_system_logger`.
    """
    global _logger
    nng.nng_log_set_logger  # noqa: B018  # says what is missing
    import logging

    if facility not in FACILITIES:
        raise ValueError(f"the facility is one of {', '.join(FACILITIES)}, not {facility!r}")
    if to not in ("logging", "stderr", "syslog"):
        raise ValueError(f'NNG\'s log goes to "logging", "stderr" or "syslog", not to {to!r}')
    if isinstance(logger, str):
        logger = logging.getLogger(logger)
    elif not isinstance(logger, logging.Logger):
        raise TypeError(f"the logger is a logging.Logger or its name, not {type(logger).__name__}")
    if level is None:
        level = logger.getEffectiveLevel() if to == "logging" else NOTICE
    severity = _limit(_number(level))
    if lib.nngio_forked():
        raise ForkedError()
    with _lock:
        lib.nng_log_set_facility(getattr(lib, f"NNG_LOG_{facility.upper()}"))
        lib.nng_log_set_level(severity)
        if to == "logging":
            if logging.getLevelName(NOTICE) == f"Level {NOTICE}":
                logging.addLevelName(NOTICE, "NOTICE")
            _logger = logger
            check(lib.nngio_log_start())
            queue = callbacks.start()
            if _deliver not in callbacks.sources:
                callbacks.sources.append(_deliver)
            lib.nngio_log_wakes(queue)
        else:
            lib.nng_log_set_logger(lib.nng_stderr_logger if to == "stderr" else lib.nng_system_logger)


def disable_logging() -> None:
    """Have NNG drop its log again. Records that are on their way still come. Nothing happens when it was dropped already.

    Thread safety: may be called on any thread. NNG: `nng_log_set_logger`, `nng_null_logger`.
    """
    nng.nng_log_set_logger  # noqa: B018
    if lib.nngio_forked():
        raise ForkedError()
    lib.nng_log_set_logger(lib.nng_null_logger)


def log(level: int | str, text: str, *, id: str = "NNGIO", auth: bool = False) -> bool:  # noqa: A002
    """Write to NNG's log, and return whether it takes records of this level now.

    Where NNG's own records go, this one goes, too; more than 511 bytes are cut, and end with `[...]` then.

    Args:
        level: logging's number or name.
        text: what has happened.
        id: a short code for it.
        auth: whether it is for security audits.

    Raises:
        NotSupported: this NNG is older than 1.8, and has no log.

    Thread safety: may be called on any thread. NNG: `nng_log_err`, `nng_log_warn`, `nng_log_notice`, `nng_log_info`,
    `nng_log_debug`, `nng_log_auth`, `nng_log_get_level`.
    """
    nng.nng_log_get_level  # noqa: B018
    number = _number(level)
    name = next((name for least, name in SEVERITIES if number >= least), "DEBUG")
    severity = getattr(lib, f"NNG_LOG_{name}")
    what, code = _c_text(text, "text"), _c_text(id, "id")
    if lib.nngio_forked():
        raise ForkedError()
    if len(what) > LONGEST:
        what = what[: LONGEST - len(CUT)].decode("utf-8", "ignore").encode() + CUT
    arguments = code, b"%s", ffi.new("char[]", what)
    if auth:
        lib.nng_log_auth(severity, *arguments)
    else:
        getattr(lib, f"nng_log_{name.lower()}")(*arguments)
    return bool(severity <= lib.nng_log_get_level())


def _c_text(text: str, what: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"the {what} is text, not {type(text).__name__}")
    if "\0" in text:
        raise ValueError(f"the {what} of a record can't hold a NUL character")
    return text.encode("utf-8", "backslashreplace")


def _number(level: int | str) -> int:
    """logging's number for a level, given as that or by name."""
    import logging

    if isinstance(level, str):
        names = logging.getLevelNamesMapping() | {"NOTICE": NOTICE}
        if level not in names:
            raise ValueError(f"there is no level {level!r}; there are {', '.join(names)}")
        return names[level]
    if isinstance(level, bool) or not isinstance(level, int):
        raise TypeError(f"a level is a number or a name of logging's, not {type(level).__name__}")
    return level


def _limit(level: int) -> Any:
    """NNG's number for the least severe of its records that are as severe as this, or more."""
    names = [name for least, name in SEVERITIES if least >= level]
    return getattr(lib, f"NNG_LOG_{names[-1] if names else 'NONE'}")


def _deliver() -> None:
    """Hand over what has been logged. Called on the callback thread."""
    record = ffi.new("nngio_log_record *")
    lost = ffi.new("uint64_t *")
    while True:
        more = lib.nngio_log_take(record, lost)
        if lost[0]:
            callbacks.call(_tell, lost[0])
        if not more:
            return
        callbacks.call(_hand_over, record)


def _hand_over(c: Any) -> None:
    logger = _logger
    if logger is None:
        return
    facility = next((name for name in (*FACILITIES, "auth") if getattr(lib, f"NNG_LOG_{name.upper()}") == c.facility), "user")
    if facility == "auth":
        logger = logger.getChild("auth")
    level = next((number for number, name in SEVERITIES if getattr(lib, f"NNG_LOG_{name}") == c.level), 10)
    if not logger.isEnabledFor(level):
        return
    code, text = (ffi.string(field).decode("utf-8", "replace") for field in (c.id, c.text))
    extra = {"nng_id": code, "nng_facility": facility}
    record = logger.makeRecord(logger.name, level, "(NNG)", 0, "%s: %s", (code, text.rstrip("\n")), None, None, extra)
    record.created = c.seconds
    record.msecs = int(c.seconds % 1 * 1000)
    logger.handle(record)


def _tell(lost: int) -> None:
    if _logger is not None:
        _logger.warning("%d records of NNG's log were dropped: more came than could be handled", lost)
