"""What must be there after a power cut at one moment of a recording, and what may be.

A moment has one journal, or two where it is being replaced (a restore, a quarantine): then either may
be found, the old one also beside it under another name.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tests.crash import recording as of
from tests.crash.filesystem import Folder
from tests.crash.recording import Call

ACTION: Final = "crash.sent"
"""What the runs' own events are called."""
_TOLD: Final = re.compile(rb'\{"ok":true,"seq":(\d+),"id":"([0-9a-f-]{36})"')

Stored = tuple[int, bytes, str, str]
"""A row of the log: seq, id (b"" where the journal assigned it), the event's name, its message."""


class Sent(NamedTuple):
    """One event as it was sent: the ids that it was sent with (b"" for none), and its message."""

    ids: tuple[bytes, ...]
    message: str


@dataclass
class Trace:
    """One recorded run: what was there before, every call, and what the producers know."""

    run: str
    seed: int
    files: dict[str, bytes]
    calls: list[Call]
    stored: list[Stored] = field(default_factory=list)
    """What the journal held when it began, in order; all of it had been acknowledged."""
    sent: dict[str, Sent] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    """The name of the event that an acknowledged id belongs to."""

    def event(self, seq: int, id_: str) -> Stored | None:
        """The row that an acknowledgement promises; None where nobody read the acknowledgement."""
        name = self.told.get(id_)
        if name is None:
            return None
        sent = self.sent[name]
        id_bytes = uuid.UUID(id_).bytes
        return seq, id_bytes if id_bytes in sent.ids else b"", name, sent.message


@dataclass
class Journal:
    """What one journal must hold."""

    whole: bool = False
    """Whether it is the one that held something when the trace began."""
    rows: set[Stored] = field(default_factory=set)
    """Acknowledged since."""
    seqs: set[int] = field(default_factory=set)
    """Acknowledged, by an acknowledgement that nobody read."""
    keep: int | None = None
    """Entries that stay at least, where the oldest are removed; None where nothing is."""
    removable: int = 0
    """Entries up to this seq may be missing, since somebody asked for it."""

    def copy(self) -> Journal:
        return Journal(self.whole, set(self.rows), set(self.seqs), self.keep, self.removable)


@dataclass
class Moment:
    """A moment of a recording at which the power may be cut."""

    number: int
    call: str
    folder: Folder
    journal: Journal
    next: Journal | None = None
    """The one that is replacing `journal`."""
    replaced: list[Journal] = field(default_factory=list)
    """Earlier ones, which must still be found beside it."""
    backup: Journal | None = None
    """What a backup, where one is there, must hold."""
    reader: bool = False
    """Whether a reader holds a snapshot."""
    failed: bool = False
    """Whether a sync has failed."""
    doing: str = ""
    """What the run is doing."""


def moments(trace: Trace) -> Iterator[Moment]:
    """Every moment after which a power cut could leave something else than before, in order.

    The same object each time: look at it before going on. Raises `Incomplete` where the recording does
    not tell what the files then were.
    """
    folder = Folder(trace.files)
    now = Moment(0, "", folder, Journal(whole=True))
    for number, call in enumerate(trace.calls):
        now.number, now.call = number, of.NAMES[call.kind]
        if call.kind == of.TOLD:
            if _tell(now, trace, call):
                yield now
        elif call.kind == of.MARK:
            _take(now, json.loads(call.data))
        else:
            before = folder.changes
            folder.replay(call)
            now.failed = folder.failed
            if folder.changes != before:
                yield now


class Incomplete(Exception):
    """A process was killed between a call and its record."""


def _tell(now: Moment, trace: Trace, call: Call) -> bool:
    found = False
    for seq, id_ in _TOLD.findall(call.data):
        found = True
        row = trace.event(int(seq), id_.decode())
        if row is None:
            now.journal.seqs.add(int(seq))
        else:
            now.journal.rows.add(row)
    return found


def _take(now: Moment, mark: dict[str, Any]) -> None:
    kind = mark.pop("mark")
    _MARKS[kind](now, **mark)


def _files(now: Moment, digests: dict[str, str]) -> None:
    """What the files really held when a process had ended."""
    for name, digest in digests.items():
        if digest_of(now.folder.names[name].cached) != digest:
            raise Incomplete(name)


def _reader(now: Moment, holds: bool) -> None:
    now.reader = holds


def _doing(now: Moment, what: str) -> None:
    now.doing = what


def _pruning(now: Moment, keep: int) -> None:
    now.journal.keep = keep


def _clearing(now: Moment) -> None:
    now.journal.removable = max((row[0] for row in now.journal.rows), default=0)


def _backing_up(now: Moment) -> None:
    now.backup = now.journal.copy()


def _replacing(now: Moment, by_backup: bool) -> None:
    now.next = now.backup.copy() if by_backup and now.backup else Journal()


def _replaced(now: Moment) -> None:
    assert now.next is not None
    now.replaced.append(now.journal)
    now.journal, now.next = now.next, None


_MARKS: Final = {
    "files": _files,
    "reader": _reader,
    "doing": _doing,
    "pruning": _pruning,
    "clearing": _clearing,
    "backing up": _backing_up,
    "replacing": _replacing,
    "replaced": _replaced,
}


def digest_of(content: bytes) -> str:
    """A content, short."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
