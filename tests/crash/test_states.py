"""The short form of `python -m tests.crash.states`, and what its parts promise by themselves.

Each run is recorded anew with a seed of its own, which a failure names; what failed is kept beside the
test's other files, and `python -m tests.crash.states --again REPORT` makes it again.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from collector import Collector
from tests.crash import recording as of
from tests.crash.expected import ACTION, Incomplete, Sent, Trace, moments
from tests.crash.filesystem import PAGE, SECTOR, File, Folder, How
from tests.crash.judging import MAIN, Judge
from tests.crash.mutants import FOUND_BY
from tests.crash.recording import Call, Recorder, compiled
from tests.crash.replaying import Outcome
from tests.crash.states import Job, Progress, done, main, many
from tests.requirements import need_tool

SHORT: Final = (
    "lives",
    "pruning",
    "recovery",
    "backup",
    "readers",
    "failed sync",
    "failed sync, restart",
    "failed checkpoint",
    "failed sync, reader",
    "readers, restart",
    "recovery, power cut",
    "migration from 1",
    "restore",
    "quarantine",
)
"""The runs of the short form."""
STATES: Final = 500
"""States of each, about."""
SEED: Final = int(os.environ.get("COLLECTOR_CRASH_SEED", "0")) or random.randrange(1, 1 << 31)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    need_tool("gcc")
    library = compiled(tmp_path)
    assert library is not None
    return library


# ── runs ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("run", SHORT)
def test_whatever_a_power_cut_leaves_holds_all_that_was_acknowledged(
    run: str, tmp_path: Path
) -> None:
    outcome = _states(run, tmp_path)
    assert outcome.states >= STATES * 0.6, outcome
    assert not outcome.wrong, _said(outcome, tmp_path)


@pytest.mark.parametrize("mutant", FOUND_BY)
def test_a_daemon_that_loses_what_it_acknowledged_is_noticed(mutant: str, tmp_path: Path) -> None:
    outcome = _states(FOUND_BY[mutant], tmp_path, mutant)
    assert outcome.wrong > outcome.states / 20, outcome
    assert any("acknowledged events are lost" in report["wrong"] for report in outcome.reports)


def _states(run: str, folder: Path, mutant: str | None = None) -> Outcome:
    need_tool("gcc")
    print(f"seed {SEED}")
    return done(Job(run, SEED, STATES, mutant, wrong=str(folder / "wrong")))


def _said(outcome: Outcome, folder: Path) -> str:
    first = json.dumps(outcome.reports[0], indent=1)
    return (
        f"COLLECTOR_CRASH_SEED={SEED}, reports in {folder / 'wrong'}, the first of them:\n{first}"
    )


def test_the_command_goes_on_where_it_was_stopped_and_makes_failures_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_tool("gcc")
    file = tmp_path / "progress"
    of_mutant = {"runs": ("small groups",), "mutant": "early", "wrong": str(tmp_path / "wrong")}
    many(1, 7, Progress(file), workers=1, states_a_run=60, **of_mutant)  # type: ignore[arg-type]
    first = Progress(file)
    many(first.sum("states") + 1, 7, first, workers=1, states_a_run=60, **of_mutant)  # type: ignore[arg-type]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["seed"] for line in lines] == [7_000_000, 7_000_001]
    report = next((tmp_path / "wrong").glob("*.json"))
    wrong = [item["wrong"] for item in json.loads(report.read_text())]
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["states", "--again", str(report)])
    assert main() == 1
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(wrong)


# ── the recorder ────────────────────────────────────────────────────────────────────────────────

_PROGRAM: Final = """
import os, socket, sqlite3, sys
os.chdir(sys.argv[1])
with open("plain", "wb", buffering=0) as file:
    file.write(b"a" * 5000)
    file.seek(100)
    file.write(b"b" * 10)
    os.ftruncate(file.fileno(), 4000)
    try:
        os.fsync(file.fileno())
    except OSError as error:
        assert error.errno == 5
    os.fdatasync(file.fileno())
