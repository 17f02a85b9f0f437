"""`collector stats`: counts by a dimension, in all or by the hour or day."""

from __future__ import annotations

import asyncio
import csv
import json
from typing import IO, TYPE_CHECKING, Any, Final, cast

import click

from collector.cli import options
from collector.cli.filters import PARAGRAPH, filtered, taken
from collector.cli.reading import NOTHING, open_reader

if TYPE_CHECKING:
    from collector.core.query import Bucket, Count, CountBy, Filter

BY: Final = (
    "action", "category", "outcome", "actor", "object_type", "source", "severity", "channel", "mode",
)  # fmt: skip


@click.command(
    "stats",
    short_help="Count entries, in all or over time.",
    epilog=options.examples(
        "collector stats --by category",
        "collector stats --by outcome --bucket day -S '2026-11-01'",
        "collector stats --by action -c device -o csv",
    ),
    help=f"""Count entries by a dimension, the most frequent first; with --bucket by hour or day.

    {PARAGRAPH} Hours and days are those of UTC. Without a filter (but for a range of time), and not
    by actor, the counts include entries that have been pruned since.
    """,
)
@click.option(
    "--by", type=click.Choice(BY), default="action", show_default=True, help="What to count by."
)
@click.option("--bucket", type=click.Choice(("hour", "day")), help="Count for each hour or day.")
@filtered
@options.form("short", "json", "csv")
@options.database
@options.config
def command(
    by: str, bucket: str | None, output: str, db: str | None, config: str | None, **filters: Any
) -> None:
    from collector.cli.terminal import hint
    from collector.cli.terminal import output as opened

    wanted = taken(filters)
    path = options.database_path(db, config)
    found = asyncio.run(_counts(path, by, bucket, wanted))
    with opened(utf8=output != "short") as out:
        PRINTERS[output](found, by, bucket, out.stream)
    if not found:
        hint(NOTHING)


async def _counts(path: str, by: str, bucket: str | None, wanted: Filter) -> list[Count]:
    async with open_reader(path) as reader:
        return await reader.counts(cast("CountBy", by), cast("Bucket | None", bucket), wanted)


def _short(counts: list[Count], by: str, bucket: str | None, out: IO[str]) -> None:
    from collector.cli.columns import aligned
    from collector.core.escape import visible

    rows = [
        [*([_start(each, bucket)] if bucket else []), f"{each.count:,}", visible(each.value or "-")]
        for each in counts
    ]
    out.writelines(f"{line}\n" for line in aligned(rows, right=[1 if bucket else 0]))


def _start(count: Count, bucket: str | None) -> str:
    """`2026-11-20` for a day, `2026-11-20 10:00Z` for an hour: UTC, as the totals are kept."""
    start = count.bucket or ""
    return start[:10] if bucket == "day" else f"{start[:10]} {start[11:16]}Z"


def _json(counts: list[Count], by: str, bucket: str | None, out: IO[str]) -> None:
    from collector.core.escape import json_line

    for each in counts:
        fields = {"bucket": each.bucket, by: each.value, "count": each.count}
        out.write(json_line(json.dumps(fields, ensure_ascii=False)) + "\n")


def _csv(counts: list[Count], by: str, bucket: str | None, out: IO[str]) -> None:
    from collector.core.escape import csv_cell

    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["bucket", by, "count"])
    for each in counts:
        writer.writerow([each.bucket or "", csv_cell(each.value or ""), each.count])


PRINTERS: Final = {"short": _short, "json": _json, "csv": _csv}
