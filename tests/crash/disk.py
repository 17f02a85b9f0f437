"""A disk replayed from a trace of system calls: what a power cut leaves at any moment.

    cache   what programs read: every write that was made
    disk    what outlives a power cut: pages that a sync has brought there

A write makes its pages dirty; a sync that succeeds brings the whole of each dirty page to the disk.
After a sync that fails the kernel takes its pages for clean: programs go on to read them from the
cache, and nothing ever brings them to the disk, unless they are written to again. (So do ext4, XFS and
Btrfs: https://wiki.postgresql.org/wiki/Fsync_Errors.) What was not synced may or may not be there
after a power cut: `left(kept=…)` gives either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

PAGE: Final = 4096
CALLS: Final = "pwrite64,ftruncate,unlink,fdatasync,fsync,sendto"
WATCHING: Final = ("-f", "--seccomp-bpf", "-qq")
"""Options that make strace stop a daemon, and its threads, at the calls it asks for alone.

Not for `inject=…:signal=`: strace 6.1 counts the calls and never delivers the signal.
"""
STRACE: Final = (*WATCHING, "-y", "-xx", "-s", "300000", "-e", f"trace={CALLS}")
"""Options that make strace write down every byte."""

_CALL: Final = re.compile(
    r"(?:(?P<pid>\d+) +)?(?P<call>\w+)\("
    r"(?:\d+<(?P<path>[^>]*)>|\"(?P<name>[^\"]*)\")(?P<rest>.*)"
)
_RESUMED: Final = re.compile(r"(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)")
_WRITTEN: Final = re.compile(r', "(?P<data>[^"]*)", (?P<size>\d+)(?:, (?P<offset>\d+))?')
_ACKNOWLEDGED: Final = re.compile(rb'\{"ok":true,"seq":(\d+)')


class Call(NamedTuple):
    """One system call that succeeded, or a sync that did not."""

    name: str
    path: str
    data: bytes = b""
    offset: int = 0
    failed: bool = False


def calls(trace: str) -> Iterator[Call]:
    """The calls of a trace, in the order in which they ended."""
    unfinished: dict[str, tuple[str, str, str]] = {}
    for line in trace.splitlines():
        resumed = _RESUMED.match(line)
        if resumed is not None and resumed["pid"] in unfinished:
            name, path, begun = unfinished.pop(resumed["pid"])
            rest = begun + resumed["rest"]
        else:
            match = _CALL.match(line)
            if match is None:
                continue
            name, rest = match["call"], match["rest"]
            path = _text(match["path"] or match["name"])
            if "<unfinished" in rest:
                unfinished[match["pid"]] = (name, path, rest)
                continue
        found = _call(name, path, rest)
        if found is not None:
            yield found


def _call(name: str, path: str, rest: str) -> Call | None:
    failed = re.search(r"\) += -1 ", rest) is not None
    if failed and name not in ("fdatasync", "fsync"):
        return None
    if name in ("pwrite64", "sendto"):
        written = _WRITTEN.match(rest)
        assert written is not None, rest[:100]
        data = _bytes(written["data"])
        return Call(name, path, data, int(written["offset"] or 0))
    if name == "ftruncate":
        return Call(name, path, offset=int(rest.lstrip(", ").partition(")")[0]))
    return Call(name, path, failed=failed)


def _text(written: str) -> str:
    """A path: in hexadecimal too, by strace's newer versions."""
    return _bytes(written).decode() if written.startswith("\\x") else written


def _bytes(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def acknowledged(call: Call) -> list[int]:
    """The seqs that a producer is told in this call."""
    told = call.data if call.name == "sendto" else b""
    return [int(seq) for seq in _ACKNOWLEDGED.findall(told)]


class File:
    """One file; `content` is what it holds when the trace begins, all of it on the disk."""

    def __init__(self, content: bytes = b"") -> None:
        self._cache = bytearray(content)
        self._disk = bytearray(content)
        self._dirty: set[int] = set()

    def write(self, offset: int, data: bytes) -> None:
        """As pwrite does."""
        end = offset + len(data)
        self._cache.extend(bytes(max(0, end - len(self._cache))))
        self._cache[offset:end] = data
        self._dirty.update(range(offset // PAGE, (end - 1) // PAGE + 1))

    def truncate(self, size: int) -> None:
        """As ftruncate does; that it is on the disk at once is as good as any other moment."""
        for content in (self._cache, self._disk):
            content.extend(bytes(max(0, size - len(content))))
            del content[size:]
        self._dirty = {page for page in self._dirty if page * PAGE < size}

    def sync(self, *, failed: bool) -> None:
        """As fdatasync does."""
        if not failed:
            self._disk = bytearray(self.left(kept=True))
        self._dirty.clear()

    def left(self, *, kept: bool) -> bytes:
        """What a power cut leaves; `kept` where what was never synced came to the disk by itself."""
        disk = bytearray(self._disk)
        disk.extend(bytes(len(self._cache) - len(disk)) if kept else b"")
        for page in self._dirty if kept else ():
            at = page * PAGE
            disk[at : at + PAGE] = self._cache[at : at + PAGE]
        return bytes(disk)


class Disk:
    """The files of a folder that a trace is about, by name."""

    def __init__(self, *files: Path) -> None:
        self.files = {file.name: File(file.read_bytes()) for file in files if file.exists()}
        self._names = {str(file): file.name for file in files}

    def replay(self, call: Call) -> bool:
        """Take a call over; whether it was about these files."""
        name = self._names.get(call.path)
        if name is None:
            return False
        if call.name == "unlink":
            self.files.pop(name, None)
            return True
        file = self.files.setdefault(name, File())
        if call.name == "pwrite64":
            file.write(call.offset, call.data)
        elif call.name == "ftruncate":
            file.truncate(call.offset)
        else:
            file.sync(failed=call.failed)
        return True

    def left(self, *, kept: bool) -> dict[str, bytes]:
        """What each file would hold after a power cut now."""
        return {name: file.left(kept=kept) for name, file in self.files.items()}
