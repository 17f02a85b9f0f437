"""The file itself: its pragmas, its migrations, its view, and reading it without writing."""

from __future__ import annotations

import contextlib
import os
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from collector.core.query import Filter
from collector.errors import JournalMissing, JournalTooNew, PathTaken
from collector.event import Entry, Principal
from collector.journal import connection
from collector.journal.reader import Reader
from collector.journal.writer import Journal
from tests.journal import samples
from tests.journal.world import World, world
from tests.requirements import need_root, need_tool


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db") as made:
        yield made


def fill(w: World, count: int = 300) -> None:
    rng = random.Random(w.journal.last_seq)
    assert all(r.ok for r in w.record([samples.draft(rng, w.now) for _ in range(count)]))


def pragma(w: World, name: str) -> Any:
    return w.journal.connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_the_pragmas_that_the_promises_rest_on(w: World) -> None:
    fill(w)
    w.follow()
    assert pragma(w, "journal_mode") == "wal"
    assert pragma(w, "synchronous") == 2, "FULL, also after followers have worked"
    assert pragma(w, "auto_vacuum") == 2
    assert pragma(w, "wal_autocheckpoint") == 0
    assert pragma(w, "secure_delete") == 1
    assert pragma(w, "application_id") == int.from_bytes(b"coll", "big")
    assert pragma(w, "user_version") == connection.SCHEMA_VERSION


def test_every_table_is_strict(w: World) -> None:
    tables = w.journal.connection.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        " AND name NOT GLOB 'sqlite_*'"
    ).fetchall()
    assert len(tables) >= 14
    assert [name for name, strict in tables if not strict] == []


def test_the_log_has_no_secondary_index(w: World) -> None:
    """Recording appends one row and nothing else."""
    found = w.journal.connection.execute("SELECT count(*) FROM pragma_index_list('log')")
    assert found.fetchone()[0] == 0


def test_the_database_is_readable_by_its_group_only(w: World) -> None:
    assert w.path.stat().st_mode & 0o777 == 0o640


# ── the view ────────────────────────────────────────────────────────────────────────────────────


def _flat(entry: Entry) -> dict[str, Any]:
    flat = msgspec.to_builtins(entry)
    for name in ("actor", "on_behalf_of", "target"):
        who = getattr(entry, name) or Principal()
        parts = (
            ("type", "id", "name", "role", "email") if name == "actor" else ("type", "id", "name")
        )
        del flat[name]
        flat |= {f"{name}_{part}": getattr(who, part) for part in parts}
    return flat


def test_the_view_shows_what_readers_get_in_every_column(w: World) -> None:
    fill(w, 500)
    rows = w.journal.connection.execute("SELECT * FROM entries ORDER BY seq")
    names = [column[0] for column in rows.description]
    seen = set()
    for row, entry in zip(rows.fetchall(), w.entries(), strict=True):
        shown, flat = dict(zip(names, row, strict=True)), _flat(entry)
        for name in ("producer", "metadata", "changes"):
            shown[name] = None if shown[name] is None else msgspec.json.decode(shown[name])
        assert shown == flat
        seen |= {name for name, value in shown.items() if value not in (None, {})}
    assert set(names) - seen <= {"changes", "change_type"}, "the sample exercises every column"


def test_what_was_sent_is_what_is_stored(w: World) -> None:
    """The scan that all other tests trust, held to the drafts themselves."""
    rng = random.Random(3)
    drafts = [samples.draft(rng, w.now) for _ in range(300)]
    receipts = w.record(drafts)
    for draft, receipt, entry in zip(drafts, receipts, w.entries(), strict=True):
        assert (entry.seq, entry.id) == (receipt.seq, receipt.id)
        assert draft.id in (None, entry.id)
        for name in ("action", "object_type", "object_id", "object_name", "channel", "mode", "ip",
                     "tenant_id", "org_id", "correlation_id", "causation_id"):  # fmt: skip
            assert getattr(entry, name) == getattr(draft, name), name
        assert entry.message == draft.message
        assert entry.category == (draft.category or "system")
        assert entry.outcome == (draft.outcome or "success")
        assert entry.metadata == (draft.metadata or {})
        for name in ("actor", "target", "on_behalf_of"):
            who = getattr(draft, name)
            if isinstance(who, str):
                who = Principal(*who.split(":", 1))
            if who is not None or name != "actor":
                assert getattr(entry, name) == who
        if draft.occurred_at is not None:
            shown = draft.occurred_at.strftime("%m-%dT%H:%M:%S.%fZ")
            assert entry.occurred_at.endswith(shown)


