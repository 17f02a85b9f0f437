"""Settings at run time: retention, what a change of it would remove, and clearing the journal."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from litestar import Request, delete, get, post, put
from litestar.params import FromQuery
from msgspec import UNSET, Meta, Struct, UnsetType

from collector.config import DAYS_MAX, ENTRIES_MAX
from collector.config.schema import BYTES_MAX, MAX_BYTES_LEAST
from collector.core.control import PruneResult, RetentionState
from collector.core.retention import Limits
from collector.event import CATEGORIES
from collector.web.access import may_administer, may_read_all
from collector.web.bodies import read
from collector.web.problems import Refused
from collector.web.services import Given, Services, Who

Days: TypeAlias = Annotated[int, Meta(ge=0, le=DAYS_MAX)]
Entries: TypeAlias = Annotated[int, Meta(ge=0, le=ENTRIES_MAX)]
Bytes: TypeAlias = Annotated[int, Meta(ge=0, le=BYTES_MAX)]


class CategoryDays(Struct, forbid_unknown_fields=True):
    """A category's own limit of age; 0 means none."""

    max_days: Days


class RetentionChange(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is in force. 0 means no limit."""

    enabled: bool | UnsetType = UNSET
    max_days: Days | UnsetType = UNSET
    max_entries: Entries | UnsetType = UNSET
    max_bytes: Bytes | UnsetType = UNSET
    categories: dict[str, CategoryDays] | UnsetType = UNSET


class RetentionValues(Struct, kw_only=True):
    """Limits of what is kept; 0 means no limit."""

    enabled: bool
    max_days: int
    max_entries: int
    max_bytes: int
    categories: dict[str, CategoryDays]


class Retention(RetentionValues, kw_only=True):
    """What is in force; `file` is what the configuration says, `override` what was set here."""

    file: RetentionValues
    override: RetentionValues | None


class Cleared(Struct):
    """How many entries were removed."""

    count: int


@get(
    "/settings/retention",
    guards=[may_read_all],
    tags=["settings"],
    operation_id="getRetention",
)
async def get_retention(services: Given) -> Retention:
    """The retention in force, what the file says, and what overrides it."""
    return _shown(services.control.retention())


@put(
    "/settings/retention",
    guards=[may_administer],
    tags=["settings"],
    operation_id="putRetention",
)
async def put_retention(request: Request[Any, Any, Any], services: Given, who: Who) -> Retention:
    """Override the file's retention until `DELETE`; kept over restarts."""
    wanted = _limits(services, await read(request, RetentionChange))
    return _shown(services.control.set_retention(wanted, who.caller))


@delete(
    "/settings/retention",
    guards=[may_administer],
    tags=["settings"],
    operation_id="deleteRetention",
    status_code=200,
)
async def delete_retention(services: Given, who: Who) -> Retention:
    """Go back to what the file says."""
    return _shown(services.control.delete_retention(who.caller))


@post(
    "/settings/retention/preview",
    guards=[may_administer],
    tags=["settings"],
    operation_id="previewRetention",
    status_code=200,
)
async def preview_retention(request: Request[Any, Any, Any], services: Given) -> PruneResult:
    """What the same body as a PUT would have removed by now; changes nothing."""
    wanted = _limits(services, await read(request, RetentionChange))
    if not wanted.enabled:
        return PruneResult(0, dry_run=True)
    found = await services.reader.removal(wanted, int(services.wall() * 1e6), slack=True)
    return PruneResult(found.count, found.from_seq, found.to_seq, dry_run=True)


@delete(
    "/events",
    guards=[may_administer],
    tags=["events"],
    operation_id="clearEvents",
    status_code=200,
)
async def clear_events(services: Given, who: Who, confirm: FromQuery[Literal["clear"]]) -> Cleared:
    """Remove every entry; leaves one, `events.cleared`, with who and how many."""
    return Cleared(await services.control.clear(who.caller))


def _limits(services: Services, change: RetentionChange) -> Limits:
    now = services.control.retention().effective
    categories = now.categories
    if change.categories is not UNSET:
        categories = {name: own.max_days for name, own in change.categories.items()}
    known = {*CATEGORIES, *services.config.categories}
    if unknown := sorted(categories.keys() - known):
        raise Refused(
            "invalid_request",
            f"categories: {unknown[0][:50]!r} is none of {', '.join(sorted(known))}",
        )
    wanted = Limits(
        enabled=now.enabled if change.enabled is UNSET else change.enabled,
        max_days=now.max_days if change.max_days is UNSET else change.max_days,
        max_entries=now.max_entries if change.max_entries is UNSET else change.max_entries,
        max_bytes=now.max_bytes if change.max_bytes is UNSET else change.max_bytes,
        totals_days=now.totals_days,
        categories=categories,
    )
    if 0 < wanted.max_bytes < MAX_BYTES_LEAST:
        raise Refused("invalid_request", f"max_bytes: 0 (no limit), or at least {MAX_BYTES_LEAST}")
    return wanted


def _shown(state: RetentionState) -> Retention:
    def values(limits: Limits) -> dict[str, Any]:
        return {
            "enabled": limits.enabled,
            "max_days": limits.max_days,
            "max_entries": limits.max_entries,
            "max_bytes": limits.max_bytes,
            "categories": {name: CategoryDays(days) for name, days in limits.categories.items()},
        }

    override = state.override
    return Retention(
        **values(state.effective),
        file=RetentionValues(**values(state.file)),
        override=None if override is None else RetentionValues(**values(override)),
    )


HANDLERS: Final[list[Any]] = [
    get_retention,
    put_retention,
    delete_retention,
    preview_retention,
    clear_events,
]
