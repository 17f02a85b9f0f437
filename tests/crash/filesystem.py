"""A folder on a disk, replayed from a recording: whatever a power cut may leave of it.

    file     what programs read, what a sync has brought to the disk, and the calls since that sync,
             each of which the disk may or may not have seen
    folder   the same for names: what was made, renamed or removed is certain once the folder is synced

A sync that fails leaves its pages clean: programs read them, and nothing brings them to the disk unless
they are written to again, then as whole pages (https://wiki.postgresql.org/wiki/Fsync_Errors).

Writes reach the disk in any order, a page of 4 KiB or a sector of 512 bytes at a time; what a page or
sector holds is what it held after one of the writes to it, never a mixture. Lengths (truncation,
allocation) and names are kept or not, each by itself.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

from tests.crash import recording as of
from tests.crash.recording import Call

PAGE: Final = 4096
SECTOR: Final = 512
ALL: Final = 1 << 30
"""A limit above any number of writes."""
LOST: Final = ("-shm", ".lock")
"""What a power cut takes, or what nobody reads: SQLite makes the first anew, the second is a lock."""
RESERVE: Final = ".reserve"
"""In the name of the room that a journal keeps for a full disk: megabytes that hold nothing. Whether
it is there is replayed; it is always empty."""

How = Literal["dropped", "kept", "cut", "pages", "sectors", "one lost", "one kept"]
MIXED: Final[tuple[How, ...]] = ("cut", "pages", "sectors", "one lost", "one kept")


class Write(NamedTuple):
    """Bytes at an offset."""

    at: int
    data: bytes


class Length(NamedTuple):
    """A new length of the file."""

    size: int


class File:
    """One file (an inode). `content` is on the disk from the beginning."""

    def __init__(self, number: int, content: bytes = b"", *, empty: bool = False) -> None:
        self.number = number
        self.empty = empty
        """Whether it stays so whatever is written."""
        self.pending: list[Write | Length] = []
        self._cache = bytearray(content)
        self._disk = bytearray(content)
        self._clean: set[int] = set()
        """Pages whose sync failed: in the cache, not on the disk, and not to be written."""
        self._known: dict[How, bytes] = {}

    @property
    def cached(self) -> bytes:
        """What programs read."""
        return bytes(self._cache)

    # ── the calls ───────────────────────────────────────────────────────────────────────────────

    def write(self, at: int, data: bytes) -> None:
        """As pwrite does."""
        end = at + len(data)
        if len(self._cache) < end:
            self._cache.extend(bytes(end - len(self._cache)))
        self._cache[at:end] = data
        again = self._clean.intersection(range(at // PAGE, (end - 1) // PAGE + 1))
        if again:
            self._clean -= again
            at = min(at, min(again) * PAGE)
            end = max(end, min(len(self._cache), (max(again) + 1) * PAGE))
            data = bytes(self._cache[at:end])
        self.pending.append(Write(at, data))
        self._known.pop("kept", None)

    def truncate(self, size: int) -> None:
        """As ftruncate and posix_fallocate do."""
        if size == len(self._cache):
            return
        _resize(self._cache, size)
        self._clean = {page for page in self._clean if page * PAGE < size}
        self.pending.append(Length(size))
        self._known.pop("kept", None)

    def sync(self, *, failed: bool) -> None:
        """As fsync and fdatasync do."""
        if failed:
            for call in self.pending:
                if isinstance(call, Write):
                    self._clean.update(_pages(call))
            self.pending = [call for call in self.pending if isinstance(call, Length)]
        else:
            _apply(self._disk, self.pending)
            self.pending = []
        self._known.clear()

    # ── what a power cut leaves ─────────────────────────────────────────────────────────────────

    def left(self, how: How, chance: random.Random) -> bytes:
        """One of the contents that a power cut may leave."""
        if not self.pending:
            how = "dropped"
        if how in ("dropped", "kept"):
            if how not in self._known:
                disk = bytearray(self._disk)
                _apply(disk, self.pending if how == "kept" else [])
                self._known[how] = bytes(disk)
            return self._known[how]
        disk = bytearray(self._disk)
        if how == "cut":
            _apply(disk, self._until(chance))
        else:
            _apply_limited(disk, self.pending, *self._limits(how, chance), chance)
        return bytes(disk)

    def _until(self, chance: random.Random) -> list[Write | Length]:
        """The first calls, the last of them cut at a sector's end."""
        count = chance.randrange(len(self.pending) + 1)
        first = self.pending[:count]
        following = self.pending[count] if count < len(self.pending) else None
        if isinstance(following, Write):
            ends = range(
                (following.at // SECTOR + 1) * SECTOR, following.at + len(following.data), SECTOR
            )
            if ends:
                first.append(
                    Write(following.at, following.data[: chance.choice(ends) - following.at])
                )
        return first

    def _limits(
        self, how: How, chance: random.Random
    ) -> tuple[dict[int, int], int, dict[int, int]]:
        """How many of the writes to a page reach the disk, by page; for others; by sector."""
        counts: dict[int, int] = defaultdict(int)
        for call in self.pending:
            if isinstance(call, Write):
                for page in _pages(call):
                    counts[page] += 1
        pages = sorted(counts)
        if not pages:
            return {}, 0, {}
        one = chance.choice(pages)
        if how == "one lost":
            if chance.random() < 0.5:
                return {one: chance.randrange(counts[one])}, ALL, {}
            return {}, ALL, _torn(one, counts[one], chance)
        if how == "one kept":
            return {one: chance.randint(1, counts[one])}, 0, {}
        share = chance.random()
        limits = {
            page: counts[page] if chance.random() < share else chance.randrange(counts[page])
            for page in pages
        }
        sectors: dict[int, int] = {}
        if how == "sectors":
            for page in chance.sample(pages, min(len(pages), chance.randint(1, 4))):
                sectors |= _torn(page, counts[page], chance)
        return limits, 0, sectors


def _torn(page: int, count: int, chance: random.Random) -> dict[int, int]:
    first = page * PAGE // SECTOR
    return {first + n: chance.randint(0, count) for n in range(PAGE // SECTOR)}


def _pages(write: Write) -> range:
    return range(write.at // PAGE, (write.at + len(write.data) - 1) // PAGE + 1)


def _resize(content: bytearray, size: int) -> None:
    if len(content) < size:
        content.extend(bytes(size - len(content)))
    else:
        del content[size:]


def _apply(disk: bytearray, calls: list[Write | Length]) -> None:
    for call in calls:
        if isinstance(call, Length):
            _resize(disk, call.size)
        else:
            _put(disk, call.at, call.data)


def _put(disk: bytearray, at: int, data: bytes) -> None:
    if len(disk) < at:
        disk.extend(bytes(at - len(disk)))
    disk[at : at + len(data)] = data


def _apply_limited(
    disk: bytearray,
    calls: list[Write | Length],
    pages: dict[int, int],
    others: int,
    sectors: dict[int, int],
    chance: random.Random,
) -> None:
    torn = {sector * SECTOR // PAGE for sector in sectors}
    seen: dict[int, int] = defaultdict(int)
    for call in calls:
        if isinstance(call, Length):
            if chance.random() < 0.5:
                _resize(disk, call.size)
            continue
        end = call.at + len(call.data)
        for page in _pages(call):
            nth = seen[page]
            seen[page] = nth + 1
            start, stop = max(call.at, page * PAGE), min(end, (page + 1) * PAGE)
            if page not in torn:
                if nth < pages.get(page, others):
                    _put(disk, start, call.data[start - call.at : stop - call.at])
                continue
            for sector in range(start // SECTOR, (stop - 1) // SECTOR + 1):
                if nth < sectors[sector]:
                    a, b = max(start, sector * SECTOR), min(stop, (sector + 1) * SECTOR)
                    _put(disk, a, call.data[a - call.at : b - call.at])


class Named(NamedTuple):
    """A change of names: `file` is no more called `old`, and now `new`; None where there is none."""

    old: str | None
    new: str | None
    file: File


class Folder:
    """The files of a folder by name. `files` are on the disk from the beginning."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._number = 0
        self.names = {name: self._file(name, content) for name, content in files.items()}
        self._disk = dict(self.names)
        self.pending: list[Named] = []
        self._opened: dict[tuple[int, int], File] = {}
        self.failed = False
        """Whether a sync has failed so far."""
        self.changes = 0
        """Counts what changed anything that a power cut could leave."""

    def _file(self, name: str, content: bytes = b"") -> File:
        self._number += 1
        return File(self._number, content, empty=RESERVE in name)

    def replay(self, call: Call) -> None:
        """Take over what a call did."""
        change = _CHANGES.get(call.kind)
        if change is not None:
            change(self, call)
            self.changes += 1

    def _open(self, call: Call) -> None:
        name = call.data.decode()
        if name.endswith(LOST):
            self._opened[call.pid, call.fd] = self._file(RESERVE)
            return
        if name not in self.names:
            self.names[name] = self._file(name)
            self.pending.append(Named(None, name, self.names[name]))
        self._opened[call.pid, call.fd] = self.names[name]

    def _write(self, call: Call) -> None:
        file = self._opened[call.pid, call.fd]
        if not file.empty:
            file.write(call.at, call.data)

    def _truncate(self, call: Call) -> None:
        file = self._opened[call.pid, call.fd]
        if not file.empty:
            file.truncate(call.at)

    def _sync(self, call: Call) -> None:
        self._opened[call.pid, call.fd].sync(failed=call.failed)
        self.failed = self.failed or call.failed

    def _rename(self, call: Call) -> None:
        old, new = call.data.decode().split("\0")
        if old in self.names:  # else it came from another folder, which nobody does
            file = self.names.pop(old)
            self.names[new] = file
            self.pending.append(Named(old, new, file))

    def _link(self, call: Call) -> None:
        old, new = call.data.decode().split("\0")
        self.names[new] = self.names[old]
        self.pending.append(Named(None, new, self.names[new]))

    def _unlink(self, call: Call) -> None:
        name = call.data.decode().rstrip("\0")
        file = self.names.pop(name, None)
        if file is not None:
            self.pending.append(Named(name, None, file))

    def _sync_folder(self, call: Call) -> None:
        if not call.failed:
            self._disk = dict(self.names)
            self.pending = []

    # ── what a power cut leaves ─────────────────────────────────────────────────────────────────

    def left(self, chance: random.Random) -> tuple[dict[str, bytes], str]:
        """What a power cut now may leave, by name, and how it was chosen."""
        of_names: How = (
            chance.choice(("dropped", "kept", "cut", "pages")) if self.pending else "kept"
        )
        alike: How | None = chance.choice(("dropped", "kept", None, None, None, None))
        said = [f"names {of_names}"] if self.pending else []
        files: dict[str, bytes] = {}
        for name, file in self._names_left(of_names, chance).items():
            how = alike or chance.choice(("dropped", "kept", *MIXED, *MIXED))
            files[name] = file.left(how, chance)
            if file.pending:
                said.append(f"{name} {how}")
        return files, ", ".join(said) or "nothing was open"

    def certain(self) -> bool:
        """Whether there is one state alone that a power cut could leave."""
        return not self.pending and not any(file.pending for file in self.names.values())

    def _names_left(self, how: How, chance: random.Random) -> dict[str, File]:
        if how == "kept":
            return self.names
        names = dict(self._disk)
        if how == "dropped":
            return names
        count = chance.randrange(len(self.pending) + 1)
        for at, (old, new, file) in enumerate(self.pending):
            if at >= count if how == "cut" else chance.random() < 0.5:
                continue
            if old is not None and names.get(old) is file:
                del names[old]
            if new is not None:
                names[new] = file
        return names


_CHANGES: Final[dict[int, Callable[[Folder, Call], None]]] = {
    of.OPEN: Folder._open,
    of.WRITE: Folder._write,
    of.TRUNCATE: Folder._truncate,
    of.SYNC: Folder._sync,
    of.RENAME: Folder._rename,
    of.LINK: Folder._link,
    of.UNLINK: Folder._unlink,
    of.SYNC_FOLDER: Folder._sync_folder,
}


def names_of(files: dict[str, bytes]) -> Iterator[str]:
    """Names and lengths, for a report."""
    for name, content in sorted(files.items()):
        yield f"{name} ({len(content)} bytes)"
