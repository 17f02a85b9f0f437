"""Journals of earlier schemas, as the code of their time left them; see `fixtures/make.py`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from collector.journal.connection import APPLICATION_ID

FIXTURES = Path(__file__).with_name("fixtures")
VERSIONS = (1, 2, 3)


def load(path: Path, version: int) -> Path:
    """Make the fixture of a schema a journal at `path`."""
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA auto_vacuum = INCREMENTAL")
        made.execute("PRAGMA page_size = 4096")
        made.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        made.executescript((FIXTURES / f"schema-{version}.sql").read_text("utf-8"))
    return path
