"""A reader that goes on: it polls by its cursor, cheaply, and survives a journal that is replaced.

Whether anything was written is first asked of the file system (size and time of the database and
its write-ahead log), which costs microseconds; the database is asked when they changed, and every
`CERTAIN` seconds in any case, since a file's time has a granularity.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import AsyncIterator
from types import TracebackType
from typing import IO, Final, Self

from collector.cli.edge import complain
from collector.cli.reading import following, newest, open_and_warn, reversed_batches
from collector.core.query import Filter
from collector.errors import JournalBusy
from collector.event import Entry
from collector.journal.reader import Reader

TICK: Final = 0.1
CERTAIN: Final = 2.0

Mark = tuple[tuple[int, int, int] | None, ...]
"""Inode, size and time of change of the database and its write-ahead log."""
Identity = tuple[int]


class Follow:
    """The journal at `path` and a cursor in it: the seq up to which everything was handed out."""

    def __init__(self, path: str, wanted: Filter) -> None:
        self._path = path
        self._wanted = wanted
        self._reader: Reader | None = None
        self._cursor = 0
        self._files: tuple[Identity | None, Identity | None] = (None, None)

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def last(self, count: int | None) -> AsyncIterator[list[Entry]]:
        """The last `count` entries (None for all), oldest first."""
        assert self._reader is not None
        # The end is fixed before anything is read: what is recorded meanwhile comes after it.
        end = await self._reader.last_seq()
        batches = self._reader.export(self._wanted)
        if count is not None:
            batches = reversed_batches(newest(self._reader, self._wanted, count, end + 1))
        async for entries in batches:
            yield [entry for entry in entries if entry.seq <= end]
        self._cursor = end

    async def rest(self, after: int) -> AsyncIterator[list[Entry]]:
        """Everything beyond the seq `after`, oldest first."""
        assert self._reader is not None
        end = await self._reader.last_seq()
        if after > end:
            complain(f"{after} is beyond the journal's last seq, {end}: is it another journal?")
        async for entries in following(self._reader, self._wanted, after):
            yield entries
            end = max(end, entries[-1].seq)
        self._cursor = max(after, end)

    async def coming(self, out: IO[str]) -> AsyncIterator[list[Entry]]:
        """What is recorded from now on, until nobody reads `out` any more."""
        seen: Mark | None = None
        waited = 0.0
        while not _abandoned(out):
            mark = self._mark()
            if mark != seen or waited >= CERTAIN:
                seen, waited = mark, 0.0
                async for entries in self._new():
                    yield entries
            await asyncio.sleep(TICK)
            waited += TICK

    async def _new(self) -> AsyncIterator[list[Entry]]:
        try:
            await self._reopen()
            if self._reader is None:
                return
            # Without a match the cursor still moves, so that the same stretch is searched once.
            end = await self._reader.last_seq()
            if end < self._cursor:
                self._start_anew()
            async for entries in following(self._reader, self._wanted, self._cursor):
                yield entries
                end = max(end, entries[-1].seq)
            self._cursor = max(self._cursor, end)
        except JournalBusy:
            return  # a daemon starts or stops; the next look will tell

    async def _reopen(self) -> None:
        """Follow the name, not the file: a restored or a new journal takes the old one's place.

        A write-ahead log that comes or goes means that a daemon started or stopped. A reader that
        was opened while none was there may have skipped all locks, and would never see a change.
        """
        main, log = _identities(self._path)
        if self._reader is not None and (main, log) == self._files:
            return
        await self._close()
        if main is None:
            return  # on its way; the next look will tell
        replaced = main != self._files[0]
        await self._open()
        if replaced:
            self._start_anew()

    def _start_anew(self) -> None:
        complain(f"{self._path} was replaced; following the new journal from its start")
        self._cursor = 0

    async def _open(self) -> None:
        self._files = _identities(self._path)
        self._reader = await open_and_warn(self._path)

    async def _close(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await reader.close()

    def _mark(self) -> Mark:
        return tuple(_stat(f"{self._path}{suffix}") for suffix in ("", "-wal"))


def _stat(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _identities(path: str) -> tuple[Identity | None, Identity | None]:
    """Which files stand at the names of the database and its write-ahead log."""
    main, log = (_stat(f"{path}{suffix}") for suffix in ("", "-wal"))
    return main and main[:1], log and log[:1]


def _abandoned(out: IO[str]) -> bool:
    """Whether `out` is a pipe that nobody reads: else only writing would tell."""
    try:
        poll = select.poll()
        poll.register(out.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False
