"""`spool`: what was recorded is on the disk before the call returns, and goes to the daemon from
there, in this process's life or in another's.

A directory holds segments of several processes. Each appends to its own and adopts those of dead
ones. A full spool refuses what is new: what it took, it keeps.
"""

from __future__ import annotations

import datetime as dt
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock, RLock
from time import monotonic, time, time_ns
from typing import Final

import msgspec

from collector.client.bell import Bell
from collector.client.items import Item, answer, fail
from collector.client.losses import Losses
from collector.client.segment import EVENTS, Segment
from collector.client.timestamps import to_seconds
from collector.event import Receipt

SEGMENT_BYTES: Final = 4 * 1024 * 1024
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
RESCAN: Final = 1.0
"""Seconds between two looks at what other processes have in the directory."""
RECEIPTS_MAX: Final = 10_000
"""Receipts of this process that are filled in later; beyond that they stay without `seq`."""


class Spool:
    """A bounded spool in `directory` (made with mode 0700 when it is first needed).

    `limit` is in bytes of files, over all processes; what others write within a second may exceed
    it. Thread-safe; several threads that record at once share an fsync.
    """

    def __init__(self, directory: Path, limit: int, losses: Losses) -> None:
        self.directory = directory
        self._limit = limit
        self._segment_bytes = max(min(SEGMENT_BYTES, limit // 4), 1)
        self._losses = losses
        self._segments: list[Segment] = []
        self.after_fork()

    def after_fork(self) -> None:
        """Leave the parent's files to it: closing our copy of a descriptor keeps its lock."""
        for segment in self._segments:
            segment.close()
        self._segments = []
        self._own: Segment | None = None
        self._lock = RLock()
        self._syncing = Lock()
        self._synced = 0
        self._returned: list[Item] = []
        self._receipts: dict[str, Receipt] = {}
        self._used = 0
        self._scanned = self._looked = -RESCAN
        self._writes = 0
        self.bell = Bell()

    def renew_locks(self) -> None:
        """No other thread is left, and one may have held a lock."""
        self._lock = RLock()
        self._syncing = Lock()

    # ── in ──────────────────────────────────────────────────────────────────────────────────────

    def put(self, items: Sequence[Item]) -> None:
        """Write and sync; where that fails, the receipts say so and the loss is counted."""
        frames = b"".join([item.frame for item in items])
        try:
            with self._lock:
                if self._space(len(frames)) < len(frames):
                    self._refuse(items, "storage_full", "the spool is full")
                    return
                segment = self._writable(len(frames))
                segment.append(frames)
                self._used += len(frames)
                self._writes += 1
                mine = self._writes
                for item in items:
                    if item.receipt.id and len(self._receipts) < RECEIPTS_MAX:
                        self._receipts[item.receipt.id] = item.receipt
            self._sync(segment, mine)
        except OSError as error:
            full = error.errno in _NO_SPACE
            code, what = ("storage_full", "is full") if full else ("io_error", "cannot be written")
            self._refuse(items, code, f"the spool's disk {what}: {error.strerror}")
            return
        self.bell.ring()

    def _refuse(self, items: Sequence[Item], code: str, text: str) -> None:
        for item in items:
            if item.receipt.id:
                self._receipts.pop(item.receipt.id, None)
            fail(item.receipt, code, text, retry=True)
            self._losses.add(f"spool_{'full' if code == 'storage_full' else 'error'}", item.at)

    def _sync(self, segment: Segment, mine: int) -> None:
        """Whoever comes first syncs for all who wrote before."""
        with self._syncing:
            if self._synced >= mine:
                return
            covered = self._writes
            segment.sync()
            self._synced = covered

    def _writable(self, size: int) -> Segment:
        own = self._own
        if own is not None and own.size + size > self._segment_bytes and own.size:
            # What others wrote to it must be on the disk before their sync looks at the next one.
            with self._syncing:
                own.sync()
                self._synced = self._writes
            own.sealed = True
            own = self._own = None
        if own is None:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            name = f"{time_ns():020d}-{os.getpid()}-{os.urandom(3).hex()}{EVENTS}"
            own = self._own = Segment.create(self.directory / name)
            self._segments.append(own)
        return own

    def _space(self, need: int) -> int:
        since = monotonic() - self._scanned
        if since > RESCAN or (self._limit - self._used < need and since > RESCAN / 20):
            self._scan()
        return self._limit - self._used

    # ── out ─────────────────────────────────────────────────────────────────────────────────────

    def __len__(self) -> int:
        """Bytes that are not delivered yet, those of dead processes included."""
        with self._lock:
            self._adopt()
            waiting = sum(segment.size - segment.taken for segment in self._segments)
            return waiting + len(self._returned)

    def take(self, most: int, most_bytes: int) -> list[Item]:
        """The oldest lines of the oldest segment that has any."""
        with self._lock:
            if self._returned:
                taken, self._returned = self._returned[:most], self._returned[most:]
                return taken
            for segment in self._segments:
                if segment.taken < segment.size:
                    lines = segment.take(most, most_bytes)
                    return [_item(segment, start, line) for start, line in lines]
        return []

    def give_back(self, items: Sequence[Item]) -> None:
        """Lines that were taken and not settled, before all others."""
        with self._lock:
            self._returned = [*items, *self._returned]

    def settled(self, items: Sequence[Item]) -> None:
        """Remember that these are delivered, and delete what is delivered whole."""
        with self._lock:
            touched = set()
            for item in items:
                segment, start = item.place
                segment.finish(start, len(item.frame))
                touched.add(segment)
                original = self._receipts.pop(item.receipt.id or "", None)
                if original is not None:
                    answer(original, item.receipt)
            for segment in touched:
                self._remember(segment)

    def _remember(self, segment: Segment) -> None:
        if segment is self._own and segment.done == segment.size > 0:
            with self._syncing:  # nobody syncs it now, and nobody needs to: the daemon has it all
                self._synced = self._writes
                segment.sealed = True
                self._own = None
        if segment.exhausted:
            self._used -= segment.size
            self._segments.remove(segment)
            segment.remove()
        else:
            segment.write_position()

    def close(self) -> None:
        """Let go of every segment; what is not delivered stays on the disk."""
        with self._lock:
            for segment in self._segments:
                segment.close()
            self._segments = []
            self._own = None

    # ── other processes ─────────────────────────────────────────────────────────────────────────

    def _scan(self) -> None:
        self._scanned = monotonic()
        used = 0
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if entry.name.endswith(EVENTS):
                        used += _size(entry)
        except FileNotFoundError:
            pass
        self._used = used

    def _adopt(self) -> None:
        """Take over what dead processes left."""
        if monotonic() - self._looked < RESCAN:
            return
        self._looked = monotonic()
        known = {segment.path.name for segment in self._segments}
        try:
            names = sorted(name for name in os.listdir(self.directory) if name.endswith(EVENTS))
        except FileNotFoundError:
            return
        for name in names:
            if name not in known and (found := Segment.adopt(self.directory / name)) is not None:
                self._segments.append(found)
                if found.exhausted:
                    self._remember(found)
        self._segments.sort(key=lambda segment: segment.path.name)


class _Head(msgspec.Struct):
    id: str | None = None
    occurred_at: dt.datetime | None = None


_decode_head: Final = msgspec.json.Decoder(_Head).decode


def _item(segment: Segment, start: int, line: bytes) -> Item:
    try:
        head = _decode_head(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        head = _Head()  # damaged; the daemon will say so, and it is counted
    at = to_seconds(head.occurred_at) if head.occurred_at else time()
    return Item(line, Receipt(ok=True, id=head.id), at, (segment, start))


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return 0
