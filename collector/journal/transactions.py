"""Transactions on the writer's connection, and the write-ahead log that their commits go to.

Two rules hold here, whoever writes. What is acknowledged is committed with `synchronous=FULL`. And
after an error at a commit or a checkpoint, which may have been a sync that failed, nothing is written
or checkpointed before the log is known to be on the disk again: what is appended behind a hole would
be lost with it at a power cut. See `docs/decisions/0008-a-sync-that-failed.md`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from collector.errors import JournalBusy, JournalError, JournalIOError, JournalTorn
from collector.journal.connection import WAL_BYTES, leave, translate
from collector.journal.held import Held
from collector.journal.recovery import mark_clean
from collector.journal.wal import FRAME, HEADER, copy_again, wal_of, write_again
from collector.journal.wal_index import Position, WalIndex

PAGE: Final = 4096
UNSYNCED_FRAMES: Final = 1024
"""Pages in the write-ahead log without a sync (4 MiB) from which on a derived commit is synced too: so
much must be written again in one go after a sync that failed. A checkpoint is due by then, which syncs
the log as well, so that only beside a reader there are syncs more than without this bound."""


class Transactions:
    """What an open journal can do with its connection as a whole."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._wal = os.fspath(wal_of(path))
        self.connection = connection
        self.frames = 0.0
        """Pages written to the write-ahead log since it was last checkpointed, about."""
        self.held = Held(path)
        """Whether a reader keeps that from happening."""
        self._log_frames = 0
        """Frames in the write-ahead log at the last checkpoint, copied or not."""
        self._index = WalIndex(path)
        self._synced: Position | None = None
        """Where the log ended, synced, before the first unsynced commit; None where none followed."""
        self._end: Position | None = None
        """Where the last unsynced commit left it."""
        self._doubtful = False
        """Whether a sync may have failed, so that the log's unsynced end may never reach the disk."""
        self._copies_doubtful = False
        """The same of what checkpoints have copied into the database."""
        self._unready = False
        """Whether the log is doubtful, or `synchronous` not known to be FULL: see `begin`."""

    def begin(self) -> None:
        """Start a transaction whose commit is synced. Raises `JournalError`.

        None starts while `synchronous` is not known to be FULL, or while what the log holds may not
        be on the disk: behind a hole there, a commit would be lost at a power cut.
        """
        if self._unready:
            self._make_ready()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def commit(self) -> None:
        """End the transaction; when this returns it is on the disk. Raises `JournalError`."""
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._doubt(error)
            raise translate(error, self.path) from error
        self.frames += 1
        if self._synced is not None and self._index.position() != self._end:
            self._synced = None  # a commit of nothing syncs nothing

    def rollback(self) -> None:
        """Leave the transaction, if SQLite has not already left it."""
        if self.connection.in_transaction:
            try:
                self.connection.execute("ROLLBACK")
            except sqlite3.Error:
                pass  # an I/O error while rolling back: SQLite has left the transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """`begin`, the body, `commit`; `rollback` where anything raises. Raises `JournalError`."""
        self.begin()
        try:
            yield
            self.commit()
        except sqlite3.Error as error:
            self.rollback()
            raise translate(error, self.path) from error
        except BaseException:
            self.rollback()
            raise

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """A transaction like any other, but that its commit waits for no sync.

        The next commit of `transaction` brings it to the disk; until then a power cut may take it.
        Some of them are synced all the same: see `UNSYNCED_FRAMES`. Raises `JournalError`.
        """
        if self._unready:
            self._make_ready()
        synced = self._synced_up_to()
        if synced is None:
            with self.transaction():
                yield
            return
        try:
            self._unready = True
            self._run("PRAGMA synchronous = NORMAL")
            self._run("BEGIN IMMEDIATE")
            try:
                yield
                self.commit()
            except BaseException:
                self.rollback()
                raise
            self._synced, self._end = synced, self._index.position()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        finally:
            self._run("PRAGMA synchronous = FULL")  # `begin` does not rely on that
            self._unready = self._doubtful

    def _synced_up_to(self) -> Position | None:
        """Up to where the log is synced; None where it is time for a sync, or that is not known."""
        now = self._index.position()
        if now is None:
            return None
        synced = self._synced or now
        begun = synced.frames if synced.salts == now.salts else 0
        return None if now.frames - begun >= UNSYNCED_FRAMES else synced

    # ── the log ─────────────────────────────────────────────────────────────────────────────────

    def checkpoint(self) -> bool:
        """Copy what the write-ahead log holds into the database; whether all of it could be.

        A reader on an old snapshot keeps the rest for a later time. Raises `JournalError`.
        """
        if self._unready:
            self._make_ready()
        busy, frames, copied = self._run("PRAGMA wal_checkpoint(PASSIVE)")
        self.frames = max(0, frames - copied)
        self._log_frames = frames
        self.held.note(frames, copied, busy=bool(busy))
        return not busy and frames == copied

    def wal_is_long(self, frames: float) -> bool:
        """Whether a checkpoint is due: after so many frames by count, or by the length of the file.

        The count is an estimate from rows of the usual size. The length alone says nothing, since the
        file is not cut before its next use.
        """
        return self.frames >= frames or (
            self.frames >= frames / 16 and self.wal_bytes() > WAL_BYTES
        )

    def wipe(self) -> bool:
        """Checkpoint and empty the write-ahead log's file, where old pages linger; whether it worked.

        It does not while a reader is in the midst of an answer. Raises `JournalError`.
        """
        if not self.checkpoint():
            return False
        try:
            return not self._run("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        except JournalBusy:
            return False

    def cut_log(self) -> None:
        """Give back what a commit that failed has left in the log's file behind the last that did not.

        SQLite writes over it, but does not cut the file before the log begins anew, and on a full disk
        that may wait for this very room. For right after a checkpoint, and the one who may write.
        """
        size = HEADER + self._log_frames * (FRAME + PAGE)
        if 0 < size < self.wal_bytes():
            with suppress(OSError):
                os.truncate(self._wal, size)

    def wal_bytes(self) -> int:
        """Size of the write-ahead log file."""
        try:
            return os.stat(self._wal).st_size
        except OSError:
            return 0

    def close(self, *, clean: bool = True) -> None:
        """Checkpoint and close, leaving a database that a reader needs no write access to read.

        `clean` leaves the mark that the log is whole; not for a journal whose writes were failing.
        """
        if clean:
            with suppress(JournalError), self.transaction():
                mark_clean(self.connection)
        with suppress(JournalError):  # a reader is there: the next start checkpoints
            if not self._doubtful:
                self._run("PRAGMA wal_checkpoint(TRUNCATE)")
                self._run("PRAGMA journal_mode = DELETE")
        if self._doubtful:
            leave(self.connection, self.path)
        else:
            self.connection.close()

    # ── after a sync that failed ────────────────────────────────────────────────────────────────

    def _doubt(self, error: sqlite3.Error) -> None:
        """A commit or a checkpoint failed; where that was for input or output, a sync may have."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR:
            self._doubtful = self._unready = True

    def _make_ready(self) -> None:
        """See that commits are synced, and that the log is on the disk. Raises `JournalError`."""
        if self.connection.in_transaction:
            return  # it is not the time for either; BEGIN will say so
        self._run("PRAGMA synchronous = FULL")
        if self._doubtful:
            self._mend()
        self._unready = False

    def _mend(self) -> None:
        """Write again what of the log was not synced. Raises `JournalIOError`, `JournalTorn`."""
        self._run("BEGIN IMMEDIATE")  # nobody else writes meanwhile
        try:
            end, synced = self._index.position(), self._synced
            if end is None and (synced is not None or self._copies_doubtful):
                raise JournalTorn(f"{self.path}: nobody can tell what of its log is on the disk")
            if end is not None and end.frames:
                self._write_again(end, synced or end)
        except OSError as error:
            raise JournalIOError(f"{self.path}: {error.strerror}") from error
        finally:
            self.rollback()
        self._doubtful = self._copies_doubtful = False

    def _write_again(self, end: Position, synced: Position) -> None:
        after = synced.frames if synced.salts == end.salts else 0
        if after < end.frames:
            write_again(wal_of(self.path), end, max(after, end.backfilled))
        if self._copies_doubtful:
            copy_again(self.path, end)

    def _run(self, sql: str) -> Any:
        """The first row of a statement that writes no rows. Raises `JournalError`."""
        try:
            return self.connection.execute(sql).fetchone()
        except sqlite3.Error as error:
            self._doubt(error)
            self._copies_doubtful = self._doubtful  # it may have been a checkpoint's
            raise translate(error, self.path) from error
