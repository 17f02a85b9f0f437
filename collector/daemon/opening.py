"""Opening the journal for a daemon: its lock, its directory, and what to do with a damaged one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from collector.errors import (
    JournalCorrupt,
    JournalDamaged,
    JournalError,
    PathTaken,
)
from collector.journal import intents
from collector.journal.files import make_directory, part, size_of, sync_directory
from collector.journal.intents import Intent
from collector.journal.looking import Findings, look_and_wait
from collector.journal.space import Reserve, with_room
from collector.journal.writer import Journal
from collector.lock import LockFile
from collector.notify import Notifier

MARKER: Final = ".damaged"
"""Appended to the journal's name: a file that makes the next start quarantine the journal."""
LOOK_SECONDS: Final = 60.0
"""What the service manager is asked to wait longer, each time, while a large journal is looked at."""

Look = Callable[[Path], Findings]


class Opened(Struct):
    """An open journal, its lock, and what a start has to record of what was done to its files."""

    journal: Journal
    lock: LockFile
    intent: Intent | None = None


def look(path: Path) -> Findings:
    """Look at a journal that is not open here; the service manager is asked for time meanwhile."""
    notifier = Notifier()

    def wait_longer() -> None:
        notifier.extend_timeout(LOOK_SECONDS)

    try:
        return look_and_wait(path, wait_longer)
    finally:
        notifier.close()


def open_journal(
    path: Path,
    on_corrupt: Literal["quarantine", "fail"],
    *,
    now: Callable[[], float],
    patience: float = 5.0,
    look: Look = look,
) -> Opened:
    """The journal at `path`, locked. Raises `AlreadyRunning`, `JournalError`, `PathTaken`."""
    make_directory(path.parent)
    lock = LockFile(f"{path}.lock")
    try:
        reserve = Reserve(path)
        intent = with_room(reserve, lambda: intents.finish(path))
        damage = _marked(path)
        journal = None
        if damage is None:
            try:
                journal = with_room(reserve, lambda: _opened(path, patience, look))
            except JournalDamaged as found:
                damage = found
        if journal is None:
            intent = with_room(reserve, lambda: _set_aside(path, damage, on_corrupt, now))
            journal = with_room(reserve, lambda: Journal.open(path, patience=patience))
    except BaseException:
        lock.release()
        raise
    reserve.regrow()
    lock.sign()  # on a full disk there may be room for it only now
    return Opened(journal, lock, intent)


def _opened(path: Path, patience: float, look: Look) -> Journal:
    """Open; of a journal that is reported as damaged, only after two looks. Raises `JournalDamaged`."""
    try:
        return Journal.open(path, patience=patience)
    except JournalCorrupt as reported:
        findings = look(path)
        if not findings.sound:
            raise findings.error(path, reported) from reported
    try:
        return Journal.open(path, patience=patience)  # a read has failed that does not fail again
    except JournalCorrupt as reported:
        raise findings.error(path, reported) from reported


def judged(path: Path, reported: JournalCorrupt, look: Look = look) -> JournalError:
    """What damage comes to that is reported of a journal after it was opened, and is closed again.

    Where two looks find it, the next start sets the journal aside.
    """
    error = look(path).error(path, reported)
    if isinstance(error, JournalDamaged):
        mark_damaged(path)
    return error


# ── a damaged journal ───────────────────────────────────────────────────────────────────────────


def _marked(path: Path) -> JournalDamaged | None:
    marker = part(path, MARKER)
    if size_of(marker) is None:
        return None
    if marker.is_dir():
        raise PathTaken(f"{marker} is a directory, and so no mark of ours; move it away")
    return JournalDamaged(f"{path} was found to be damaged, as {marker} says")


def _set_aside(
    path: Path,
    damage: JournalDamaged | None,
    on_corrupt: Literal["quarantine", "fail"],
    now: Callable[[], float],
) -> Intent:
    if on_corrupt == "quarantine":
        return quarantine(path, now())
    marker = part(path, MARKER)
    mend = f"mend it and remove {marker}" if marker.exists() else "mend it"
    raise JournalCorrupt(
        f'{damage}; move it away, {mend}, or set storage.on_corrupt = "quarantine"'
    ) from damage


def quarantine(path: Path, now: float) -> Intent:
    """Move a damaged database and what belongs to it aside, together. Raises `JournalIOError`."""
    stamp = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = intents.free_name(path, "corrupt", stamp)
    return intents.carry_out(
        path,
        Intent(
            operation="quarantine",
            aside=aside.name,
            moves=intents.moved_aside(path, aside),
            removed=[part(path, MARKER).name],
            at=now,
        ),
    )


def mark_damaged(path: Path) -> None:
    """Make the next start quarantine the journal."""
    try:
        part(path, MARKER).touch()
        sync_directory(path.parent)
    except OSError:
        pass  # the next start may find the damage by itself
