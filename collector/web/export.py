"""Export: everything that matches, streamed in constant memory, and itself an entry."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, Literal

import msgspec
from litestar import get
from litestar.params import FromQuery
from litestar.response import Stream

from collector.core.csv_form import CSV_COLUMNS, csv_cells
from collector.core.query import Filter
from collector.event import Draft, Entry
from collector.web.access import may_take_away
from collector.web.events import Wanted, shown
from collector.web.identity import Identity
from collector.web.services import Given, Services, Who

Format = Literal["csv", "json", "ndjson"]
MEDIA_TYPES: Final[dict[Format, str]] = {
    "csv": "text/csv; header=present",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}
_encode: Final = msgspec.json.Encoder().encode


@get("/events/export", guards=[may_take_away], tags=["events"], operation_id="exportEvents")
async def export(
    services: Given, who: Who, wanted: Wanted, format: FromQuery[Format] = "ndjson"
) -> Stream:
    """Everything that matches, oldest first; recorded as `events.exported` with who and how many."""
    return Stream(
        _written(services, who, wanted, format),
        media_type=MEDIA_TYPES[format],
        headers={
            "Content-Disposition": f'attachment; filename="events.{format}"',
            "Cache-Control": "no-store",
        },
    )


async def _written(
    services: Services, who: Identity, wanted: Filter, form: Format
) -> AsyncIterator[bytes]:
    count, complete = 0, False
    batch_of = _BATCHES[form]
    try:
        yield _HEADS[form]()
        async for entries in services.reader.export(wanted):
            seen = [shown(entry, who) for entry in entries]
            yield batch_of(seen, count == 0)
            count += len(entries)
        yield _TAILS[form]
        complete = True
    finally:
        _record(services, who, form, count, complete)


def _record(services: Services, who: Identity, form: Format, count: int, complete: bool) -> None:
    draft = Draft(
        action="events.exported",
        category="system",
        outcome="success" if complete else "failure",
        actor=who.actor,
        channel="export",
        tenant_id=who.tenant_id,
        metadata={"format": form, "count": count, "complete": complete},
    )
    services.intake.record(draft, source="http", producer=who.producer)


def _csv_rows(rows: Iterator[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _csv(entries: list[Entry], first: bool) -> bytes:
    return _csv_rows(csv_cells(entry) for entry in entries)


def _json(entries: list[Entry], first: bool) -> bytes:
    return (b"" if first else b",\n") + b",\n".join(map(_encode, entries))


def _ndjson(entries: list[Entry], first: bool) -> bytes:
    return b"".join(_encode(entry) + b"\n" for entry in entries)


_BATCHES: Final[dict[Format, Callable[[list[Entry], bool], bytes]]] = {
    "csv": _csv,
    "json": _json,
    "ndjson": _ndjson,
}
_HEADS: Final[dict[Format, Callable[[], bytes]]] = {
    "csv": lambda: _csv_rows(iter([list(CSV_COLUMNS)])),
    "json": lambda: b"[\n",
    "ndjson": lambda: b"",
}
_TAILS: Final[dict[Format, bytes]] = {"csv": b"", "json": b"\n]\n", "ndjson": b""}

HANDLERS: Final[list[Any]] = [export]