os.rename("plain", sys.argv[1] + "/other")
os.link("other", "third")
os.unlink("third")
folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
os.fsync(folder)
c = sqlite3.connect(sys.argv[1] + "/test.db", isolation_level=None)
c.execute("PRAGMA journal_mode = WAL")
c.execute("CREATE TABLE t (x)")
c.execute("INSERT INTO t VALUES (zeroblob(9000))")
a, b = socket.socketpair()
a.send(b'{"ok":true,"seq":1,"id":"00000000-0000-4000-8000-000000000001"}')
os._exit(0)
"""


def test_the_recorder_sees_every_change_in_order(tmp_path: Path, library: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    recorder = Recorder(library, folder, tmp_path / "log")
    recorder.fail_syncs("other", 1)
    command = [sys.executable, "-c", _PROGRAM, str(folder)]
    subprocess.run(command, env=recorder.environment, check=True)
    assert recorder.failing("other") == 0
    replayed = Folder({})
    made = list(recorder.calls())
    for call in made:
        replayed.replay(call)
    there = {f.name: f.read_bytes() for f in folder.iterdir() if not f.name.endswith("-shm")}
    assert {name: file.cached for name, file in replayed.names.items()} == there
    assert there["other"] == b"a" * 100 + b"b" * 10 + b"a" * 3890
    kinds = [call.kind for call in made]
    plain = [
        of.OPEN,
        of.WRITE,
        of.WRITE,
        of.TRUNCATE,
        of.SYNC,
        of.SYNC,
        of.RENAME,
        of.LINK,
        of.UNLINK,
    ]
    assert kinds[:10] == [*plain, of.SYNC_FOLDER]
    assert [call.failed for call in made[4:6]] == [True, False]
    assert kinds[-1] == of.TOLD


def test_a_recording_that_lacks_a_call_is_not_believed() -> None:
    mark = json.dumps({"mark": "files", "digests": {"a": "what it was"}}).encode()
    trace = Trace("", 0, {"a": b"something else"}, [Call(of.MARK, data=mark)])
    with pytest.raises(Incomplete):
        list(moments(trace))


# ── the disk ────────────────────────────────────────────────────────────────────────────────────

OLD, NEW = b"o" * 3 * PAGE, b"n" * 3 * PAGE


def _left(file: File, how: How, tries: int = 300) -> set[bytes]:
    return {file.left(how, random.Random(number)) for number in range(tries)}


def test_what_was_synced_is_there_and_what_was_not_may_be() -> None:
    file = File(1, OLD)
    file.write(0, NEW)
    assert _left(file, "dropped") == {OLD}
    assert _left(file, "kept") == {NEW}
    file.sync(failed=False)
    for how in ("dropped", "kept", "cut", "pages", "sectors", "one lost", "one kept"):
        assert _left(file, how) == {NEW}  # type: ignore[arg-type]


def test_pages_and_sectors_reach_the_disk_in_any_order() -> None:
    file = File(1, OLD)
    file.write(0, NEW)
    pages = _left(file, "pages")
    assert pages == {b"".join(x * PAGE for x in p) for p in _choices(3)}
    torn = _left(file, "sectors")
    assert len(torn) > 200
    for state in torn:
        for at in range(0, len(state), SECTOR):
            assert state[at : at + SECTOR] in (b"o" * SECTOR, b"n" * SECTOR)
    assert {state.count(b"o") for state in _left(file, "one kept")} == {2 * PAGE}
    assert {state.rstrip(b"o").count(b"o") for state in _left(file, "cut")} == {0}


def _choices(count: int) -> list[list[bytes]]:
    return [[b"n" if bits >> n & 1 else b"o" for n in range(count)] for bits in range(1 << count)]


def test_a_sector_holds_what_one_of_the_writes_to_it_left_never_a_later_one_alone() -> None:
    file = File(1, b"\0" * PAGE)
    file.write(0, b"1" * 10)
    file.write(10, b"2" * 10)
    whole = {state[:20] for state in _left(file, "sectors") | _left(file, "pages")}
    assert whole == {b"\0" * 20, b"1" * 10 + b"\0" * 10, b"1" * 10 + b"2" * 10}


def test_a_failed_sync_leaves_pages_that_only_another_write_to_them_brings_to_the_disk() -> None:
    file = File(1, OLD)
    file.write(0, NEW[:PAGE])
    file.write(PAGE, NEW[:PAGE])
    file.sync(failed=True)
    file.sync(failed=False)
    assert file.cached[: 2 * PAGE] == NEW[: 2 * PAGE]
    assert _left(file, "kept") == {OLD}
    file.write(PAGE + 5, b"again")
    file.sync(failed=False)
    page = NEW[:5] + b"again" + NEW[: PAGE - 10]
    assert _left(file, "dropped") == {OLD[:PAGE] + page + OLD[:PAGE]}


def test_a_name_is_certain_once_the_folder_is_synced() -> None:
    folder = Folder({"old": b"1"})
    folder.replay(Call(of.OPEN, fd=3, data=b"new"))
    folder.replay(Call(of.RENAME, data=b"old\0older"))
    names = {tuple(sorted(folder.left(random.Random(n))[0])) for n in range(200)}
    assert names == {("old",), ("new", "old"), ("older",), ("new", "older")}
    folder.replay(Call(of.SYNC_FOLDER))
    assert folder.certain()
    assert sorted(folder.left(random.Random(1))[0]) == ["new", "older"]


# ── the judge ───────────────────────────────────────────────────────────────────────────────────


ID: Final = "00000000-0000-4000-8000-00000000000a"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A journal with two events, one of them under an id of its producer's."""

    async def record() -> None:
        async with Collector({"storage": {"path": str(tmp_path / MAIN)}}) as collector:
            assert collector.record(ACTION, object=("event", "a"), message="m a", id=ID).ok
            assert collector.record(ACTION, object=("event", "b"), message="m b").ok

    asyncio.run(record())
    return tmp_path / MAIN


