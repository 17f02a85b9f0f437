"""What SQLite must at least be: the one that Python was linked with is the machine's, not ours."""

from __future__ import annotations

import sqlite3
from typing import Final

from collector.errors import SQLiteTooOld

SQLITE_MIN: Final = (3, 37, 0)
"""The first with STRICT tables. An older one takes a journal for a damaged database."""


def require_sqlite(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Raise `SQLiteTooOld` unless `version` is that of a SQLite that knows STRICT tables."""
    if version < SQLITE_MIN:
        raise SQLiteTooOld(
            f"SQLite {'.'.join(map(str, version))} is too old: the journal needs"
            f" {'.'.join(map(str, SQLITE_MIN))} or newer; use a Python that is linked with one"
        )
