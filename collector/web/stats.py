"""Counts over time, for charts and for reports."""

from __future__ import annotations

from typing import Any, Final, Literal

from litestar import get
from litestar.params import FromQuery
from msgspec import Struct

from collector.core.query import Bucket, Count, CountBy
from collector.web.access import may_read
from collector.web.events import Wanted
from collector.web.services import Given


class Stats(Struct, kw_only=True):
    """Counts by `by` and, where asked for, `bucket` (UTC, by `occurred_at`)."""

    by: str
    bucket: Literal["hour", "day"] | None
    counts: list[Count]


@get("/stats", guards=[may_read], tags=["events"], operation_id="getStats")
async def stats(
    services: Given,
    wanted: Wanted,
    by: FromQuery[CountBy] = "action",
    bucket: FromQuery[Bucket | None] = None,
) -> Stats:
    """Counts by a dimension; with `bucket` over time. Unfiltered ones outlive pruned entries."""
    counts = await services.reader.counts(by, bucket, wanted)
    return Stats(by=by, bucket=bucket, counts=counts)


HANDLERS: Final[list[Any]] = [stats]
