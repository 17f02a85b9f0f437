"""Space: a file held in reserve, so that a full disk can still be pruned.

On a full disk SQLite can neither delete nor checkpoint: both write before they free. A preallocated
file beside the database is the way out; it is given up first and made again when there is room.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from collector.errors import JournalFull, JournalIOError

RESERVE_BYTES: Final = 8 * 1024 * 1024
RESERVE_SHARE: Final = 0.05
"""The reserve is the lesser of the two: bytes, and share of the file system."""
OPEN_BYTES: Final = 256 * 1024
"""Room that is left free for the first commits after a start on a full disk."""
_SHARES: Final = (0.75, 0.5, 0.25)
"""How much of the reserve is left when opening has had a part of it, and another."""
TRIAL_BYTES: Final = 64 * 1024
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Result = TypeVar("Result")


class Reserve:
    """The reserve file of the journal at `database`."""

    def __init__(self, database: Path) -> None:
        self.path = database.with_name(database.name + ".reserve")

    @property
    def held(self) -> bool:
        """Whether the reserve is there, whole, to be given up."""
        return self.held_bytes() >= max(self.size(), 1)

    def held_bytes(self) -> int:
        """Bytes that the reserve would give up; 0 where it is not held."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def size(self) -> int:
        """Bytes that the reserve has to have on this file system; the most where it does not tell."""
        try:
            stat = os.statvfs(self.path.parent)
        except OSError:
            return RESERVE_BYTES
        return min(RESERVE_BYTES, int(stat.f_blocks * stat.f_frsize * RESERVE_SHARE))

    def roomy(self) -> bool:
        """Whether the reserve is held and there is as much again beside it."""
        return self.held and self._available() >= self.size()

    def room(self) -> int:
        """Bytes that are free, with what the reserve would give up."""
        return self._available() + self.held_bytes()

    def _available(self) -> int:
        """Bytes that are free; none where the file system does not tell."""
        try:
            stat = os.statvfs(self.path.parent)
        except OSError:
            return 0
        return stat.f_bavail * stat.f_frsize

    def take(self, sizes: float = 2.0) -> bool:
        """Make the reserve where there is room for so many times its size; whether it is held now."""
        if self.held:
            return True
        size = self.size()
        if self._available() < sizes * size:
            return False
        temporary = self.path.with_name(self.path.name + ".new")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, max(size, 1))
            finally:
                os.close(descriptor)
            os.rename(temporary, self.path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            return False
        return True

    def give_up(self) -> bool:
        """Free the reserve's space; whether there was any."""
        try:
            os.unlink(self.path)
        except OSError:
            return False
        return True

    def shrink(self) -> bool:
        """Free a part of the reserve, for opening the journal: a quarter of it, then another, then all.

        Whether there was any. What is left is what pruning will need.
        """
        for share in _SHARES:
            size = int(self.size() * share)
            if size < self.held_bytes():
                try:
                    os.truncate(self.path, size)
                except OSError:
                    break
                return True
        return self.give_up()

    def regrow(self) -> None:
        """Take back what opening did not need after all, or has freed, as far as there is room."""
        held = self.held_bytes()
        for share in (1.0, *_SHARES):
            size = int(self.size() * share)
            if not 0 < held < size:
                return
            if self._available() >= size - held + OPEN_BYTES:
                self._resize(size, held)
                return

    def _resize(self, size: int, held: int) -> None:
        with contextlib.suppress(OSError):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.posix_fallocate(descriptor, 0, size)
            except OSError:
                os.ftruncate(descriptor, held)
            finally:
                os.close(descriptor)

    def short_of(self, needed: int) -> bool:
        """Whether so many bytes (0: nobody knows) would not be free even without the reserve."""
        return needed > self._available() + self.held_bytes()

    def disk_is_full(self) -> bool:
        """Whether a trial write beside the database fails for want of space, as with a quota."""
        trial = self.path.with_name(self.path.name + ".trial")
        try:
            descriptor = os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, TRIAL_BYTES)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            return error.errno in FULL
        finally:
            with contextlib.suppress(OSError):
                os.unlink(trial)
        return False


def with_room(reserve: Reserve, step: Callable[[], Result]) -> Result:
    """Do a step of opening; where the disk is full, again with what the reserve gives up for it.

    A quota shows as an I/O error: a trial write decides. Raises what `step` raises.
    """
    while True:
        try:
            return step()
        except (JournalFull, JournalIOError) as error:
            full = isinstance(error, JournalFull) or reserve.disk_is_full()
            if not full or reserve.short_of(getattr(error, "needed", 0)) or not reserve.shrink():
                raise
