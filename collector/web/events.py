"""The log: pages, single entries, facets."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, PathParameter, QueryParameter, SkipValidation
from msgspec import Struct

from collector.core.masking import masked
from collector.core.query import Filter
from collector.event import Entry
from collector.web.access import may_read
from collector.web.identity import Identity
from collector.web.patterns import KEY
from collector.web.problems import Refused
from collector.web.services import Given, Who

LIMIT_MAX: Final = 200

Wanted: TypeAlias = NamedDependency[SkipValidation[Filter]]
Cursor: TypeAlias = Annotated[int | None, QueryParameter(ge=0, le=2**53)]


class EventPage(Struct, kw_only=True):
    """A page of the log. `next_before_seq` (or `next_after_seq`) is the cursor that goes on.

    `total` is null unless asked for, exact up to 10,000; above that null, and `total_at_least` says
    how many there are at least.
    """

    entries: list[Entry]
    next_before_seq: int | None = None
    next_after_seq: int | None = None
    has_more: bool = False
    total: int | None = None
    total_at_least: int | None = None


class FacetValue(Struct, frozen=True):
    """One value and how many of the matching entries have it."""

    value: str
    count: int


def shown(entry: Entry, who: Identity) -> Entry:
    """The entry as this caller may see it."""
    return entry if who.admin else masked(entry)


@get("/events", guards=[may_read], tags=["events"], operation_id="listEvents")
async def list_events(
    services: Given,
    who: Who,
    wanted: Wanted,
    before_seq: Cursor = None,
    after_seq: Cursor = None,
    limit: Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX)] = 50,
    total: FromQuery[bool] = False,
) -> EventPage:
    """A page of entries, newest first; with `after_seq` the oldest first that follow it."""
    page = await services.reader.page(wanted, before_seq, after_seq, limit)
    answer = EventPage(
        entries=[shown(entry, who) for entry in page.entries],
        next_before_seq=page.next_before,
        next_after_seq=page.next_after,
        has_more=page.has_more,
    )
    if total:
        count, exact = await services.reader.count(wanted)
        answer.total, answer.total_at_least = (count, None) if exact else (None, count)
    return answer


@get("/events/{key:str}", guards=[may_read], tags=["events"], operation_id="getEvent")
async def get_event(
    services: Given, who: Who, key: Annotated[str, PathParameter(pattern=KEY)]
) -> Entry:
    """One entry by its seq or its id."""
    entry = await services.reader.entry(int(key) if key.isdigit() else key)
    if entry is None or (who.tenant_id is not None and entry.tenant_id != who.tenant_id):
        raise Refused("not_found", f"there is no entry {key}; it may have been pruned")
    return shown(entry, who)


@get("/events/facets", guards=[may_read], tags=["events"], operation_id="getFacets")
async def facets(services: Given, wanted: Wanted) -> dict[str, list[FacetValue]]:
    """The distinct values among what matches, most frequent first, by dimension."""
    found: dict[str, list[tuple[str, int]]] = await services.reader.facets(wanted)
    return {
        name: [FacetValue(value, count) for value, count in values]
        for name, values in found.items()
    }


HANDLERS: Final[list[Any]] = [list_events, get_event, facets]
