"""The journal's entries in the order and number that a verb asks for, in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from collector.cli.edge import complain

if TYPE_CHECKING:
    from collector.core.query import Filter
    from collector.event import Entry
    from collector.journal.reader import Reader

BATCH: Final = 500
NOTHING: Final = "no entry matches"
"""For people at a terminal, who else would wonder whether anything was done."""
QUERY_SECONDS: Final = 60.0
"""Longest time for one page; a person at a terminal can interrupt, and waits longer than a page."""


def how_many(ctx: click.Context, option: click.Parameter, value: str) -> int | None:
    """`-n`: a number of entries, or `all` (None)."""
    if value.lower() == "all":
        return None
    if not value.isascii() or not value.isdigit():
        raise click.BadParameter(f"{value!r} is neither a number nor 'all'", ctx, option)
    return int(value)


@asynccontextmanager
async def open_reader(path: str, *, seconds: float = QUERY_SECONDS) -> AsyncIterator[Reader]:
    """A reader of the journal at `path`, which warns where the file is a copy that may end early."""
    reader = await open_and_warn(path, seconds)
    try:
        yield reader
    finally:
        await reader.close()


async def open_and_warn(path: str, seconds: float = QUERY_SECONDS) -> Reader:
    """The same, for who closes it. Raises `JournalError`."""
    from collector.journal.completeness import NEWEST, ends_early, in_doubt
    from collector.journal.files import check_before_reading
    from collector.journal.reader import Reader as Opening

    file = Path(path)
    check_before_reading(file)
    doubtful = in_doubt(file)
    reader: Reader = await Opening.open(file, seconds=seconds, at_rest=doubtful)
    if doubtful:
        (row,) = await reader.fetch(NEWEST)
        warning = ends_early(row)
        if warning is not None:
            complain(f"{path}: {warning}")
    return reader


async def newest(
    reader: Reader, wanted: Filter, count: int | None = None, before: int | None = None
) -> AsyncIterator[list[Entry]]:
    """The last `count` entries (None for all) below the seq `before`, newest first."""
    while count is None or count > 0:
        page = await reader.page(wanted, before=before, limit=_size(count))
        if page.entries:
            yield page.entries
        if not page.has_more:
            return
        before = page.next_before
        count = None if count is None else count - len(page.entries)


async def following(
    reader: Reader, wanted: Filter, after: int, count: int | None = None
) -> AsyncIterator[list[Entry]]:
    """Up to `count` entries beyond the seq `after`, oldest first; None for all there are now."""
    while count is None or count > 0:
        page = await reader.page(wanted, after=after, limit=_size(count))
        if page.entries:
            yield page.entries
        if not page.has_more or page.next_after is None:
            return
        after = page.next_after
        count = None if count is None else count - len(page.entries)


def _size(count: int | None) -> int:
    return BATCH if count is None else min(BATCH, count)


async def reversed_batches(batches: AsyncIterator[list[Entry]]) -> AsyncIterator[list[Entry]]:
    """Everything of `batches` in the other order; all of it is held in memory."""
    gathered = [entries async for entries in batches]
    while gathered:
        yield gathered.pop()[::-1]
