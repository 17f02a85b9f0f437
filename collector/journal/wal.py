"""The write-ahead log's file: its frames, read back, held to their checksums, and written again.

After a sync that failed the kernel takes pages for clean that the disk does not have. Writing the very
same bytes again makes them dirty again, so that the next sync brings them there. Neither a
reader nor a power cut in the midst of it can tell: every byte has one value, before and after.

SQLite takes no locks on this file, so it may be opened and closed beside its connection, unlike the
database and its `-shm`. https://www.sqlite.org/walformat.html has the format.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from collector.errors import JournalTorn
from collector.journal.wal_index import Position

_HEADER: Final = 32
"""Bytes of the file's header; its salts are at 16, its checksum at 24."""
_FRAME: Final = 24
"""Bytes of the header of a frame; its salts are at 8, the checksum of all until here at 16."""
_BIG_ENDIAN: Final = 0x377F0683
"""The file's first four bytes where checksums are computed over big-endian words."""
_WORD: Final = 0xFFFFFFFF
_PIECE: Final = 32
"""Frames handled at once."""

Checksum = tuple[int, int]


def wal_of(path: Path) -> Path:
    """The write-ahead log beside a database."""
    return path.with_name(path.name + "-wal")


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
    header = os.pread(descriptor, _HEADER, 0)
    if header[16:24] != end.salts:
        raise _torn(wal, 0)
    order = ">" if int.from_bytes(header[:4], "big") == _BIG_ENDIAN else "<"
    size = _FRAME + end.page_size
    at = _HEADER + after * size
    if after:
        total = _stated(os.pread(descriptor, _FRAME, at - size))
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
            total = _summed(frame[:8] + frame[_FRAME:], total, order)
            if total != _stated(frame):
                raise _torn(wal, number + 1)
            number += 1
        _write(descriptor, piece, at)
        at += len(piece)
    if total != end.checksum:
        raise _torn(wal, number)


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
