"""Succession: what a journal knows of the one that was in its place before.

A restored journal keeps the ledger of the backup that it was, so what the abandoned journal recorded
later is in no ledger: it is named instead, with the last seq that it handed out, for ever in the fact
`abandoned` and once in `collector.started`. The successor of a quarantined journal begins an empty
ledger, and names that journal in `storage.quarantined`.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from collector.core.rfc3339 import rfc3339
from collector.errors import JournalError
from collector.journal.ledger import LAST_SEQ
from collector.journal.verifying import reading
from collector.journal.writer import Journal

ABANDONED: Final = "abandoned"
"""The fact that names the journal that a restored one took the place of, as JSON."""
UNREPORTED: Final = "abandoned.unreported"
"""The fact that stands while no entry says so."""


def describe(journal: Path, now: float) -> dict[str, Any]:
    """The journal that is about to be replaced at `now` (s); what cannot be read of it is None."""
    found = {"journal_id": None, "last_seq": None, "at": rfc3339(now)}
    if not journal.is_file() or not journal.stat().st_size:
        return found
    try:
        with reading(journal) as connection:
            sql = f"SELECT (SELECT value FROM facts WHERE name = 'journal_id'), {LAST_SEQ}"
            found["journal_id"], found["last_seq"] = connection.execute(sql).fetchone()
    except JournalError:
        pass  # what is damaged may be replaced all the same
    return found


def note(connection: sqlite3.Connection, old: dict[str, Any] | None) -> None:
    """Write into a restored journal which one it replaces; None where there was none."""
    run = connection.execute
    run("DELETE FROM facts WHERE name IN (?, ?)", (ABANDONED, UNREPORTED))
    if old is not None:
        run("INSERT INTO facts VALUES (?, ?)", (ABANDONED, msgspec.json.encode(old).decode()))
        run("INSERT INTO facts VALUES (?, 1)", (UNREPORTED,))


def predecessor(journal: Journal) -> dict[str, Any] | None:
    """The journal that this one replaced when it was restored."""
    stored = journal.fact(ABANDONED)
    found: dict[str, Any] | None = None if stored is None else msgspec.json.decode(stored)
    return found


def unreported(journal: Journal) -> dict[str, Any]:
    """The same as metadata of an entry, where no entry has said it yet; settle with `mark_reported`."""
    old = predecessor(journal)
    if old is None or journal.fact(UNREPORTED) is None:
        return {}
    return as_metadata(old)


def as_metadata(old: dict[str, Any]) -> dict[str, Any]:
    """What entries say of the journal that was replaced."""
    return {"abandoned_journal": old["journal_id"], "abandoned_seq": old["last_seq"]}


def mark_reported(journal: Journal) -> None:
    """Within the transaction of the entry that says it."""
    journal.delete_fact(UNREPORTED)


def journal_id(path: Path) -> str | None:
    """The id of a journal that was set aside, None where it cannot be read; nothing is touched."""
    uri = f"file:{quote(os.fspath(path.absolute()))}?immutable=1"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            row = connection.execute("SELECT value FROM facts WHERE name = 'journal_id'").fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row and isinstance(row[0], str) else None
