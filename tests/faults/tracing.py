"""The calls that strace saw, by the kinds of the shim: what there is to be counted."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Final

KIND_OF: Final = {
    **dict.fromkeys(("open", "openat", "openat2", "creat"), "open"),
    **dict.fromkeys(("read", "pread64", "readv", "preadv", "preadv2"), "read"),
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2"), "write"),
    **dict.fromkeys(("fsync", "fdatasync", "sync_file_range", "msync"), "sync"),
    **dict.fromkeys(("truncate", "ftruncate"), "truncate"),
    "fallocate": "fallocate",
    "mmap": "mmap",
    **dict.fromkeys(("accept", "accept4"), "accept"),
    **dict.fromkeys(("recvfrom", "recvmsg", "recvmmsg"), "recv"),
    **dict.fromkeys(("sendto", "sendmsg", "sendmmsg", "sendfile"), "send"),
    **dict.fromkeys(("rename", "renameat", "renameat2", "link", "linkat"), "rename"),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), "unlink"),
    **dict.fromkeys(
        ("stat", "lstat", "fstat", "newfstatat", "statx", "access", "faccessat", "faccessat2"),
        "stat",
    ),
    **dict.fromkeys(("statfs", "fstatfs"), "stat"),
    **dict.fromkeys(("flock", "fcntl"), "flock"),
}
"""Every call of Linux that does what a kind of the shim's does."""
_CALL: Final = re.compile(r"(?:\d+ +)?(?P<call>\w+)\((?P<arguments>.*)")
_NAME: Final = re.compile(r'"(?P<name>[^"]*)"')
_AT: Final = re.compile(r'(?:AT_FDCWD|\d+)<(?P<folder>[^>]*)>, "(?P<name>[^"]*)"')
_SOCKET: Final = re.compile(r'\d+<UNIX[^"]*"(?P<name>[^"]*)"\]>')
_FILE: Final = re.compile(r"\d+<(?P<name>/[^>]*)>")


def command(strace: str, trace: Path) -> list[str]:
    """Runs what follows, and writes down the calls of all kinds in `trace`."""
    calls = ",".join(f"?{call}" for call in KIND_OF)
    watching = ["-f", "--seccomp-bpf", "-qq", "-yy", "-s", "0"]
    return [strace, *watching, "-o", str(trace), "-e", f"trace={calls}"]


def counted(trace: Path, *folders: Path) -> Counter[str]:
    """How many calls of each kind concern files and sockets below the folders."""
    found: Counter[str] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if match is None or match["call"] not in KIND_OF:
            continue  # the second half of a call that another thread's came between
        path = _path(match["call"], match["arguments"])
        if path.startswith(tuple(map(str, folders))) and _counts(line):
            found[KIND_OF[match["call"]]] += 1
    return found


def _counts(line: str) -> bool:
    """Of fcntl only what takes a lock."""
    return "fcntl(" not in line or ("F_SETLK" in line and "F_UNLCK" not in line)


def _path(call: str, arguments: str) -> str:
    """What a call is about: its file, or the path that its socket was bound to."""
    at = _AT.match(arguments) if call.endswith("at") or "at2" in call else None
    if at is not None:
        return os.path.join(at["folder"], at["name"]).rstrip("/")
    if call == "mmap":
        found = _FILE.search(arguments)
    else:
        found = next(
            (match for form in (_NAME, _SOCKET, _FILE) if (match := form.match(arguments))), None
        )
    return "" if found is None else found["name"]
