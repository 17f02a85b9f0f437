"""Moves of several renames, such as restore and quarantine, that a crash cannot leave half done.

    nothing ──declare──► declared ──carry out──► done ──the daemon has recorded it──► nothing
                             │   a start finishes, or where the new file is gone undoes
                             └──────────────────► done

The record stands beside the journal, as `NAME.intent`, and is on the disk before the first rename.
Renaming is safe to repeat: what is no longer there was moved, and nothing is ever moved onto another
file. When all is done the record has no moves left, so that it can never touch a later journal; it
stays until the daemon has recorded what happened, under the id that it bears.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import time
import uuid
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from collector.errors import JournalCorrupt, JournalError, JournalFull, JournalIOError
from collector.journal.files import INTENT, PARTS, is_full, part, refusal, size_of, sync_directory

_NEW: Final = ".new"

Operation = Literal["restore", "quarantine"]


class Intent(msgspec.Struct, kw_only=True):
    """What is to be done with the journal's files. Names are those of files beside the journal."""

    operation: Operation
    aside: str | None = None
    """Where the journal that is there goes; None where none is there."""
    source: str | None = None
    """What is restored, as it was named."""
    moves: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """From, to; in this order. The main file goes first."""
    placed: str | None = None
    """The finished file that takes the journal's place, once everything else is out of its way."""
    removed: list[str] = msgspec.field(default_factory=list)
    """Files that go when all is moved."""
    done: bool = False
    undone: bool = False
    """The file to be put in place was gone, so everything went back."""
    interrupted: bool = False
    """A later start had to finish, or undo, it."""
    id: str = msgspec.field(default_factory=lambda: str(uuid.uuid4()))
    at: float = msgspec.field(default_factory=time.time)
    """When it was meant to happen, in seconds since the epoch."""
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    """Further metadata of the entry that tells of it."""


def moved_aside(path: Path, aside: Path) -> list[tuple[str, str]]:
    """The renames that put a journal, and what belongs to it or comes to meanwhile, aside."""
    if all(size_of(part(path, end)) is None for end in PARTS):
        return []
    return [(part(path, end).name, part(aside, end).name) for end in PARTS]


def free_name(path: Path, what: str, stamp: str) -> Path:
    """A name beside the journal that neither a file nor anything belonging to one has yet."""
    aside = path.with_name(f"{path.name}.{what}-{stamp}")
    number = 1
    while any(size_of(part(aside, end)) is not None for end in PARTS):
        number += 1
        aside = path.with_name(f"{path.name}.{what}-{stamp}-{number}")
    return aside


def pending(path: Path) -> Intent | None:
    """The record beside the journal at `path`. Raises `JournalError`."""
    file = part(path, INTENT)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refusal(file, error) from error
    try:
        return msgspec.json.decode(content, type=Intent)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JournalCorrupt(
            f"{file} does not tell what is to be moved ({error}); look at the files beside it,"
            " put the journal in its place, and remove it"
        ) from error


def carry_out(path: Path, intent: Intent) -> Intent:
    """Declare an intent and do all of it, or on an error none of it. Raises `JournalIOError`."""
    try:
        _write(path, intent)
        _move(path, intent)
    except OSError as error:
        with contextlib.suppress(OSError):  # else the next start finishes it
            _undo(path, intent)
            _remove(part(path, INTENT))
        raise _failure(f"{path}: {intent.operation} failed", error) from error
    return _finished(path, intent)


def finish(path: Path) -> Intent | None:
    """Finish what a process before left half done; what is still to be recorded, None for nothing.

    Call with the journal's lock held, before it is opened. Raises `JournalError`.
    """
    intent = pending(path)
    if intent is None or intent.done:
        _clear_away(path)
        return intent
    intent.interrupted = True
    try:
        if _can_be_finished(path, intent):
            _move(path, intent)
        else:
            _undo(path, intent)
            intent.undone = True
    except OSError as error:
        raise _failure(
            f"{path}: a {intent.operation} that was interrupted cannot be finished", error
        ) from error
    return _finished(path, intent)


def new_file(path: Path) -> Path:
    """Where to build what is to take the journal's place; what a crash leaves of it a start removes."""
    return path.with_name(f".{path.name}.{os.getpid()}{_NEW}")


def _clear_away(path: Path) -> None:
    """Remove what was being built when a process died, and was never declared."""
    with contextlib.suppress(OSError):
        for left in path.parent.glob(f".{glob.escape(path.name)}.*{_NEW}"):
            left.unlink(missing_ok=True)
        part(part(path, INTENT), _NEW).unlink(missing_ok=True)


def recorded(path: Path) -> None:
    """The journal tells what happened: the record has served. Raises `JournalIOError`."""
    file = part(path, INTENT)
    try:
        _remove(file)
    except OSError as error:
        raise refusal(file, error) from error


# ── steps ───────────────────────────────────────────────────────────────────────────────────────


def _can_be_finished(path: Path, intent: Intent) -> bool:
    """Whether the new file is still there, or is in its place already."""
    if intent.placed is None or path.with_name(intent.placed).exists():
        return True
    return path.exists() and _is_aside(path, intent)


def _is_aside(path: Path, intent: Intent) -> bool:
    return all(path.with_name(to).exists() for origin, to in intent.moves if origin == path.name)


def _move(path: Path, intent: Intent) -> None:
    placed = None if intent.placed is None else path.with_name(intent.placed)
    if placed is None or placed.exists():  # once it is in its place, what is beside it is its own
        for origin, to in intent.moves:
            _rename(path.with_name(origin), path.with_name(to))
        sync_directory(path.parent)
    if placed is not None and placed.exists():
        if path.exists():
            raise FileExistsError(errno.EEXIST, "another file of that name appeared meanwhile")
        os.rename(placed, path)
        sync_directory(path.parent)
    for name in intent.removed:
        path.with_name(name).unlink(missing_ok=True)
    sync_directory(path.parent)


def _undo(path: Path, intent: Intent) -> None:
    """Put back what was moved, the main file last."""
    if intent.placed is not None and path.exists() and _is_aside(path, intent):
        _rename(path, path.with_name(intent.placed))
    sync_directory(path.parent)
    for origin, to in reversed(intent.moves):
        _rename(path.with_name(to), path.with_name(origin))
    sync_directory(path.parent)


def _rename(origin: Path, to: Path) -> None:
    """Move a file that is there to where none is; a step that was taken before is none."""
    if not to.exists():
        with contextlib.suppress(FileNotFoundError):  # moved before, or removed by SQLite
            os.rename(origin, to)


def _finished(path: Path, intent: Intent) -> Intent:
    """Leave what is to be recorded, and nothing that could be done a second time."""
    intent.done = True
    try:
        _write(path, msgspec.structs.replace(intent, moves=[], placed=None, removed=[]))
    except OSError as error:
        raise _failure(f"{path}: {intent.operation}", error) from error
    return intent


def _failure(what: str, error: OSError) -> JournalError:
    said = f"{what}: {error.strerror}"
    return JournalFull(said) if is_full(error) else JournalIOError(said)


def _write(path: Path, intent: Intent) -> None:
    """Have the record on the disk, whole."""
    file = part(path, INTENT)
    new = part(file, _NEW)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        content = msgspec.json.encode(intent)
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(new, file)
    sync_directory(path.parent)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    sync_directory(file.parent)
