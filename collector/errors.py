"""Every error that collector raises on purpose.

    CollectorError
    ├── ConfigError          the configuration is wrong; carries each mistake's path        exit 78
    ├── Rejected             one event is refused, for itself; carries a protocol code
    │   ├── InvalidJSON      `invalid_json`
    │   ├── InvalidEvent     `invalid_event`
    │   └── …                the other codes are plain `Rejected(code, …)`
    ├── JournalError         the journal cannot be used; carries an exit code
    │   ├── JournalBusy      locked by another writer or reader                             exit 75
    │   ├── JournalCorrupt   SQLite reports damage, or it is no database                    exit 65
    │   │   └── JournalDamaged   two independent looks have found damage                   exit 65
    │   ├── JournalMissing   gone, but its write-ahead log is there                             exit 65
    │   ├── JournalTooNew    written by a newer collector                                   exit 78
    │   ├── SQLiteTooOld     this machine's SQLite lacks what the journal is made of        exit 78
    │   ├── JournalFull      no space left, and none could be made                          exit 74
    │   │   └── JournalHeld  nor in the log, while a reader holds a snapshot                exit 74
    │   └── JournalIOError   the disk or its permissions                                    exit 74, 77
    │       └── JournalTorn  the log is not what was written to it                          exit 74
    ├── AlreadyRunning       a live daemon holds the socket or the journal                  exit 69
    ├── PathTaken            something that is not ours stands where our file belongs       exit 73
    ├── AddressTaken         a TCP address that cannot be listened on                       exit 69
    ├── DaemonUnreachable    no daemon answers on the socket                                exit 69
    └── QueryError           a filter, time or cursor that makes no sense; names the field  exit 2

Errors are raised inside and turned into an answer at the two edges only: a socket (or HTTP) reply
and a producer's `record`. The exit codes are those of `sysexits.h`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_DATA: Final = 65
EXIT_UNAVAILABLE: Final = 69
EXIT_CANTCREAT: Final = 73
EXIT_IOERR: Final = 74
EXIT_TEMPFAIL: Final = 75
EXIT_NOPERM: Final = 77
EXIT_CONFIG: Final = 78

Code = Literal[
    "invalid_json",
    "invalid_event",
    "too_large",
    "rate_limited",
    "denied",
    "busy",
    "timeout",
    "storage_full",
    "io_error",
    "draining",
    "unknown_op",
    "failed",
]
"""The closed set of reasons a socket or HTTP reply can give."""

CODES: Final[frozenset[str]] = frozenset(get_args(Code))
RETRYABLE: Final[frozenset[str]] = frozenset(
    {"rate_limited", "busy", "timeout", "storage_full", "io_error", "draining"}
)
"""The codes after which the same line, sent again with the same id, may succeed."""


class CollectorError(Exception):
    """The root of the tree. `exit_code` is what a command that ends with this error returns."""

    exit_code: int = EXIT_FAILED


MISTAKES_SHOWN: Final = 20
"""Lines of a `ConfigError`'s text; a file of the wrong kind can hold a million mistakes."""


class ConfigError(CollectorError):
    """A configuration with mistakes: `message`, `path` and `source` are the first one's.

    `path` is the key's dotted path, empty for the file as a whole; `source` the file or variable.
    """

    exit_code = EXIT_CONFIG

    def __init__(
        self, message: str, path: str = "", source: str = "", others: Sequence[ConfigError] = ()
    ) -> None:
        self.message = message
        self.path = path
        self.source = source
        self._others = tuple(others)
        lines = [": ".join(part for part in (source, path, message) if part), *map(str, others)]
        if len(lines) > MISTAKES_SHOWN:
            lines[MISTAKES_SHOWN:] = [f"… and {len(lines) - MISTAKES_SHOWN} more"]
        super().__init__("\n".join(lines))

    @classmethod
    def of(cls, mistakes: Sequence[ConfigError]) -> ConfigError:
        """All mistakes, of which there is at least one, as one error; its text has a line for each."""
        first = mistakes[0]
        return cls(first.message, first.path, first.source, mistakes[1:])

    @property
    def mistakes(self) -> list[ConfigError]:
        """Each mistake by itself, in the order of the file."""
        return [ConfigError(self.message, self.path, self.source), *self._others]


