"""Accounting: whether the log, the ledger and the ring of a file add up, by reading alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final

from collector.journal.ledger import LAST_SEQ, Loss, read_losses

LEDGER_VERSION: Final = 4
"""The first schema with a ledger."""


def problems(connection: sqlite3.Connection) -> Iterator[str]:
    """What is missing has to be in the ledger: by number, and within the ranges that it tells of."""
    run = connection.execute
    if run("PRAGMA user_version").fetchone()[0] < LEDGER_VERSION:
        yield from _count_of_holes(connection)
        return
    rows = read_losses(lambda sql, values: run(sql, values).fetchall())
    last, stored = run(f"SELECT {LAST_SEQ}, (SELECT count(*) FROM log)").fetchone()
    for cause, loss in rows.items():
        if not 0 < loss.count <= loss.last_seq - loss.first_seq + 1 or loss.first_seq < 1:
            yield f"the ledger of removed entries contradicts itself about {cause!r}: {loss}"
    missing = last - stored - sum(loss.count for loss in rows.values())
    if missing:
        yield (
            f"{abs(missing)} entries {'too few' if missing > 0 else 'too many'} are stored: {last} seqs"
            f" were handed out, {stored} entries are there, {last - stored - missing} were removed"
        )
    for first, end in _outside(rows.values(), last):
        found = run("SELECT count(*) FROM log WHERE seq BETWEEN ? AND ?", (first, end)).fetchone()
        if found[0] != end + 1 - first:
            yield f"of the entries {first} to {end} some are missing, and none of them was removed"
    yield from _ring(connection)


def _outside(rows: Iterable[Loss], last: int) -> Iterator[tuple[int, int]]:
    """The ranges of seqs in which the ledger knows of no removal."""
    after = 0
    for first, end in sorted((loss.first_seq, loss.last_seq) for loss in rows):
        if first > after + 1:
            yield after + 1, first - 1
        after = max(after, end)
    if last > after:
        yield after + 1, last


def _ring(connection: sqlite3.Connection) -> Iterator[str]:
    """Up to where rotation has come, the entries stored are those that the ring knows."""
    here = (
        "(SELECT seq, kind FROM log"
        " WHERE seq <= coalesce((SELECT value FROM facts WHERE name = 'rotated'), 0))"
    )
    for one, other, what in (
        (here, "(SELECT seq, kind FROM ring)", "rotation passed over {} entries and forgot them"),
        ("(SELECT seq, kind FROM ring)", here, "rotation knows of {} entries that are not there"),
    ):
        sql = f"SELECT count(*), min(seq) FROM (SELECT * FROM {one} EXCEPT SELECT * FROM {other})"
        count, first = connection.execute(sql).fetchone()
        if count:
            yield f"{what.format(count)} (the first is {first})"


def _count_of_holes(connection: sqlite3.Connection) -> Iterator[str]:
    """Of an older schema all that is known is how many entries are missing behind the oldest."""
    first, last, count = connection.execute(
        "SELECT min(seq), max(seq), count(*) FROM log"
    ).fetchone()
    facts = dict(
        connection.execute("SELECT name, value FROM facts WHERE name IN ('holes', 'last_seq')")
    )
    if count:
        missing = max(last, facts.get("last_seq", 0)) + 1 - first - count - facts.get("holes", 0)
        if missing:
            yield f"{abs(missing)} entries {'too few' if missing > 0 else 'too many'} are stored"
