"""Restore and quarantine, killed before each step that reaches the file system, and then a start.

Whatever step was the last, the start finds a whole journal: the old one where nothing was declared,
else the new. The old one is kept, whole, under the name that was declared; nothing of one is ever
beside the other; what happened is still to be recorded, and only then forgotten.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.daemon.opening import open_journal, quarantine
from collector.errors import JournalCorrupt, JournalError, JournalIOError, JournalMissing
from collector.journal import backup as backups
from collector.journal import intents
from collector.journal.verifying import reading, verify
from tests.journal.world import World, fill, world

OLD, NEW = 60, 30
STEPS = ("rename", "unlink", "fsync", "open")


class Killed(BaseException):
    """The process is gone: nothing that follows is done."""


class Killer:
    """Counts the steps of a process, and ends it before one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, at: int = 0) -> None:
        self.steps: list[str] = []
        self._folder, self._at, self._dead = folder, at, False
        for name in STEPS:
            monkeypatch.setattr(os, name, self._guarded(name, getattr(os, name)))

    def _guarded(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if self._dead:
                raise Killed
            if name == "fsync" or str(self._folder) in str(arguments[0]):
                self.steps.append(name)
                if len(self.steps) == self._at:
                    self._dead = True
                    raise Killed
            return call(*arguments, **options)

        return step


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of `OLD` entries that was killed at work, marked, and a backup of its first `NEW`."""
    folder = tmp_path_factory.mktemp("model")
    path = folder / "state" / "events.db"
    path.parent.mkdir()
    w = World(path)
    fill(w, NEW)
    backups.backup(path, folder / "copy.db")
    fill(w, OLD - NEW)
    w.crash()
    path.with_name("events.db.damaged").touch()
    return folder


Make = Callable[[], tuple[Path, Path]]


@pytest.fixture
def prepared(model: Path, tmp_path: Path) -> Make:
    """Makes copies of the model: the journal's path, and the backup's."""
    made: list[Path] = []

    def one() -> tuple[Path, Path]:
        folder = tmp_path / str(len(made))
        shutil.copytree(model, folder)
        made.append(folder)
        return folder / "state" / "events.db", folder / "copy.db"

    return one


@contextlib.contextmanager
def a_reader_on(path: Path, wanted: bool) -> Iterator[None]:
    """A snapshot of the old journal, held in this process, for as long as the block lasts."""
    if not wanted:
        yield
        return
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    connection.execute("BEGIN")
    assert connection.execute("SELECT count(*) FROM log").fetchone() == (OLD,)
    try:
        yield
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (OLD,)
    finally:
        connection.close()


def restore(path: Path, copy: Path) -> None:
    backups.restore(copy, path)


def set_aside(path: Path, copy: Path) -> None:
    quarantine(path, 1_800_000_000.0)


def steps_of(job: Callable[[Path, Path], None], path: Path, copy: Path) -> int:
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(patch, path.parent)
        job(path, copy)
    assert {"rename", "fsync", "open"} <= set(killer.steps)
    return len(killer.steps)


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "with a reader"])
@pytest.mark.parametrize("job", [restore, set_aside])
def test_a_kill_before_any_step_leaves_what_the_next_start_finishes(
    prepared: Make, job: Callable[[Path, Path], None], reader: bool
) -> None:
    outcomes = set()
    for at in range(1, steps_of(job, *prepared()) + 1):
        path, copy = prepared()
        with a_reader_on(path, reader):
            with pytest.MonkeyPatch.context() as patch:
                Killer(patch, path.parent, at)
                with pytest.raises(Killed):
                    job(path, copy)
            declared = intents.pending(path)
            outcomes.add(_started(path, job, declared, at))
    assert outcomes == {"untouched", "finished"}


def _started(path: Path, job: Any, declared: intents.Intent | None, at: int) -> str:
    """Start once, or as often as a killed start takes, and look at everything that is there."""
    intent = intents.finish(path)
    marked = path.with_name("events.db.damaged").exists()
    if declared is None:
        assert intent is None
        assert _count(path) == OLD, at
        assert marked
        left = {file.name for file in path.parent.iterdir()}
        assert left <= {"events.db", "events.db-wal", "events.db-shm", "events.db.lock",
                        "events.db.damaged"}, at  # fmt: skip
        return "untouched"
    assert intent is not None
    assert intent.aside is not None
    assert not intent.undone
    assert not marked
    assert _count(path.with_name(intent.aside)) == OLD, at
    assert verify(path.with_name(intent.aside)) == []
    if job is restore:
        assert _count(path) == NEW, at
        assert verify(path) == []
    else:
        assert not path.exists()
        assert not path.with_name("events.db-wal").exists()
    again = intents.pending(path)  # it stays until it is recorded, and moves nothing any more
    assert again is not None
    assert (again.id, again.done, again.moves, again.placed) == (intent.id, True, [], None)
    intents.recorded(path)
    assert intents.finish(path) is None
    return "finished"


def _count(path: Path) -> int:
    with reading(path) as connection:
        count: int = connection.execute("SELECT count(*) FROM log").fetchone()[0]
        return count


def test_a_start_that_is_killed_while_it_finishes_is_finished_by_the_next(prepared: Make) -> None:
    at = 1
    while True:
        path, copy = prepared()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(intents, "_move", _dies)  # declared, and nothing moved yet
            with pytest.raises(Killed):
                restore(path, copy)
        with pytest.MonkeyPatch.context() as patch:
            Killer(patch, path.parent, at)
            with contextlib.suppress(Killed):
                intents.finish(path)
                break
        declared = intents.pending(path)
        assert declared is not None
        assert _started(path, restore, declared, at) == "finished"
        at += 1
    assert at > 8


def _dies(*arguments: object) -> None:
    raise Killed


def test_what_readers_make_beside_the_new_journal_stays_there(prepared: Make) -> None:
    """Killed behind the last rename; a reader came before the next start did."""
    path, copy = prepared()
    path.with_name("events.db-wal").unlink()  # so that its place aside is free
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intents, "_finished", _dies)
        with pytest.raises(Killed):
            restore(path, copy)
    beside = path.with_name("events.db-wal")
    beside.write_bytes(b"the new journal's")
    assert intents.finish(path) is not None
    assert beside.read_bytes() == b"the new journal's"


def test_each_step_is_on_the_disk_before_the_next_rests_on_it(
    prepared: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill shows nothing of this, a power cut would: until a sync renames arrive in any order."""
    path, copy = prepared()
    steps: list[str] = []
    rename, unlink, fsync = os.rename, os.unlink, os.fsync

    def renamed(origin: Any, to: Any) -> None:
        rename(origin, to)
        steps.append(f"{_role(origin, path)}>{_role(to, path)}")

    def removed(file: Any, **how: Any) -> None:
        unlink(file, **how)
        steps.append(f"-{_role(file, path)}")

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        steps.append(f"sync:{_role(os.readlink(f'/proc/self/fd/{descriptor}'), path)}")

    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(os, "unlink", removed)
    monkeypatch.setattr(os, "fsync", synced)
    restore(path, copy)
    intents.recorded(path)
    assert steps == [
        "sync:new",  # whole before it is declared
        "sync:intent.new", "intent.new>intent", "sync:folder",
        "main>aside", "wal>aside", "shm>aside", "sync:folder",
        "new>main", "sync:folder",
        "-damaged", "sync:folder",
        "sync:intent.new", "intent.new>intent", "sync:folder",
        "-intent", "sync:folder",
    ]  # fmt: skip


def _role(file: Any, path: Path) -> str:
    name = os.path.basename(os.fspath(file))
    if os.fspath(file) == str(path.parent):
        return "folder"
    if "before-restore" in name:
        return "aside"
    if name.startswith("."):
        return "new"
    return name.removeprefix(path.name).lstrip(".-") or "main"


def test_where_the_new_file_is_gone_everything_goes_back(prepared: Make) -> None:
    path, copy = prepared()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backups.intents, "_finished", _dies)
        patch.setattr(os, "rename", _all_but(".new", os.rename))
        with pytest.raises(Killed):
            restore(path, copy)
    assert not path.exists()
    for file in path.parent.glob(".events.db.*.new"):
        file.unlink()
    intent = intents.finish(path)
    assert intent is not None
    assert intent.undone
    assert _count(path) == OLD
    assert verify(path) == []
    assert not list(path.parent.glob("*before-restore*"))


