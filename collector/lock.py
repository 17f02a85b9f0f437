"""A lock file: one live process per socket and per journal, whatever became of the one before.

The kernel drops the lock with the process, so nothing has to be cleaned up after a crash. The file
holds the owner's pid for people and error messages, and is never removed: removing it would let two
processes lock two files of one name.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from types import TracebackType

from collector.errors import EXIT_IOERR, EXIT_NOPERM, AlreadyRunning, JournalIOError


class LockFile:
    """An exclusive lock on `path`, held from construction to `release`.

    Raises `AlreadyRunning` with the holder's pid, or `JournalIOError` where the file cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(path, flags, 0o640)
        except OSError as error:
            code = EXIT_NOPERM if isinstance(error, PermissionError) else EXIT_IOERR
            raise JournalIOError(f"{path}: {error.strerror}{_owner(path)}", code) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = self._holder()
            os.close(self._descriptor)
            raise AlreadyRunning(path.removesuffix(".lock"), pid) from None
        except OSError as error:
            os.close(self._descriptor)
            raise JournalIOError(f"{path}: cannot be locked: {error.strerror}") from error
        self.sign()

    def sign(self) -> None:
        """Write down our pid, for people; on a full disk there may be no room for it yet."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> LockFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.release()

    def _holder(self) -> int | None:
        try:
            return int(os.pread(self._descriptor, 32, 0))
        except (OSError, ValueError):
            return None


def _owner(path: str) -> str:
    """Whose file it is that may not be opened, for the message."""
    import pwd

    try:
        return f"; it is for the user {pwd.getpwuid(os.stat(path).st_uid).pw_name}"
    except (OSError, KeyError):
        return ""
