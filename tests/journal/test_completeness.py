"""A copy of the main file alone says that it may end early; one that is whole does not."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.journal import backup as backups
from collector.journal.completeness import CLEAN, in_doubt
from collector.journal.verifying import verify
from tests.journal.world import World, fill, world


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "state" / "events.db") as made:
        yield made


@pytest.fixture(autouse=True)
def _state(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(exist_ok=True)


def bare(path: Path, copy: Path) -> Path:
    """What `cp` makes of a journal in use."""
    shutil.copy(path, copy)
    return copy


def test_a_copy_of_the_main_file_alone_tells_where_it_ends(w: World, tmp_path: Path) -> None:
    fill(w, 30)
    assert w.journal.checkpoint()
    fill(w, 20)
    (told,) = verify(bare(w.path, tmp_path / "copy.db"))
    assert told.startswith(
        "copied while in use, no WAL beside it: may end early; last entry 30 at 2027-01-15T"
    )
    assert [file.name for file in tmp_path.glob("copy*")] == ["copy.db"], (
        "nothing was made beside it"
    )


def test_one_that_never_held_anything_says_so(w: World, tmp_path: Path) -> None:
    fill(w, 5)
    (told,) = verify(bare(w.path, tmp_path / "copy.db"))
    assert told.endswith("it holds no entry")


def test_with_its_log_a_copy_is_whole(w: World, tmp_path: Path) -> None:
    fill(w, 30)
    copy = bare(w.path, tmp_path / "copy.db")
    shutil.copy(f"{w.path}-wal", f"{copy}-wal")
    assert verify(copy) == []


def test_the_journal_in_use_is_whole_also_with_an_empty_log(w: World) -> None:
    fill(w, 30)
    assert verify(w.path) == []
    assert w.journal.wipe()
    assert w.path.with_name("events.db-wal").stat().st_size == 0
    assert verify(w.path) == []


def test_an_empty_log_that_a_reader_made_is_none(w: World, tmp_path: Path) -> None:
    fill(w, 30)
    copy = bare(w.path, tmp_path / "copy.db")
    Path(f"{copy}-wal").touch()
    assert in_doubt(copy)


def test_what_was_stopped_cleanly_is_whole_also_by_a_version_that_left_no_mark(
    tmp_path: Path,
) -> None:
    with world(tmp_path / "state" / "events.db") as w:
        fill(w, 30)
    with closing(sqlite3.connect(w.path, isolation_level=None)) as old:
        old.execute("DELETE FROM facts WHERE name = ?", (CLEAN,))
    assert verify(bare(w.path, tmp_path / "copy.db")) == []


@pytest.mark.parametrize("by", ["us", "sqlite"])
def test_a_backup_is_whole_and_sqlites_own_is_told_apart_by_its_mark(
    w: World, tmp_path: Path, by: str
) -> None:
    """Both look as if they had been in use while they are made; ours says that it is whole."""
    fill(w, 30)
    copy = tmp_path / "copy.db"
    if by == "us":
        backups.backup(w.path, copy)
    else:
        with closing(sqlite3.connect(copy)) as target:
            w.journal.connection.backup(target)
    assert in_doubt(copy) == (by == "sqlite")
    assert len(verify(copy)) == (0 if by == "us" else 1)
    with closing(sqlite3.connect(copy)) as made:
        made.execute("INSERT OR REPLACE INTO facts VALUES (?, 1)", (CLEAN,))
        made.commit()
        made.execute("PRAGMA journal_mode = WAL")
    assert in_doubt(copy)
    assert verify(copy) == [], "the mark alone tells"


def test_a_backup_of_a_copy_in_doubt_is_in_doubt_and_a_restore_warns(
    w: World, tmp_path: Path
) -> None:
    fill(w, 30)
    assert w.journal.checkpoint()
    copy, warned = bare(w.path, tmp_path / "copy.db"), []
    backups.backup(copy, tmp_path / "again.db", warn=warned.append)
    assert verify(tmp_path / "again.db") == warned
    assert len(warned) == 1
    backups.restore(copy, tmp_path / "events.db", warn=warned.append)
    assert warned[0] == warned[1]
    with world(tmp_path / "events.db") as restored:
        assert len(restored.entries()) == 30
