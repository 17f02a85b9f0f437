"""What may not be read is 77, with the group to join; and no read that fails leaves a traceback."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from collector.errors import EXIT_NOPERM, JournalError
from collector.journal import reader as readers
from tests.cli.harness import Book
from tests.requirements import need_root, need_tool

VERBS = (
    ("query",), ("tail", "-f"), ("stats",), ("export", "--format", "json"), ("verify",), ("devices",),
    ("backup", "copy.db"), ("restore", "state/events.db", "--db", "other.db"),
)  # fmt: skip
CALL_ALL = f"""
import importlib, json, os, sys
from collector.cli.edge import guarded
os.chdir(sys.argv[1])
codes = {{}}
for verb, *words in {VERBS!r}:
    named = words if "--db" in words else [*words, "--db", "state/events.db"]
    command = importlib.import_module("collector.cli." + verb).command
    codes[verb] = guarded(lambda: command.main(named, standalone_mode=False) or 0)
print(json.dumps(codes))
"""
"""Calls every verb that reads in one process: a thread that one of them leaves would speak up."""


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal of somebody else's, and of a group with a name."""
    need_root()
    folder = tmp_path / "state"
    folder.mkdir()
    book = Book(folder / "events.db")
    book.many(5)
    book.close()
    for each in (folder, folder / "events.db"):
        os.chown(each, 65534, 1)
    return folder / "events.db"


def read_by_another(path: Path) -> tuple[dict[str, int], str]:
    """The exit code of each verb, by root without the right to pass over permissions, and stderr."""
    setpriv = need_tool("setpriv", "util-linux")
    dropped = "-dac_override,-dac_read_search"
    prefix = [setpriv, f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
    done = subprocess.run(
        [*prefix, sys.executable, "-c", CALL_ALL, str(path.parents[1])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout, done.stderr
    codes: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return codes, done.stderr


@pytest.mark.parametrize(
    ("what", "mode", "way"),
    [
        ("file", 0o000, "chmod 0640"),
        ("file", 0o640, "usermod --append --groups"),
        ("directory", 0o750, "usermod --append --groups"),
        ("directory", 0o700, "chmod 0750"),
    ],
)
def test_what_may_not_be_read_is_77_and_names_the_group(
    journal: Path, what: str, mode: int, way: str
) -> None:
    journal.parent.chmod(mode if what == "directory" else 0o755)
    journal.chmod(mode if what == "file" else 0o640)
    codes, said = read_by_another(journal)
    assert set(codes.values()) == {EXIT_NOPERM}, said
    assert "Traceback" not in said
    lines = said.strip().splitlines()
    assert len(lines) == len(VERBS), said
    for line in lines:
        assert way in line
        assert grp.getgrgid(1).gr_name in line


def test_a_log_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    need_root()
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    book = Book(folder / "events.db")
    book.many(5)
    wal = folder / "events.db-wal"
    (folder / "events.db").chmod(0o644)
    os.chown(wal, 65534, 1)
    wal.chmod(0)
    codes, said = read_by_another(folder / "events.db")
    book.close()
    assert set(codes.values()) == {EXIT_NOPERM}, said
    assert all("events.db-wal" in line for line in said.strip().splitlines())


def test_a_connection_that_fails_leaves_no_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is looked at first may change before SQLite opens it."""
    monkeypatch.setattr(readers, "check_before_reading", lambda path: None)
    before = threading.active_count()

    async def read() -> Any:
        with pytest.raises(JournalError, match="unable to open"):
            await readers.Reader.open(tmp_path / "nothing.db")
        assert threading.active_count() == before

    for _ in range(20):
        asyncio.run(read())