def _all_but(ending: str, rename: Callable[..., None]) -> Callable[..., None]:
    def step(origin: object, to: object) -> None:
        if str(origin).endswith(ending) and str(to).endswith("events.db"):
            raise Killed
        rename(origin, to)

    return step


def test_an_error_on_the_way_puts_everything_back_at_once(prepared: Make) -> None:
    path, copy = prepared()

    def refused(origin: object, to: object) -> None:
        if str(to).endswith("/events.db") and str(origin).endswith(".new"):
            raise PermissionError(1, "Operation not permitted")
        real(origin, to)

    real = os.rename
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", refused)
        with pytest.raises(JournalIOError, match="Operation not permitted"):
            restore(path, copy)
    assert _count(path) == OLD
    assert intents.pending(path) is None
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "events.db", "events.db-shm", "events.db-wal", "events.db.damaged", "events.db.lock",
    ]  # fmt: skip


def test_a_reader_is_told_of_a_move_that_is_under_way(prepared: Make) -> None:
    path, copy = prepared()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", _all_but(".new", os.rename))
        with pytest.raises(Killed):
            restore(path, copy)
    with pytest.raises(JournalMissing, match="a start finishes it"), reading(path):
        pass


def test_a_record_that_cannot_be_understood_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with world(path) as w:
        fill(w, 5)
    path.with_name("events.db.intent").write_bytes(b"{")
    with pytest.raises(JournalCorrupt, match=r"events\.db\.intent"):
        open_journal(path, "quarantine", now=lambda: 0.0)
    assert _count(path) == 5


def test_the_old_names_are_never_taken_by_something_else(prepared: Make) -> None:
    """Two in one second, and a file that somebody put there: each has a name of its own."""
    path, copy = prepared()
    path.with_name("events.db.corrupt-20270115T080000Z").write_text("theirs")
    first = quarantine(path, 1_800_000_000.0)
    assert first.aside == "events.db.corrupt-20270115T080000Z-2"
    intents.recorded(path)
    restore(path, copy)
    second = quarantine(path, 1_800_000_000.0)
    assert second.aside == "events.db.corrupt-20270115T080000Z-3"
    with pytest.raises(JournalError):
        verify(path.with_name("events.db.corrupt-20270115T080000Z"))
