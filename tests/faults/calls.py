"""Which system calls can fail, with which errors, and what may come of it."""

from __future__ import annotations

from typing import Final, Literal

Phase = Literal["start", "running", "stop"]
"""Before the daemon has answered for the first time, until it is asked to end, and from then on."""

KINDS: Final = (
    "open",
    "read",
    "write",
    "sync",
    "truncate",
    "fallocate",
    "mmap",
    "accept",
    "recv",
    "send",
    "rename",
    "unlink",
    "stat",
    "flock",
)
"""In the order of the shim."""

ERRORS: Final[dict[str, tuple[str, ...]]] = {
    "open": ("EIO", "ENOSPC", "EMFILE", "ENOMEM", "EINTR", "EDQUOT"),
    "read": ("EIO", "ENOMEM", "EINTR"),
    "write": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "sync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "truncate": ("EIO", "ENOSPC", "EINTR"),
    "fallocate": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "mmap": ("ENOMEM", "EIO"),
    "accept": ("EMFILE", "ENOMEM", "EINTR"),
    "recv": ("EIO", "ENOMEM", "EINTR"),
    "send": ("EIO", "ENOMEM", "EINTR"),
    "rename": ("EIO", "ENOSPC", "ENOMEM", "EDQUOT"),
    "unlink": ("EIO", "ENOMEM"),
    "stat": ("EIO", "ENOMEM"),
    "flock": ("EIO", "ENOMEM", "EINTR"),
}
"""Those of the six that are tried which the call's manual page knows, or a file system in use gives."""


def exits(kind: str, phase: Phase) -> frozenset[int]:
    """The exit codes that one failed call may bring about, by the phase in which the daemon ends.

    SQLite says of a lock that it could not take only that it is busy: that is 75, try again.
    """
    if phase == "start":
        return frozenset({74, 75} if kind == "flock" else {74})
    return frozenset({0, 74} if phase == "stop" else ())


SIGNS_OF_A_BUG: Final = (
    "Traceback (most recent call last)",
    "was never retrieved",
    "Exception ignored",
    "Event loop is closed",
    "was never awaited",
    "ResourceWarning",
)
"""What must not stand on stderr: an error that nobody expected, where one is to be told to people."""
REFUSALS: Final = frozenset({"io_error", "storage_full", "busy"})
"""What a producer may be told because a call has failed."""
OF_A_FULL_DISK: Final = frozenset({"ENOSPC", "EDQUOT"})
"""The only errors after which it may be `storage_full`."""
