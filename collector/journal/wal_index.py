"""How far SQLite has come in the write-ahead log: its index of the log, as it lies in memory.

What counts as the log is not what the file holds but what the index says: a commit whose sync failed
stands in the file and not in the index. The index is the `-shm` file, which must not be opened beside
SQLite's connection: closing it would drop the connection's locks (POSIX). But SQLite has mapped it
into this process, `/proc/self/maps` says where, and its first bytes are what is needed here:
https://www.sqlite.org/walformat.html#the_wal_index_header
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Final

from msgspec import Struct

from collector.journal.files import part

_HEADER: Final = struct.Struct("=IIIBBHIIII8sII")
"""WalIndexHdr: version, unused, changes, is_init, big_endian, page size, frames, pages of the database,
checksum (two), salts, checksum of the header (two). In the machine's own byte order, but the salts."""
_BACKFILLED: Final = struct.Struct("=I")
_VERSION: Final = 3007000
_MAPS: Final = Path("/proc/self/maps")


class Position(Struct, frozen=True):
    """Where the log ends: after so many frames of the generation that `salts` names."""

    salts: bytes
    frames: int
    checksum: tuple[int, int]
    """Of everything up to the last frame, as that frame has it too."""
    page_size: int
    pages: int
    """Of the database, with all that the log holds."""
    backfilled: int
    """Frames that were copied into the database; it is synced only when all of them are."""


class WalIndex:
    """The index of the journal at `path`. Only for as long as its connection is open in this process."""

    def __init__(self, path: Path) -> None:
        self._shm = part(path, "-shm")
        self._address: int | None = None

    def position(self) -> Position | None:
        """Where the log ends just now; None where that cannot be found out."""
        if self._address is None:
            self._address = _mapped(self._shm)
        if self._address is None:
            return None
        size = _HEADER.size
        memory = ctypes.string_at(self._address, 2 * size + _BACKFILLED.size)
        if memory[:size] != memory[size : 2 * size]:
            return None  # another process is in the midst of a commit
        version, _, _, ready, _, page, frames, pages, *checksum, salts, _, _ = _HEADER.unpack(
            memory[:size]
        )
        if version != _VERSION or not ready:
            return None
        (backfilled,) = _BACKFILLED.unpack(memory[2 * size :])
        return Position(
            salts=salts,
            frames=frames,
            checksum=(checksum[0], checksum[1]),
            page_size=65536 if page == 1 else page,
            pages=pages,
            backfilled=backfilled,
        )


def _mapped(shm: Path) -> int | None:
    """The address at which the beginning of a file is mapped in this process."""
    try:
        inode = os.stat(shm).st_ino
        maps = _MAPS.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or os.path.basename(fields[5]) != shm.name:
            continue
        if int(fields[4]) == inode and int(fields[2], 16) == 0 and "r" in fields[1]:
            return int(fields[0].partition("-")[0], 16)
    return None
