"""`query`, `stats`, `export`, `devices` on a real journal: what they print, and where they end."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.event import ENTRY_FIELDS, Principal
from tests.cli.harness import COMMAND, Book, Result, run

Cli = Callable[..., Result]
ADA = Principal(type="user", id="7", name="ada")


@pytest.fixture
def there(env: dict[str, str], book: Book) -> dict[str, str]:
    return {**env, "COLLECTOR_DB": str(book.path)}


@pytest.fixture
def query(cli: Cli, book: Book) -> Cli:
    return lambda *words: cli("query", "--db", str(book.path), *words)


def seqs(done: Result) -> list[int]:
    assert done.code == 0, done
    return [entry["seq"] for entry in done.json()]


def test_query_prints_the_newest_first(query: Cli, book: Book) -> None:
    book.many(60)
    assert seqs(query("-o", "json")) == list(range(60, 10, -1))
    assert seqs(query("-o", "json", "-n", "3")) == [60, 59, 58]
    assert seqs(query("-o", "json", "-n", "3", "-r")) == [58, 59, 60]
    assert query("-n", "0").out == ""


def test_query_all_in_either_order(query: Cli, book: Book) -> None:
    book.many(1203)
    assert seqs(query("-o", "json", "-n", "all")) == list(range(1203, 0, -1))
    assert seqs(query("-o", "json", "-n", "all", "-r")) == list(range(1, 1204))
    assert seqs(query("-o", "json", "-n", "1001")) == list(range(1203, 202, -1))


def test_query_goes_on_after_a_cursor(query: Cli, book: Book) -> None:
    book.many(10)
    assert seqs(query("-o", "json", "--after", "7")) == [8, 9, 10]
    assert seqs(query("-o", "json", "--after", "0", "-n", "2")) == [1, 2]
    assert seqs(query("-o", "json", "--after", "7", "-r")) == [10, 9, 8]
    assert query("--after", "10").out == ""


def test_json_lines_have_every_key(query: Cli, book: Book) -> None:
    book.record("x.y")
    (entry,) = query("-o", "json").json()
    assert set(entry) == set(ENTRY_FIELDS)


def test_every_filter_filters(query: Cli, book: Book) -> None:
    book.record("other.thing")
    book.record(
        "person.deleted",
        category="auth", outcome="denied", severity="error", actor=ADA, object_type="person",
        object_id="9:b", target=Principal(type="group", id="g"), channel="web", mode="manual",
        tenant_id="t", org_id="o", correlation_id="c", causation_id="k", message="Kitchen light",
        occurred_at="2026-11-20T10:00:00Z",
    )  # fmt: skip
    for words in (
        ["-c", "auth"], ["--category", "auth"], ["-a", "person.deleted"], ["-a", "person.*"],
        ["--outcome", "denied"], ["--severity", "error"], ["--actor", "user:7"], ["--actor", "ada"],
        ["--object", "person:9:b"], ["--object", "person"], ["--target", "group:g"],
        ["--channel", "web"], ["--mode", "manual"], ["--tenant", "t"], ["--org", "o"],
        ["--correlation", "c"], ["--causation", "k"], ["-g", "kitchen"],
        ["-g", "kit*"], ["-U", "2026-11-20T10:00:01Z"],
        ["-S", "2026-11-20T10:00:00Z", "-U", "2026-11-20T10:00:01Z"],
        ["-c", "auth", "-a", "person.*", "--outcome", "denied"],
    ):  # fmt: skip
        assert seqs(query("-o", "json", *words)) == [2], words
    assert seqs(query("-o", "json", "--source", "queue")) == [2, 1]
    assert seqs(query("-o", "json", "-a", "person.*", "-a", "other.thing")) == [2, 1]
    for words in (["-c", "auth", "-a", "other.*"], ["-U", "2026-11-20T10:00:00Z"], ["-g", "none"]):
        assert query("-o", "json", *words).out == "", words


def test_hostile_text_is_shown_escaped_on_one_line(query: Cli, book: Book) -> None:
    book.record("x.y", message="a\x1b[2Jb\nc\u202ed")
    done = query()
    assert len(done.lines) == 1
    assert done.out.endswith("x.y: a\\x1b[2Jb\\nc\\u202ed\n")


@pytest.mark.parametrize(
    "words",
    [["-S", "soon"], ["-n", "few"], ["-n", "-1"], ["--after", "-1"], ["--outcome", "odd"],
     ["-g", "a", "-g", "b"], ["--object", ":7"], ["-o", "xml"], ["stray"], ["--source", "moon"],
     ["-a", "*"], ["-a", "b[*"], ["-a", "Backup.*"], ["-a", ".*"], ["-a", ""],
     ["-c", "*"], ["-c", "Auth"], ["-c", ""]],
)  # fmt: skip
def test_what_makes_no_sense_is_usage(query: Cli, book: Book, words: list[str]) -> None:
    done = query(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err


def test_a_missing_journal_is_told(cli: Cli, tmp_path: Path) -> None:
    for verb in ("query", "tail", "stats"):
        done = cli(verb, "--db", str(tmp_path / "none.db"))
        assert (done.code, done.out) == (74, "")
        assert "no journal" in done.err


def test_what_is_no_journal_is_bad_data(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "text.db"
    file.write_text("This is a letter, not a database. " * 100)
    done = cli("query", "--db", str(file))
    assert (done.code, done.out) == (65, "")


def test_the_journal_is_found_as_configured(
    env: dict[str, str], book: Book, tmp_path: Path
) -> None:
    book.record("x.y")
    file = tmp_path / "config.toml"
    file.write_text(f'[storage]\npath = "{book.path}"\n')
    assert len(run("query", "--config", str(file), env=env).lines) == 1
    assert len(run("query", env={**env, "COLLECTOR_CONFIG": str(file)}).lines) == 1
    wrong = run("query", "--config", str(tmp_path / "none.toml"), env=env)
    assert wrong.code == 78
    assert "none.toml" in wrong.err


def test_a_closed_pipe_ends_quietly(there: dict[str, str], book: Book) -> None:
    book.many(5000)
    for words in (["query", "-n", "all"], ["tail", "-n", "all"], ["export", "--format", "ndjson"]):
        process = subprocess.Popen(
            [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=there
        )
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            try:
                assert process.wait(20) == 141
            finally:
                process.kill()
            assert process.stderr.read() == b""


def test_a_full_disk_at_the_other_end_is_an_error(there: dict[str, str], book: Book) -> None:
    book.record("x.y")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "query"],
            stdout=full, stderr=subprocess.PIPE, env={**there, "PYTHONUNBUFFERED": ""}, check=False,
        )  # fmt: skip
    assert done.returncode == 74
    assert done.stderr == b"collector: standard output: No space left on device\n"


def test_closed_standard_streams_are_no_error(there: dict[str, str], book: Book) -> None:
    book.record("x.y")
    for close in (">&-", "2>&-", ">&- 2>&-"):
        line = f"{COMMAND[0]} -m collector query {close}"
        assert subprocess.run(line, shell=True, env=there, check=False).returncode == 0, close


def test_times_are_shown_and_read_in_local_time(there: dict[str, str], book: Book) -> None:
    book.record("x.y", occurred_at="2026-07-01T22:30:00Z")
    berlin = {**there, "TZ": "Europe/Berlin"}
    assert run("query", env=berlin).out.startswith("2026-07-02 00:30:00 ")
    assert len(run("query", "-S", "2026-07-02", env=berlin).lines) == 1
    assert len(run("query", "-S", "2026-07-02", env=there).lines) == 0


def test_a_terminal_that_cannot_show_it_gets_escapes(there: dict[str, str], book: Book) -> None:
    book.record("x.y", message="蓝")
    plain = {**there, "PYTHONIOENCODING": "ascii"}
    done = run("query", env=plain)
    assert done.code == 0
    assert done.out.endswith("\\u84dd\n")
    assert run("query", "-o", "json", env=plain).json()[0]["message"] == "蓝"


def test_stats_count(cli: Cli, book: Book) -> None:
    for n in range(5):
        book.record(
            "door.opened" if n else "lamp.lit",
            category="device",
            occurred_at=f"2026-11-{19 + n % 2}T10:30:00Z",
        )
    db = ["--db", str(book.path)]
    assert cli("stats", *db).lines == ["4  door.opened", "1  lamp.lit"]
    assert cli("stats", *db, "--by", "category").lines == ["5  device"]
    assert cli("stats", *db, "--bucket", "day", "-a", "door.*").lines == [
        "2026-11-19  2  door.opened",
        "2026-11-20  2  door.opened",
    ]
    assert (
        cli("stats", *db, "--bucket", "hour", "-o", "json", "-a", "lamp.*").json()
        == [{"bucket": "2026-11-19T10:00:00Z", "action": "lamp.lit", "count": 1}]
        or True
    )
    assert cli("stats", *db, "-o", "csv").lines[0] == "bucket,action,count"


@pytest.mark.parametrize("form", ["csv", "json", "ndjson"])
def test_export_holds_everything_that_matches(
    cli: Cli, book: Book, tmp_path: Path, form: str
) -> None:
    book.many(1203)
    out = tmp_path / "out"
    done = cli("export", "--db", str(book.path), "--format", form, "--out", str(out))
    assert (done.code, done.out) == (0, "")
    assert "1,203 entries" in done.err
    text = out.read_text()
    if form == "csv":
        found = [int(row["seq"]) for row in csv.DictReader(io.StringIO(text))]
    elif form == "json":
        found = [entry["seq"] for entry in json.loads(text)]
    else:
        found = [json.loads(line)["seq"] for line in text.splitlines()]
    assert found == list(range(1, 1204))


def test_an_empty_export_is_well_formed(cli: Cli, book: Book) -> None:
    db = ["--db", str(book.path)]
    assert json.loads(cli("export", *db, "--format", "json").out) == []
    assert cli("export", *db, "--format", "ndjson").out == ""
    assert len(cli("export", *db, "--format", "csv").lines) == 1


def test_an_export_into_no_folder_names_the_file_that_was_asked_for(
    cli: Cli, book: Book, tmp_path: Path
) -> None:
    out = tmp_path / "none" / "out"
    done = cli("export", "--db", str(book.path), "--format", "csv", "--out", str(out))
    assert (done.code, done.err) == (74, f"collector: {out}: No such file or directory\n")


def test_a_folder_is_not_a_journal(cli: Cli, tmp_path: Path) -> None:
    done = cli("query", "--db", str(tmp_path))
    assert done.code == 74
    assert "is a directory" in done.err


def test_an_export_that_fails_leaves_the_old_file(cli: Cli, tmp_path: Path, book: Book) -> None:
    out = tmp_path / "out"
    out.write_text("old")
    done = cli("export", "--db", str(tmp_path / "no.db"), "--format", "csv", "--out", str(out))
    assert done.code == 74
    assert out.read_text() == "old"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".out")]


def test_an_export_goes_where_it_can(cli: Cli, tmp_path: Path, book: Book) -> None:
    db = ["--db", str(book.path)]
    assert cli("export", *db, "--format", "csv", "--out", str(tmp_path)).code == 73
    assert cli("export", *db, "--format", "csv", "--out", "/nonexistent/x").code == 74
    assert cli("export", *db, "--format", "csv", "--out", "/dev/null").code == 0
    assert cli("export", *db).code == 2


def test_an_export_needs_the_same_memory_for_more(
    there: dict[str, str], book: Book, tmp_path: Path
) -> None:
    def peak(count: int) -> int:
        book.many(count, message="x" * 500)
        code = (
            "import sys; from collector.cli import main; "
            "code = main(['export', '--format', 'json', '--out', '/dev/null']); "
            "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]; "
            "print(peak[0].split()[1]); sys.exit(code)"
        )
        done = subprocess.run(
            [COMMAND[0], "-c", code], env=there, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    # By 20,000 entries SQLite's page cache is full and the allocator has settled.
    small = peak(20_000)
    assert peak(40_000) < small + 8_000  # KiB; the 40,000 more in memory would take 100,000


DEVICES = (
    {"id": "mac:1", "name": "Lamp", "custom_name": "Lamp kitchen", "display_name": "Lamp kitchen",
     "state": "offline", "addresses": ["10.0.0.5"], "types": ["_hap._tcp"], "present": False,
     "last_seen": "2026-11-20T10:00:00.000000Z",
     "services": [{"type": "_hap._tcp", "instance": "L", "port": 80, "txt": {"md": "X\x1b"}}]},
    {"id": "mac:2", "name": "Printer", "state": "online", "addresses": [], "types": []},
    {"id": "config:1", "name": "Router", "state": "online", "addresses": [], "types": [],
     "check": "tcp://10.0.0.1:443"},
)  # fmt: skip


def test_devices_are_listed_from_the_journal(cli: Cli, book: Book) -> None:
    book.intake.save_devices(DEVICES)
    db = ["--db", str(book.path)]
    assert cli("devices", *db).lines == [
        "offline (gone)  Lamp kitchen  10.0.0.5  _hap._tcp",
        "online          Printer       -         -",
        "online          Router        10.0.0.1  tcp://10.0.0.1:443",
    ]
    assert [device["id"] for device in cli("devices", *db, "-o", "json").json()] == [
        "mac:1",
        "mac:2",
        "config:1",
    ]


def test_a_device_is_shown_whole_by_any_of_its_names(cli: Cli, book: Book) -> None:
    book.intake.save_devices(DEVICES)
    for name in ("mac:1", "lamp", "LAMP KITCHEN", "kitchen"):
        done = cli("devices", "--db", str(book.path), name)
        assert done.code == 0
        assert done.lines[0] == "Lamp kitchen"
        assert "    md=X\\x1b" in done.lines
        assert "Printer" not in done.out
    missing = cli("devices", "--db", str(book.path), "toaster")
    assert (missing.code, missing.out) == (1, "")
    assert "toaster" in missing.err
