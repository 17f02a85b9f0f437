"""A SQLite without STRICT tables takes a journal for a damaged file: it is told before it looks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from collector.errors import EXIT_CONFIG, SQLiteTooOld
from collector.journal import sqlite_version
from tests.daemon.harness import RunningDaemon

OLD = """
import sqlite3
sqlite3.sqlite_version_info = (3, 36, 0)
from collector.cli import main
raise SystemExit(main())
"""


@pytest.mark.parametrize("version", [(3, 36, 0), (3, 8, 11), (2, 99, 99)])
def test_older_sqlite_is_refused_with_its_version_and_the_way_out(version: tuple[int, ...]) -> None:
    with pytest.raises(SQLiteTooOld) as raised:
        sqlite_version.require_sqlite(version)
    assert raised.value.exit_code == EXIT_CONFIG
    assert ".".join(map(str, version)) in str(raised.value)
    assert "3.37.0 or newer" in str(raised.value)


@pytest.mark.parametrize(
    "version", [(3, 37, 0), (3, 40, 1), (4, 0, 0), sqlite3.sqlite_version_info]
)
def test_newer_sqlite_is_taken(version: tuple[int, ...]) -> None:
    sqlite_version.require_sqlite(version)


def test_daemon_with_an_older_sqlite_ends_with_78_and_makes_nothing(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    assert daemon.fails(script=OLD) == EXIT_CONFIG
    assert "SQLite 3.36.0 is too old" in daemon.said()
    assert not daemon.database.exists()
