"""`collector tail`: the last entries, oldest first, and with `-f` those to come."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from collector.cli import options
from collector.cli.filters import PARAGRAPH, filtered, taken
from collector.cli.reading import NOTHING, how_many

if TYPE_CHECKING:
    from collector.cli.terminal import Output
    from collector.core.query import Filter


@click.command(
    "tail",
    short_help="Show the last entries, and with -f those to come.",
    epilog=options.examples(
        "collector tail -f",
        "collector tail -f -a 'device.*' --severity warning --severity error",
        "collector tail -n 0 -f -o json | while read -r entry; do …; done",
    ),
    help=f"""Print the last entries, oldest first.

    With -f goes on printing as entries are recorded, until interrupted or until the reader of its
    output goes away. Reads the journal file, daemon or no daemon. {PARAGRAPH}
    """,
)
@click.option("-f", "--follow", is_flag=True, help="Go on as entries are recorded.")
@click.option(
    "-n",
    "--lines",
    "count",
    default="10",
    show_default=True,
    metavar="N|all",
    callback=how_many,
    help="How many entries.",
)
@click.option(
    "--after", type=click.IntRange(0), metavar="SEQ", help="Start with the first beyond SEQ."
)
@filtered
@options.form("short", "json", "csv")
@options.database
@options.config
def command(
    follow: bool,
    count: int | None,
    after: int | None,
    output: str,
    db: str | None,
    config: str | None,
    **filters: Any,
) -> None:
    from collector.cli.terminal import hint
    from collector.cli.terminal import output as opened

    wanted = taken(filters)
    path = options.database_path(db, config)
    with opened(utf8=output != "short") as out:
        found = asyncio.run(_tail(path, wanted, count, after, follow, output, out))
    if not found and not follow:
        hint(NOTHING)


async def _tail(
    path: str,
    wanted: Filter,
    count: int | None,
    after: int | None,
    follow: bool,
    form: str,
    out: Output,
) -> bool:
    """Print the last entries, and those to come; whether there were any at first."""
    from collector.cli import clock, forms
    from collector.cli.follow import Follow

    paint = forms.coloured if out.colour else forms.plain
    async with Follow(path, wanted) as journal:
        print_ = forms.printer(form, out.stream, clock.zone(), paint)
        found = False
        async for entries in journal.last(count) if after is None else journal.rest(after):
            print_(entries)
            found = found or bool(entries)
        out.stream.flush()
        if follow:
            async for entries in journal.coming(out.stream):
                print_(entries)
                out.stream.flush()
    return found
