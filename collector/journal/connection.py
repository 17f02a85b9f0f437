"""Opening the journal: the pragmas that its promises rest on, and what SQLite's errors mean.

The writer's connection is the only one in any process that may write or checkpoint. It is opened in
WAL mode with `synchronous=FULL`, so that a commit that returns is on the disk, and without automatic
checkpoints, which the janitor does when it is their time. The database file itself is never opened
by other means once a connection exists: closing such a descriptor would drop SQLite's locks.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import quote

import msgspec

from collector.errors import (
    EXIT_IOERR,
    EXIT_NOPERM,
    CollectorError,
    JournalBusy,
    JournalCorrupt,
    JournalError,
    JournalFull,
    JournalIOError,
    JournalTooNew,
    PathTaken,
)
from collector.journal import recovery
from collector.journal.converting import CONVERSIONS
from collector.journal.files import (
    PARTS,
    check_main,
    failure,
    part,
    refusal,
    sync_directory,
    way_in,
)
from collector.journal.migration_room import check_rest, check_room
from collector.journal.wal import wal_of as wal_of

SCHEMA_VERSION: Final = 4
APPLICATION_ID: Final = 0x636F6C6C
"""`coll`, in the header of every journal."""
_MARK: Final = APPLICATION_ID.to_bytes(4)
WAL_BYTES: Final = 8 * 1024 * 1024
"""Length to which the write-ahead log's file is cut when it begins anew; above it, it is due."""

CACHE_BYTES: Final = 4 * 1024 * 1024
"""Pages that the writer keeps in memory."""

_PERMISSION: Final = (sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH)


def translate(error: sqlite3.Error, path: Path | str) -> JournalError:
    """The journal's error for one of SQLite's, with the way out where there is one."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    text = f"{path}: {error}"
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return JournalCorrupt(text)
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalBusy(text)
    if primary == sqlite3.SQLITE_FULL:
        return JournalFull(text)
    if primary in _PERMISSION or primary == sqlite3.SQLITE_CANTOPEN:
        return _not_opened(Path(path), text)
    return JournalIOError(text)


def _not_opened(path: Path, text: str) -> JournalIOError:
    """77 and the way in where mode bits are the reason; 74 where the file system is read-only, or
    where descriptors, memory or the disk failed: SQLite says the same of them."""
    if _permission_exit(path) == EXIT_NOPERM:
        for each in (path.parent, *(part(path, end) for end in PARTS)):
            if each.exists() and not os.access(each, os.R_OK | os.W_OK):
                return JournalIOError(f"{text} ({each}: {way_in(each)})", EXIT_NOPERM)
    return JournalIOError(text)


def _permission_exit(path: Path) -> int:
    """77 where the mode bits are the reason, 74 where the file system itself is read-only."""
    try:
        return EXIT_IOERR if os.statvfs(path.parent).f_flag & os.ST_RDONLY else EXIT_NOPERM
    except OSError:
        return EXIT_NOPERM


UNREADABLE: Final = (ValueError, TypeError, LookupError, msgspec.MsgspecError)
"""What reading a damaged journal raises beside SQLite's errors: texts, and messages of SQLite that
quote them, which are not UTF-8; JSON that is none; numbers for texts; facts that are missing."""


def unreadable(path: Path | str, error: Exception) -> JournalCorrupt:
    """The journal's error for one of `UNREADABLE`."""
    why = f"{type(error).__name__}: {error}"
    return JournalCorrupt(f"{path}: something in it cannot be read ({why}); see `collector verify`")


class translated:  # noqa: N801 - used as `with translated(path):`
    """Raise the journal's own errors in place of SQLite's.

    A class, since it stands on the way of every event, where a generator costs three times as much.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise translate(error, self._path) from error


class RowRefused(CollectorError):
    """The database refuses a row for itself (a constraint or trigger), not for the disk's sake."""


@contextmanager
def refusable() -> Iterator[None]:
    """Raise `RowRefused` for what SQLite has against the rows; its other errors pass."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError) as error:
        raise RowRefused(str(error)) from error
    except (OverflowError, UnicodeError) as error:
        raise RowRefused(str(error)) from error


def schema() -> str:
    """The SQL of the current schema."""
    return resources.files(__package__).joinpath("schema.sql").read_text("utf-8")


VALUE_BYTES: Final = 64 * 1024 * 1024
"""Longest value that is read from a file that may be anybody's; ours are a hundredth of it."""


def distrust(connection: sqlite3.Connection) -> None:
    """Read a file that may be anybody's: nothing in its schema is run, and what it holds is bounded."""
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)