# ── opening ─────────────────────────────────────────────────────────────────────────────────────


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    Journal.open(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {connection.SCHEMA_VERSION + 1}")
    newer.close()
    before = path.read_bytes()
    with pytest.raises(JournalTooNew):
        Journal.open(path)
    assert path.read_bytes() == before


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(PathTaken):
        Journal.open(path)
    assert path.read_bytes() == before


def test_a_write_ahead_log_without_its_database_is_not_touched(tmp_path: Path) -> None:
    wal = tmp_path / "events.db-wal"
    wal.write_bytes(b"all that is left")
    with pytest.raises(JournalMissing):
        Journal.open(tmp_path / "events.db")
    assert wal.read_bytes() == b"all that is left"
    assert not (tmp_path / "events.db").exists()


def _steps() -> list[tuple[int, str]]:
    return [
        (connection.SCHEMA_VERSION + 1, "CREATE TABLE one (x INTEGER) STRICT;"),
        (connection.SCHEMA_VERSION + 2, "INSERT INTO one VALUES (1); ALTER TABLE one ADD y TEXT;"),
    ]


def test_migrations_run_in_order_and_keep_the_log(w: World) -> None:
    fill(w, 20)
    before = w.entries()
    target = connection.SCHEMA_VERSION + 2
    connection.migrate(w.journal.connection, connection.SCHEMA_VERSION, _steps(), target)
    assert pragma(w, "user_version") == target
    assert w.journal.connection.execute("SELECT * FROM one").fetchall() == [(1, None)]
    assert w.entries() == before


def test_a_migration_that_fails_changes_nothing(w: World) -> None:
    steps = [*_steps(), (connection.SCHEMA_VERSION + 3, "INSERT INTO nowhere VALUES (1);")]
    with pytest.raises(sqlite3.Error, match="nowhere"):
        connection.migrate(
            w.journal.connection, connection.SCHEMA_VERSION, steps, connection.SCHEMA_VERSION + 3
        )
    w.journal.rollback()
    assert pragma(w, "user_version") == connection.SCHEMA_VERSION
    assert w.journal.connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'one'"
    ).fetchone() == (0,)


def test_the_newest_migration_leads_to_the_schema_that_is_installed() -> None:
    steps = connection.migrations(0)
    assert [number for number, _ in steps] == sorted({number for number, _ in steps})
    assert all(1 < number <= connection.SCHEMA_VERSION for number, _ in steps)
    assert re.search(rf"schema version {connection.SCHEMA_VERSION}\b", connection.schema())


# ── reading without writing ─────────────────────────────────────────────────────────────────────

_READ = """
import anyio, sys
from collector.core.query import Filter
from collector.journal.reader import Reader
async def main():
    async with Reader.open(sys.argv[1]) as reader:
        page = await reader.page(Filter())
        print(len(page.entries), page.entries[0].seq)
anyio.run(main)
"""


def test_readers_cannot_write(w: World) -> None:
    fill(w, 5)

    async def write() -> None:
        async with Reader.open(w.path) as reader:
            with pytest.raises(Exception, match="readonly"):
                await reader.fetch("DELETE FROM log RETURNING seq")

    anyio.run(write)
    assert len(w.entries()) == 5


@pytest.mark.parametrize("running", [True, False])
def test_a_reader_needs_no_write_access(tmp_path: Path, running: bool) -> None:
    """Another user, in a directory not theirs, with the daemon at work and after a clean stop."""
    need_root()
    setpriv = need_tool("setpriv", "util-linux")
    import tempfile

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        os.chmod(folder, 0o755)
        w = World(Path(folder) / "events.db")
        stack.callback(w.close)
        fill(w, 60)
        if not running:
            stack.close()
        for file in Path(folder).iterdir():
            file.chmod(0o644)
        reach = {"PYTHONPATH": os.pathsep.join(str(Path(p)) for p in sys.path if p)}
        command = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable]
        able = subprocess.run(
            [*command, "-c", "import collector, aiosqlite"], capture_output=True, env=reach, cwd="/"
        )
        if able.returncode:
            pytest.skip("the interpreter cannot be run by another user here")
        done = subprocess.run(
            [*command, "-c", _READ, str(w.path)], capture_output=True, text=True, env=reach, cwd="/"
        )
        assert done.stdout.split() == ["50", "60"], done.stderr


def test_a_reader_sees_one_snapshot_while_recording_goes_on(w: World) -> None:
    fill(w, 10)

    async def look() -> None:
        async with Reader.open(w.path) as reader:
            assert (await reader.page(Filter())).entries[0].seq == 10
            fill(w, 10)
            assert (await reader.page(Filter())).entries[0].seq == 20
            assert w.journal.wipe(), "no reader holds a snapshot between two answers"

    anyio.run(look)
