"""`verify` is content with a journal at any moment, and finds what SQLite does not."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.errors import JournalCorrupt, JournalError
from collector.journal import verifying
from tests.journal.world import World, fill, spend, world


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db") as made:
        yield made


def test_verify_is_content_with_a_journal_in_the_midst_of_everything(tmp_path: Path) -> None:
    with world(tmp_path / "events.db", small=True) as w:
        for seed in range(6):
            fill(w, 100, seed)
            w.step("words", seed)
            w.step("postings", seed)
            spend(w.pruner.oldest(20, "entries"))
            assert w.rooms.verifying.verify(w.path) == []


def test_verify_finds_a_changed_byte_in_any_entry(tmp_path: Path) -> None:
    """Random damage within the log's pages: SQLite's own check misses what only changes content."""
    path = tmp_path / "events.db"
    with world(path, small=True) as w:
        fill(w, 640)
        w.follow()
        log = {n for (n,) in w.journal.connection.execute(
            "SELECT pageno FROM dbstat WHERE name = 'log' AND pagetype = 'leaf'")} if _dbstat(w) else set()  # fmt: skip # noqa: E501
        verify = w.rooms.verifying.verify
    good, rng = path.read_bytes(), random.Random(11)
    if not log:
        pytest.skip("this SQLite is built without dbstat")
    missed = []
    for _ in range(40):
        bad = bytearray(good)
        at = (rng.choice(sorted(log)) - 1) * 4096 + 2048 + rng.randrange(2000)
        before = bytes(bad[at : at + 16])
        bad[at : at + 16] = rng.randbytes(16)
        path.write_bytes(bad)
        try:
            found = verify(path)
        except JournalCorrupt as error:
            found = [str(error)]
        if not found and before != bad[at : at + 16]:
            missed.append(at)
    assert missed == []


def _dbstat(w: World) -> bool:
    try:
        w.journal.connection.execute("SELECT 1 FROM dbstat LIMIT 1")
    except sqlite3.OperationalError:
        return False
    return True


def test_verify_finds_a_reference_to_nothing(w: World) -> None:
    fill(w, 20)
    w.journal.connection.execute("DELETE FROM principals WHERE principal = (SELECT actor FROM log)")
    assert any("actor" in problem for problem in verifying.verify(w.path))


def test_verify_refuses_what_is_no_journal(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as made:
        made.execute("CREATE TABLE theirs (x)")
    made.close()
    with pytest.raises(JournalCorrupt):
        verifying.verify(other)
    with pytest.raises(JournalError):
        verifying.verify(tmp_path / "nothing.db")
