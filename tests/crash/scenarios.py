"""What is recorded: each scenario is one or more lives of a daemon, and what else happens to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from tests.crash.judging import BACKUP
from tests.crash.runs import Run

SEGMENT: Final = 16_384
"""Seqs after which the indexes of a segment are made."""


def lives(run: Run) -> None:
    """Two lives and a third, producers with and without ids, in groups of any size."""
    run.record()
    run.start()
    run.single(15)
    run.groups(4, 25)
    run.rest(0.1)
    run.again(5)
    run.kill()
    run.start()
    run.groups(1, 120)
    run.single(10)
    run.rest(0.1)
    run.stop()
    run.start()
    run.single(8)
    run.again(5)
    run.stop()


def small_groups(run: Run) -> None:
    """Single events, a commit each."""
    run.record()
    run.start()
    run.single(60)
    run.rest(0.1)
    run.single(60)
    run.kill()
    run.start()
    run.groups(20, 3)
    run.stop()


def large_groups(run: Run) -> None:
    """Groups of hundreds: commits of many pages."""
    run.record()
    run.start()
    run.groups(2, 300)
    run.rest(0.1)
    run.groups(1, 400)
    run.kill()
    run.start()
    run.groups(1, 200)
    run.stop()


def pruning(run: Run) -> None:
    """The oldest are removed by number, then by request."""
    run.configure(retention='max_entries = 150\ninterval = "1s"')
    run.record()
    run.note("pruning", keep=140)
    run.start()
    for _ in range(4):
        run.groups(2, 50)
        run.rest(0.15)
    with run.reader():
        run.groups(2, 50)
        run.rest(0.15)
    run.kill()
    run.start()
    run.groups(3, 40)
    run.rest(0.1)
    run.note("pruning", keep=50)
    with run.daemon.line() as line:
        assert line.ask({"op": "prune", "max_entries": 60})["ok"]
    run.single(10)
    run.stop()


def settings(run: Run) -> None:
    """Keys and rules that are set at run time, audited objects, a reload."""
    run.configure(resources='slug = "rooms"\nobject_type = "room"\naudit = true')
    run.record()
    run.start()
    with run.daemon.line() as line:
        for number in range(6):
            assert line.ask({"op": "add_key", "label": f"key{number}", "role": "viewer"})["ok"]
            run.single(3)
            room = {"action": "room.updated", "object_type": "room", "object_id": "r1"}
            assert line.ask(room | {"record": {"name": f"n{number}", "size": number}})["ok"]
        assert line.ask({"op": "revoke_key", "label": "key3"})["ok"]
        run.configure(retention="max_days = 400", categories="")
        assert line.ask({"op": "reload"})["ok"]
    run.single(10)
    run.kill()
    run.start()
    run.groups(2, 30)
    run.stop()


def devices(run: Run) -> None:
    """Devices that come and go, and are found to be dead."""
    run.configure(
        health='interval = "1s"\nretry_interval = "1s"\ntimeout = "1s"\nfailures = 1',
        devices='name = "one"\naddress = "127.0.0.1"\ncheck = "tcp://127.0.0.1:1"',
    )
    run.record()
    run.start()
    run.single(10)
    run.rest(1.2)
    run.configure(devices='name = "two"\naddress = "127.0.0.1"\ncheck = "tcp://127.0.0.1:2"')
    with run.daemon.line() as line:
        assert line.ask({"op": "reload"})["ok"]
    run.groups(3, 20)
    run.rest(1.2)
    run.kill()
    run.start()
    run.single(10)
    run.rest(0.5)
    run.stop()


def reindexing(run: Run) -> None:
    """The indexes are made anew, by the daemon and without one."""
    run.record()
    run.start()
    run.groups(4, 60)
    run.rest(0.1)
    with run.daemon.line() as line:
        assert line.ask({"op": "reindex"})["ok"]
    run.single(10)
    run.stop()
    run.note("doing", what="reindex")
    assert run.verb("reindex", "--db", str(run.daemon.database)) == 0
    run.start()
    run.single(10)
    run.stop()


def backing_up(run: Run) -> None:
    """A backup while it records, another in its place, a third without a daemon."""
    target = str(run.state / BACKUP)
    run.record()
    run.start()
    run.groups(2, 60)
    run.verb("backup", target, "--db", str(run.daemon.database))
    run.note("backing up")
    run.single(15)
    run.verb("backup", target, "--db", str(run.daemon.database))
    run.groups(2, 30)
    run.stop()
    run.verb("backup", target, "--db", str(run.daemon.database))
    run.start()
    run.single(5)
    run.kill()


def restoring(run: Run) -> None:
    """A backup is put in the place of the journal that went on; that goes on in its turn."""
    outside = run.state.parent / BACKUP
    run.record()
    run.start()
    run.groups(2, 50)
    run.note("backing up")
    assert run.verb("backup", str(outside), "--db", str(run.daemon.database)) == 0
    run.groups(2, 40)
    run.single(5)
    if run.chance.random() < 0.5:
        run.stop()
    else:
        run.kill()
    run.note("doing", what="restore")
    run.note("replacing", by_backup=True)
    assert run.verb("restore", str(outside), "--db", str(run.daemon.database)) == 0
    run.note("replaced")
    run.start()
    run.single(15)
    run.groups(2, 30)
    run.stop()


def quarantine(run: Run) -> None:
    """A journal that is marked as damaged is set aside at the next start."""
    run.start()
    run.groups(3, 40)
    run.kill()
    Path(f"{run.daemon.database}.damaged").touch()
    run.record()
    run.note("doing", what="quarantine")
    run.note("replacing", by_backup=False)
    run.start()
    run.note("replaced")
    run.note("doing", what="")
    run.single(20)
    run.groups(3, 30)
    run.stop()


def recovery(run: Run) -> None:
    """Starts on what kill -9 left, again and again."""
    run.record()
    run.start()
    run.groups(3, 40)
    for _ in range(5):
        run.rest(0.05)
        run.single(4)
        run.kill()
        run.start()
    run.groups(1, 80)
    run.kill()
    run.start()
    run.stop()


def recovery_from_power_cut(run: Run) -> None:
    """Starts on what a power cut has left of a run before, and records further."""
    run.record()
    run.start()
    run.groups(3, 40)
    run.rest(0.1)
    run.single(10)
    run.groups(1, 60)
    run.kill()
    run.cut()
    run.record()
    run.start()
    run.single(10)
    run.groups(2, 40)
    run.kill()
    run.start()
    run.stop()


def readers(run: Run) -> None:
    """Readers hold a snapshot while it records, is checkpointed, stops."""
    run.record()
    run.start()
    run.groups(2, 40)
    with run.reader():
        run.rest(0.1)
        run.single(20)
        run.groups(2, 50)
        run.rest(0.1)
    run.single(5)
    run.rest(0.1)
    with run.reader():
        run.groups(1, 60)
        run.rest(0.1)
        run.single(10)
    run.rest(0.1)
    run.single(10)
    run.stop()


def viewer_over_restart(run: Run) -> None:
    """A reader holds a snapshot over a clean stop and the start after it, and a while longer."""
    run.record()
    run.start()
    run.groups(2, 40)
    run.rest(0.1)
    run.single(5)
    with run.reader():
        run.single(10)
        run.stop()
        run.start()
        run.single(15)
        run.rest(0.1)
        run.groups(1, 50)
    run.single(5)
    run.rest(0.1)
    run.kill()
    run.start()
    run.stop()


def failed_sync(run: Run) -> None:
    """A commit whose sync fails, then others that work."""
    run.record()
    run.start()
    run.groups(2, 30)
    run.rest(0.1)
    for _ in range(3):
        run.fail("wal", run.chance.choice((1, 1, 2)))
        run.insist(40)
        run.failed("wal")
        run.single(8)
        run.rest(run.chance.choice((0.0, 0.1)))
    run.stop()
    run.start()
    run.single(5)
    run.stop()


def failed_checkpoint(run: Run) -> None:
    """The sync of the main file, or of the log before it, fails in a checkpoint."""
    run.record()
    run.start()
    run.groups(2, 30)
    for which in ("main", "wal", "main"):
        run.single(5)
        run.fail(which)
        run.rest(0.3)
        run.fail(which, 0)
        run.insist(20)
        run.single(10)
    run.kill()
    run.start()
    run.single(5)
    run.stop()


def failed_sync_and_restart(run: Run) -> None:
    """A sync fails, the daemon is killed, the next one goes on."""
    run.record()
    run.start()
    run.groups(2, 30)
    run.rest(0.1)
    run.fail("wal", 50)
    run.attempt(60)
    run.kill()
    run.fail("wal", 0)
    run.start()
    run.single(25)
    run.groups(1, 60)
    run.stop()


def failed_sync_and_reader(run: Run) -> None:
    """A sync fails while a reader holds a snapshot: that of a commit, or, where derived rows had not
    been synced yet, that of the checkpoint which follows them. The reader leaves later."""
    run.record()
    run.start()
    run.groups(3, 30)
    run.rest(0.1)
    run.single(4)
    for _ in range(2):
        with run.reader():
            run.single(3)
            if run.chance.random() < 0.3:
                run.rest(0.1)
                run.fail("wal")
                run.attempt(40)
            else:
                run.fail("wal")
                run.rest(0.15)
                run.attempt(5)
            run.failed("wal")
            for _ in range(8):
                run.attempt(5)
                run.rest(0.02)
        run.insist(30)
        run.single(10)
        run.rest(0.1)
    run.stop()


def segment(run: Run) -> None:
    """Past the end of a complete segment: its indexes are made while others are recorded."""
    _filled(run, SEGMENT - 60)
    run.record()
    run.start()
    run.groups(2, 40)
    run.rest(0.2)
    run.single(10)
    run.rest(0.3)
    with run.reader():
        run.groups(1, 60)
        run.rest(0.5)
    run.kill()
    run.start()
    run.single(10)
    run.stop()


def segment_pruned(run: Run) -> None:
    """Past the end of a complete segment, from which entries are removed meanwhile."""
    _filled(run, SEGMENT - 60)
    run.configure(retention='max_entries = 16300\ninterval = "1s"')
    run.record()
    run.note("pruning", keep=16_250)
    run.start()
    run.groups(2, 40)
    run.rest(0.2)
    run.groups(1, 200)
    run.rest(0.5)
    run.stop()


def migration_from(schema: int) -> Callable[[Run], None]:
    """A run that begins with a journal of an earlier schema."""

    def migrating(run: Run) -> None:
        run.start()
        run.groups(3, 60)
        run.rest(0.1)
        run.stop()
        older(run.daemon.database, schema)
        run.record()
        run.start()
        run.single(15)
        run.rest(0.1)
        run.groups(1, 40)
        run.kill()
        run.start()
        run.single(5)
        run.stop()

    migrating.__doc__ = f"A journal of schema {schema} becomes one of today's."
    return migrating


def _filled(run: Run, count: int) -> None:
    """So many entries are there before anything is recorded; followers have not seen the end."""
    words, run.words = run.words, (1,)
    run.start()
    while (missing := count - _last_seq(run)) > 0:
        run.groups(1, min(2000, missing))
    run.stop()
    run.words = words


def _last_seq(run: Run) -> int:
    with run.daemon.line() as line:
        last: int = line.ask({"op": "status"})["status"]["last_seq"]
    return last


_OF_SCHEMA_3: Final = (
    *(
        "facts",
        "kinds",
        "principals",
        "producers",
        "scopes",
        "log",
        "versions",
        "states",
        "devices",
    ),
    *("id_runs", "ids", "postings", "occurrences", "words", "chunks", "checksums", "totals"),
)


def older(path: Path, schema: int) -> None:
    """Make a journal at rest one of an earlier schema, by taking away what later ones brought."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        run = connection.execute
        run("BEGIN")
        tables = run("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table not in _OF_SCHEMA_3 and not table.startswith("sqlite_"):
                run(f"DROP TABLE {table}")
        run("DELETE FROM facts WHERE name = 'clean'")
        if schema < 3:
            cursor = run("SELECT value FROM facts WHERE name = 'cursor.ids'").fetchone()
            pairs = run(
                "SELECT seq, id FROM log WHERE id <> x'' AND seq <= ?",
                (cursor[0] if cursor else 0,),
            ).fetchall()
            run("DROP TABLE ids")
            run("DROP TABLE id_runs")
            run("DELETE FROM facts WHERE name = 'ids_key'")
            if schema == 2:
                run(
                    "CREATE TABLE ids (block INTEGER NOT NULL, id BLOB NOT NULL, seq INTEGER NOT NULL,"
                    " PRIMARY KEY (block, id)) STRICT, WITHOUT ROWID"
                )
                connection.executemany("INSERT INTO ids VALUES (?1 >> 19, ?2, ?1)", pairs)
            else:
                run("DROP TABLE occurrences")
                run(
                    "CREATE TABLE ids (id BLOB PRIMARY KEY, seq INTEGER NOT NULL)"
                    " STRICT, WITHOUT ROWID"
                )
                connection.executemany("INSERT INTO ids VALUES (?2, ?1)", pairs)
        run(f"PRAGMA user_version = {schema}")
        run("COMMIT")


SCENARIOS: Final[dict[str, Callable[[Run], None]]] = {
    "lives": lives,
    "small groups": small_groups,
    "large groups": large_groups,
    "pruning": pruning,
    "settings": settings,
    "devices": devices,
    "reindex": reindexing,
    "backup": backing_up,
    "restore": restoring,
    "quarantine": quarantine,
    "recovery": recovery,
    "recovery, power cut": recovery_from_power_cut,
    "readers": readers,
    "readers, restart": viewer_over_restart,
    "failed sync": failed_sync,
    "failed checkpoint": failed_checkpoint,
    "failed sync, restart": failed_sync_and_restart,
    "failed sync, reader": failed_sync_and_reader,
    "migration from 1": migration_from(1),
    "migration from 2": migration_from(2),
    "migration from 3": migration_from(3),
    "segment": segment,
    "segment, pruned": segment_pruned,
}
"""By the name that a seed belongs to."""
