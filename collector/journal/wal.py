"""The write-ahead log's file: its frames, read back, held to their checksums, and written again.

After a sync that failed the kernel takes pages for clean that the disk does not have. Writing the very
same bytes again makes them dirty again, so that the next sync brings them there. Neither a
reader nor a power cut in the midst of it can tell: every byte has one value, before and after.

The database may need it too. A checkpoint that a reader keeps from its end copies pages without a
sync; the sync is that of the checkpoint which comes to the end, and where that one fails SQLite does
not copy again what the earlier ones had. What they copied still stands in the log.

SQLite takes no locks on the log, so it may be opened and closed beside its connection. The database
may not: it is written through the descriptor that SQLite has. https://www.sqlite.org/walformat.html
has the format.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

from collector.errors import JournalTorn
from collector.journal.files import part
from collector.journal.wal_index import Position

HEADER: Final = 32
"""Bytes of the file's header; its salts are at 16, its checksum at 24."""
FRAME: Final = 24
"""Bytes of the header of a frame; its salts are at 8, the checksum of all until here at 16."""
_BIG_ENDIAN: Final = 0x377F0683
"""The file's first four bytes where checksums are computed over big-endian words."""
_WORD: Final = 0xFFFFFFFF
_PIECE: Final = 32
"""Frames handled at once."""

Checksum = tuple[int, int]


def wal_of(path: Path) -> Path:
    """The write-ahead log beside a database."""
    return part(path, "-wal")


def write_again(wal: Path, end: Position, after: int) -> None:
    """Make frames `after + 1` to the end durable: read back, checked, written in place, synced.

    Nobody else may write to the log meanwhile. Raises `JournalTorn` where it does not read back as it
    was written, and `OSError`.
    """
    descriptor = os.open(wal, os.O_RDWR | os.O_CLOEXEC)
    try:
        _check_and_write(descriptor, wal, end, after)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _check_and_write(descriptor: int, wal: Path, end: Position, after: int) -> None:
    header = os.pread(descriptor, HEADER, 0)
    if header[16:24] != end.salts:
        raise _torn(wal, 0)
    order = ">" if int.from_bytes(header[:4], "big") == _BIG_ENDIAN else "<"
    size = FRAME + end.page_size
    at = HEADER + after * size
    if after:
        total = _stated(os.pread(descriptor, FRAME, at - size))
    else:
        total = (int.from_bytes(header[24:28], "big"), int.from_bytes(header[28:32], "big"))
        _write(descriptor, header, 0)
    number = after
    while number < end.frames:
        piece = os.pread(descriptor, min(_PIECE, end.frames - number) * size, at)
        for start in range(0, max(len(piece), 1), size):
            frame = piece[start : start + size]
            if len(frame) < size or frame[8:16] != end.salts:
                raise _torn(wal, number + 1)
            total = _summed(frame[:8] + frame[FRAME:], total, order)
            if total != _stated(frame):
                raise _torn(wal, number + 1)
            number += 1
        _write(descriptor, piece, at)
        at += len(piece)
    if total != end.checksum:
        raise _torn(wal, number)


def copy_again(database: Path, end: Position) -> None:
    """Make durable what checkpoints have copied into the database, by what the log holds of it.

    The log has to be sound up to there, and nobody may write. Raises `JournalTorn` where the database
    holds something else, and `OSError`.
    """
    descriptor = _descriptor(database)
    if descriptor is None:
        raise JournalTorn(f"{database}: nobody can tell what of it is on the disk")
    log = os.open(wal_of(database), os.O_RDONLY | os.O_CLOEXEC)
    try:
        for page, at in _copied(log, end).items():
            content = os.pread(log, end.page_size, at)
            place = (page - 1) * end.page_size
            if os.pread(descriptor, end.page_size, place) != content:
                raise JournalTorn(f"{database} does not read back as it was written (page {page})")
            _write(descriptor, content, place)
    finally:
        os.close(log)
    os.fdatasync(descriptor)


def _copied(log: int, end: Position) -> dict[int, int]:
    """Where in the log the content of each page is that was copied, and will not be once more."""
    size = FRAME + end.page_size
    found: dict[int, int] = {}
    for number in range(end.frames):
        at = HEADER + number * size
        page = int.from_bytes(os.pread(log, 4, at), "big")
        if number < end.backfilled and page <= end.pages:
            found[page] = at + FRAME
        else:
            found.pop(page, None)
    return found


def _descriptor(database: Path) -> int | None:
    """The descriptor through which SQLite writes to the database: opening it once more and closing
    that would drop the locks of this process."""
    wanted = os.stat(database)
    for name in os.listdir("/proc/self/fd"):
        try:
            stat, flags = os.fstat(int(name)), fcntl.fcntl(int(name), fcntl.F_GETFL)
        except OSError:
            continue  # the listing's own, by now
        if os.path.samestat(stat, wanted) and flags & os.O_ACCMODE == os.O_RDWR:
            return int(name)
    return None


def write_all_again(wal: Path) -> None:
    """Make every byte of the file durable, whatever it means. Raises `OSError`."""
    descriptor = os.open(wal, os.O_RDWR | os.O_CLOEXEC)
    try:
        at = 0
        while piece := os.pread(descriptor, 1 << 17, at):
            _write(descriptor, piece, at)
            at += len(piece)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes, at: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, at)
        data, at = data[written:], at + written


def _stated(frame: bytes) -> Checksum:
    """The checksum that a frame's header states."""
    return int.from_bytes(frame[16:20], "big"), int.from_bytes(frame[20:24], "big")


def _summed(data: bytes, total: Checksum, order: str) -> Checksum:
    """The running checksum of the log, over so many bytes more."""
    first, second = total
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for even, odd in zip(words, words, strict=True):
        first = (first + even + second) & _WORD
        second = (second + odd + first) & _WORD
    return first, second


def _torn(wal: Path, frame: int) -> JournalTorn:
    return JournalTorn(
        f"{wal} does not read back as it was written (frame {frame}); a start reads what is left"
    )
