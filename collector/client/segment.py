"""One file of a spool: lines appended by one process, read by whoever holds its lock.

    NAME.events   one event a line, append-only; a line counts when its newline is there
    NAME.done     how many bytes of it are delivered, as text

`NAME.events` is locked (`flock`) as long as its process lives; the kernel lets go when it dies, and
then another process may adopt the file. A position that was not written yet only means that some
events are sent twice, which their ids make harmless.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

EVENTS: Final = ".events"
DONE: Final = ".done"
READ: Final = 256 * 1024


class Segment:
    """`path` is that of the `.events` file; `size` its length as far as whole lines go."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd
        self._position = path.with_suffix(DONE)
        self.size = 0
        self.taken = 0
        self.done = 0
        self.sealed = False
        self._finished: dict[int, int] = {}

    @classmethod
    def create(cls, path: Path) -> Segment:
        """A new file of this process, locked, its name on the disk. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            _sync_directory(path.parent)
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd)

    @classmethod
    def adopt(cls, path: Path) -> Segment | None:
        """A file whose process is gone; None where it lives, or where another was quicker."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            here = os.fstat(fd)
            if here.st_nlink == 0:
                raise FileNotFoundError(path)
        except OSError:
            os.close(fd)
            return None
        segment = cls(path, fd)
        segment._resume(here.st_size)
        return segment

    def _resume(self, size: int) -> None:
        """Go on where the last owner stopped; half a line at the end was never acknowledged."""
        self.size = self._end_of_lines(size)
        self.sealed = True
        try:
            done = int(self._position.read_text() or 0)
        except (OSError, ValueError):
            done = 0
        self.taken = self.done = min(done, self.size)

    def _end_of_lines(self, size: int) -> int:
        end = size
        while end > 0:
            start = max(0, end - READ)
            newline = os.pread(self._fd, end - start, start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
        return 0

    def append(self, frames: bytes) -> None:
        """Write whole lines; all or, on an error, nothing. Raises OSError."""
        view = memoryview(frames)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(frames)

    def sync(self) -> None:
        """What was appended survives a power cut after this. Raises OSError."""
        os.fdatasync(self._fd)

    def take(self, most: int, most_bytes: int) -> list[tuple[int, bytes]]:
        """The next lines, each with the place it starts at; at least one where there is one."""
        want = min(self.size - self.taken, max(most_bytes, 1))
        chunk = os.pread(self._fd, want, self.taken)
        while b"\n" not in chunk and self.taken + len(chunk) < self.size:
            chunk += os.pread(self._fd, READ, self.taken + len(chunk))
        lines: list[tuple[int, bytes]] = []
        for line in chunk.split(b"\n")[:-1][:most]:
            lines.append((self.taken, line + b"\n"))
            self.taken += len(line) + 1
        return lines

    def finish(self, start: int, length: int) -> None:
        """The line at `start` is settled; what is done is the part without a gap."""
        self._finished[start] = start + length
        while (end := self._finished.pop(self.done, None)) is not None:
            self.done = end

    def write_position(self) -> None:
        """Remember what is done."""
        fd = os.open(self._position, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, b"%020d" % self.done, 0)
        finally:
            os.close(fd)

    @property
    def exhausted(self) -> bool:
        """Whether nothing of it is left to deliver, and nothing will come."""
        return self.sealed and self.done >= self.size

    def remove(self) -> None:
        """Delete the files, before the lock goes."""
        for path in (self.path, self._position):
            path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go; whoever comes next may adopt it."""
        os.close(self._fd)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