class Rejected(CollectorError):
    """One request is refused; `code` is the protocol's word for why, the text says it to people.

    `facts` are further fields of the reply to a command, for programs.
    """

    exit_code = EXIT_DATA

    def __init__(self, code: Code, message: str, facts: Mapping[str, Any] | None = None) -> None:
        self.code: Code = code
        self.facts: Mapping[str, Any] = facts or {}
        super().__init__(message)

    @property
    def retry(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in RETRYABLE


class InvalidJSON(Rejected):
    """The bytes are not one JSON object in UTF-8."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_json", message)


class InvalidEvent(Rejected):
    """The object is JSON but not an event; the message names the field and the way out."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid_event", message)


class JournalError(CollectorError):
    """The journal cannot be opened, read or written."""

    exit_code = EXIT_IOERR


class JournalBusy(JournalError):
    """Another connection holds what is needed; trying again later may work."""

    exit_code = EXIT_TEMPFAIL


class JournalCorrupt(JournalError):
    """The file is not a database, or SQLite says that its content is damaged: it may be mistaken."""

    exit_code = EXIT_DATA


class JournalDamaged(JournalCorrupt):
    """Two independent looks at the file have found it damaged; see `journal/looking.py`."""


class JournalMissing(JournalError):
    """The database is gone and its write-ahead log is there; opening it would delete the log."""

    exit_code = EXIT_DATA


class JournalTooNew(JournalError):
    """The file was written by a newer collector; it is left untouched."""

    exit_code = EXIT_CONFIG


class SQLiteTooOld(JournalError):
    """The SQLite that Python was linked with cannot read or write a journal."""

    exit_code = EXIT_CONFIG


class JournalFull(JournalError):
    """No space is left on the device, and none could be made. `needed` is in bytes, where known."""

    def __init__(self, message: str, needed: int = 0) -> None:
        super().__init__(message)
        self.needed = needed


class JournalHeld(JournalFull):
    """A reader keeps the write-ahead log from being checkpointed, and there is no room for more."""


class JournalIOError(JournalError):
    """Reading or writing failed. `exit_code` is 77 where permissions are the reason."""

    def __init__(self, message: str, exit_code: int = EXIT_IOERR) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class JournalTorn(JournalIOError):
    """The log is no more what was written to it. Nothing may go on from there but a new start."""


class AlreadyRunning(CollectorError):
    """A live daemon holds the lock. `pid` is its process id where it is known."""

    exit_code = EXIT_UNAVAILABLE

    def __init__(self, path: str, pid: int | None = None) -> None:
        self.path = path
        self.pid = pid
        who = f"pid {pid}" if pid else "another process"
        super().__init__(f"already running: {who} holds {path}")


class PathTaken(CollectorError):
    """A file that is not ours stands where our socket or file belongs; it is left alone."""

    exit_code = EXIT_CANTCREAT


class AddressTaken(CollectorError):
    """Something else listens on the address of HTTP, or this user may not."""

    exit_code = EXIT_UNAVAILABLE


class DaemonUnreachable(CollectorError):
    """No daemon answers where one was expected."""

    exit_code = EXIT_UNAVAILABLE


class QueryError(CollectorError):
    """A filter, a time or a cursor that makes no sense. `field` names the parameter."""

    exit_code = EXIT_USAGE

    def __init__(self, message: str, field: str = "") -> None:
        self.field = field
        super().__init__(f"{field}: {message}" if field else message)


class QueryTimeout(CollectorError):
    """A query was stopped at its time limit; narrow it by a filter or a range of time."""

    exit_code = EXIT_TEMPFAIL
