"""Everything derived is built anew, the same, and never beside a daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.errors import AlreadyRunning
from collector.journal.followers import ids
from collector.journal.reindexing import reindex
from collector.journal.verifying import verify
from collector.lock import LockFile
from tests.journal.world import fill, indexed, spend, world


def test_reindexing_builds_the_same_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "IDS_SMALL", 1)
    path = tmp_path / "events.db"
    derived = ("postings", "occurrences", "words", "checksums", "chunks")
    with world(path) as w:
        for seed in range(7):
            fill(w, 2500, seed)
        while w.followers[1].lag:
            spend(w.followers[1].steps())
        w.follow()
        before = {t: w.journal.connection.execute(f"SELECT * FROM {t}").fetchall() for t in derived}
        totals = w.journal.connection.execute("SELECT * FROM totals").fetchall()
        known = indexed(w)
        assert len(known) > 1_000
        for table in (*derived, "ids"):
            w.journal.connection.execute(f"DELETE FROM {table} WHERE random() % 2")
    assert reindex(path) == 17_500
    with world(path) as w:
        for table in derived:
            assert w.journal.connection.execute(f"SELECT * FROM {table}").fetchall() == before[table], table  # fmt: skip # noqa: E501
        assert w.journal.connection.execute("SELECT * FROM totals").fetchall() == totals
        assert indexed(w) == known
    assert verify(path) == []


def test_reindexing_refuses_while_a_daemon_runs(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with world(path):
        lock = LockFile(f"{path}.lock")
        try:
            with pytest.raises(AlreadyRunning):
                reindex(path)
        finally:
            lock.release()