def _judged(database: Path, told: bytes = b"", **sent: Sent) -> set[str]:
    """What is wrong with a journal, by SQLite alone and by a start, if this was sent and told."""
    files = {MAIN: database.read_bytes()}
    call = Call(of.TOLD, data=told or b'{"ok":true,"seq":2,"id":"%s"}' % ID.encode())
    trace = Trace("", 0, files, [call], sent=SENT | sent, told={ID: "a"})
    judge, moment = Judge(trace, database.parent / "state"), next(moments(trace))
    return {
        judge.judge(files, moment, start=start, chance=random.Random(1)).removeprefix(
            "after a start: "
        )
        for start in (False, True)
    }


SENT: Final = {"a": Sent((uuid.UUID(ID).bytes,), "m a"), "b": Sent((b"",), "m b")}


def test_a_state_is_judged_by_sqlite_alone_and_by_a_start(stored: Path) -> None:
    """The judge by itself, on a journal that nothing is wrong with but for what it should hold."""
    assert _judged(stored) == {""}
    lost = _judged(stored, b'{"ok":true,"seq":9,"id":"%s"}' % ID.encode())
    assert lost == {"1 acknowledged events are lost, the first of seq 9"}
    assert _judged(stored, b=Sent((b"",), "m")) == {"entry 3 (b) is not what was sent"}
    assert _judged(stored, a=Sent((b"",), "m a")) == {"entry 2 (a) is not what was sent"}
    _change(stored, "UPDATE log SET object_id = 'c' WHERE object_id = 'b'")
    assert _judged(stored) == {"1 entries are stored that nobody sent"}
    _change(stored, "UPDATE log SET object_id = 'b' WHERE object_id = 'c'")
    _change(stored, "UPDATE log SET id = (SELECT id FROM log WHERE seq = 2)")
    assert _judged(stored) == {"an id is stored twice"}


def test_a_ledger_that_does_not_add_up_is_seen(stored: Path) -> None:
    columns = "cause TEXT PRIMARY KEY, count, first_seq, last_seq, first_at, last_at"
    _change(stored, f"CREATE TABLE IF NOT EXISTS removed ({columns})")
    assert _judged(stored) == {""}
    _change(stored, "INSERT INTO removed VALUES ('age', 1, 1, 1, 1, 1)")
    assert all(wrong.startswith("the ledger does not add up: 4 ") for wrong in _judged(stored))


def _change(database: Path, sql: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(sql)
        connection.commit()
