"""`collector query`: entries that match, from the journal file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import click

from collector.cli import options
from collector.cli.filters import PARAGRAPH, filtered, taken
from collector.cli.reading import (
    NOTHING,
    following,
    how_many,
    newest,
    open_reader,
    reversed_batches,
)

if TYPE_CHECKING:
    from collector.cli.terminal import Output
    from collector.core.query import Filter
    from collector.event import Entry
    from collector.journal.reader import Reader


@click.command(
    "query",
    short_help="Search the journal, newest first.",
    epilog=options.examples(
        "collector query -S yesterday --outcome failure --outcome denied",
        "collector query -a 'device.*' -g kitchen -n all",
        "collector query --object person:7 -o json | jq .changes",
        "collector query --after 1200 -o json      # go on where another reader ended",
    ),
    help=f"""Print the entries that match, newest first.

    Reads the journal file, daemon or no daemon. {PARAGRAPH} Times are RFC 3339, 2026-11-20,
    '2026-11-20 10:00', now, today, yesterday, -2h or '10 min ago'; a day begins at local midnight.

    -o short has one line an entry, in local time; json has every key, one entry a line; csv begins
    with a header line.
    """,
)
@click.option(
    "-n",
    "--lines",
    "count",
    default="50",
    show_default=True,
    metavar="N|all",
    callback=how_many,
    help="How many entries.",
)
@click.option("-r", "--reverse", is_flag=True, help="The same entries in the other order.")
@click.option(
    "--after", type=click.IntRange(0), metavar="SEQ", help="The first beyond SEQ, oldest first."
)
@filtered
@options.form("short", "json", "csv")
@options.pager
@options.database
@options.config
def command(
    count: int | None,
    reverse: bool,
    after: int | None,
    output: str,
    no_pager: bool,
    db: str | None,
    config: str | None,
    **filters: Any,
) -> None:
    from collector.cli.terminal import hint
    from collector.cli.terminal import output as opened

    wanted = taken(filters)
    path = options.database_path(db, config)
    found = True  # who leaves the pager early has seen something
    with opened(paged=output == "short" and not no_pager, utf8=output != "short") as out:
        found = asyncio.run(_query(path, wanted, count, reverse, after, output, out))
    if not found:
        hint(NOTHING)


async def _query(
    path: str,
    wanted: Filter,
    count: int | None,
    reverse: bool,
    after: int | None,
    form: str,
    out: Output,
) -> bool:
    """Print what matches; whether there was anything."""
    from collector.cli import clock, forms

    async with open_reader(path) as reader:
        paint = forms.coloured if out.colour else forms.plain
        print_ = forms.printer(form, out.stream, clock.zone(), paint)
        found = False
        async for entries in _batches(reader, wanted, count, reverse, after):
            print_(entries)
            found = found or bool(entries)
    return found


def _batches(
    reader: Reader, wanted: Filter, count: int | None, reverse: bool, after: int | None
) -> AsyncIterator[list[Entry]]:
    if reverse and after is None and count is None:
        return reader.export(wanted)
    batches = newest(reader, wanted, count)
    if after is not None:
        batches = following(reader, wanted, after, count)
    return reversed_batches(batches) if reverse else batches
