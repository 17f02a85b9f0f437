"""What two looks at a journal find, and what a report of damage comes to."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from typing import Any, get_args

import pytest

from collector.errors import JournalCorrupt, JournalDamaged, JournalIOError
from collector.journal import looking
from collector.journal.looking import Findings, Look
from tests.journal.world import World, fill, world

REPORTED = JournalCorrupt("events.db: database disk image is malformed")


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A journal whose newest entries are in its log, as a killed daemon leaves it."""
    w = World(tmp_path / "events.db")
    fill(w, 200)
    assert w.journal.checkpoint()
    fill(w, 200)
    w.crash()
    return w.path


@pytest.mark.parametrize(("first", "second"), list(itertools.product(get_args(Look), repeat=2)))
def test_only_two_looks_that_agree_make_a_journal_damaged(first: Look, second: Look) -> None:
    error = Findings(first, second, "page 7").error(Path("events.db"), REPORTED)
    if first == second == "damaged":
        assert isinstance(error, JournalDamaged)
        assert error.exit_code == 65
    else:
        assert isinstance(error, JournalIOError)
        assert error.exit_code == 74


def test_what_stands_in_the_log_alone_is_not_missed_in_the_main_file(tmp_path: Path) -> None:
    """A journal that was never checkpointed: its main file has tables, and no fact."""
    w = World(tmp_path / "events.db")
    fill(w, 20)
    w.crash()
    assert looking.look(w.path).sound


@pytest.mark.parametrize(
    "change", ["value = 'x' WHERE name = 'tag'", "name = 'gat' WHERE name = 'tag'"]
)
def test_a_fact_that_a_start_rests_on_is_looked_at(tmp_path: Path, change: str) -> None:
    with world(tmp_path / "events.db") as w:
        w.journal.connection.execute(f"UPDATE facts SET {change}")
    found = looking.look(w.path)
    assert found.damaged
    assert "`tag`" in found.text


def test_a_process_that_looks_finds_a_sound_journal_sound_and_leaves_it(killed: Path) -> None:
    before = {end: Path(f"{killed}{end}").read_bytes() for end in ("", "-wal")}
    assert looking.look_and_wait(killed).sound
    assert {end: Path(f"{killed}{end}").read_bytes() for end in before} == before


@pytest.mark.parametrize("damage", ["header", "schema", "page", "nothing but rubbish"])
def test_a_damaged_one_is_found_by_both(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "events.db"
    with world(path) as w:
        fill(w, 300)
        page = w.journal.connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'log'"
        ).fetchone()[0]
    at, content = {
        "header": (0, b"this is no database at all"),
        "schema": (100, b"\xff" * 3000),
        "page": ((page - 1) * 4096, b"\xff" * 4096),
        "nothing but rubbish": (0, b"rubbish" * 60_000),
    }[damage]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
    found = looking.look_and_wait(path)
    assert found.damaged, found
    assert found.text


def test_what_cannot_be_read_is_no_damage(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(descriptor: int, size: int, at: int) -> bytes:
        if at >= 65536:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(descriptor, size // 64, at)

    read = os.pread
    monkeypatch.setattr(os, "pread", failing)
    found = looking.look(killed)
    assert found.plain == "unreadable"
    error = found.error(killed, REPORTED)
    assert (error.exit_code, "Input/output error" in str(error)) == (74, True)


@pytest.mark.parametrize("output", [b"", b"Killed", b'{"connection":"odd","plain":"sound"}'])
def test_a_process_that_ends_before_it_tells_says_nothing_against_the_journal(
    output: bytes,
) -> None:
    found = looking.parse(output)
    assert not found.damaged
    assert not found.sound


def test_a_look_calls_back_while_it_goes_on(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "POLL", 0.01)
    calls: list[Any] = []
    assert looking.look_and_wait(killed, lambda: calls.append(1)).sound
    assert calls