def open_writer(
    path: Path,
    *,
    patience: float = recovery.PATIENCE,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> sqlite3.Connection:
    """The one connection that writes, on a journal of the current schema, checkpointed.

    Creates the file (mode 0640) where it is missing. Raises `JournalError` of the kind that fits:
    busy after `patience` seconds, corrupt, too new, full, no permission; `PathTaken` where the file
    is somebody else's database.
    """
    check_main(path)
    _create(path)
    with translated(path):
        connection = sqlite3.connect(path, isolation_level=None, cached_statements=256, timeout=0)
    try:
        with translated(path):
            _configure(connection, path)
            recovery.take_over(connection, path, patience, monotonic, sleep)
        sync_directory(path.parent)  # SQLite takes no notice where its own sync of it fails
    except UNREADABLE as error:
        leave(connection, path)
        raise unreadable(path, error) from error
    except OSError as error:
        leave(connection, path)
        raise JournalIOError(f"{path.parent}: {error.strerror}") from error
    except BaseException:
        leave(connection, path)
        raise
    return connection


def leave(connection: sqlite3.Connection, path: Path) -> None:
    """Close without the checkpoint that SQLite adds to the last close: the log is the next start's.

    For a log that may not be on the disk: copied into the database it would be lost itself.
    """
    keeper: sqlite3.Connection | None = None
    with suppress(sqlite3.Error, *UNREADABLE):
        # A second connection makes the first one's close not the last.
        keeper = sqlite3.connect(f"file:{quote(os.fspath(path.absolute()))}?mode=ro", uri=True)
        keeper.execute("BEGIN")
        keeper.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    connection.close()
    if keeper is not None:
        keeper.close()  # it may only read, so it checkpoints nothing


_HEADER: Final = 108
"""Bytes of a database's own header (100) and of its first page's: https://sqlite.org/fileformat2.html"""


def _check_ours(path: Path) -> None:
    """Raise `PathTaken` for another program's database, by its header alone, before it is opened.

    SQLite would first lay over it whatever log lies beside it. A journal that was never checkpointed
    has an empty first page and not yet our mark.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except OSError as error:
        raise refusal(path, error) from error
    tables = header[103:105] != bytes(2)
    if header.startswith(b"SQLite format 3\0") and tables and header[68:72] != _MARK:
        raise PathTaken(f"{path} is a database, but not one of collector's; choose another path")


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
    except FileExistsError:
        if not path.is_file():
            raise PathTaken(f"{path} is not a regular file") from None
        if not os.access(path, os.R_OK | os.W_OK):  # SQLite would only say that it cannot open it
            raise _not_opened(path, f"{path}: may not be read and written") from None
        _check_ours(path)
    except OSError as error:
        raise failure(path, error) from error


def _configure(connection: sqlite3.Connection, path: Path) -> None:
    run = connection.execute
    run("PRAGMA busy_timeout = 5000")
    empty = run("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
    if empty:
        run("PRAGMA auto_vacuum = INCREMENTAL")
        run("PRAGMA page_size = 4096")
    elif run("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise PathTaken(f"{path} is a database, but not one of collector's; choose another path")
    version = run("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise JournalTooNew(
            f"{path} has schema {version}, this collector knows {SCHEMA_VERSION}; upgrade collector"
        )
    if not empty:
        check_room(connection, path, version, SCHEMA_VERSION)
    run("PRAGMA journal_mode = WAL")
    run("PRAGMA synchronous = FULL")
    run("PRAGMA wal_autocheckpoint = 0")
    run(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    run(f"PRAGMA cache_size = -{CACHE_BYTES // 1024}")
    run("PRAGMA temp_store = MEMORY")
    run("PRAGMA trusted_schema = OFF")
    run("PRAGMA secure_delete = ON")  # what was pruned must not be found in free pages
    recovery.write_log_again(connection, path)
    if empty:
        run(f"PRAGMA application_id = {APPLICATION_ID}")
    migrate(connection, version)
    run("PRAGMA busy_timeout = 0")


def migrations(version: int) -> list[tuple[int, str]]:
    """The steps from `version` to the current schema, oldest first, as `(version, sql)`."""
    folder = resources.files(__package__).joinpath("migrations")
    steps = sorted(
        (int(file.name[:4]), file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    )
    return [step for step in steps if step[0] > version]


def migrate(
    connection: sqlite3.Connection,
    version: int,
    steps: list[tuple[int, str]] | None = None,
    target: int = SCHEMA_VERSION,
) -> None:
    """Bring a journal of schema `version` (0 = empty) to the current one, all or nothing.

    Raises `JournalFull` where the disk has no room for it, and what SQLite raises; rolled back then.
    """
    if version == target:
        return
    if version == 0:
        steps = [(target, schema())]
    elif steps is None:
        steps = migrations(version)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number, script in steps:
            for statement in statements(script):
                connection.execute(statement)
            if version and number in CONVERSIONS:
                CONVERSIONS[number](connection)
        connection.execute(f"PRAGMA user_version = {target}")
        if version:
            check_rest(connection, target, CACHE_BYTES)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # on a full disk SQLite may have left it by itself
            connection.execute("ROLLBACK")
        raise


def statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one; `executescript` would end the transaction."""
    statement = ""
    for piece in script.split(";")[:-1]:
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
