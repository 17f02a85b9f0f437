"""`/SLUG-activity`: the read-only child of each audited resource, found by `x-audit`."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import get
from litestar.params import PathParameter, QueryParameter

from collector.config import Resource
from collector.journal.changesets import Changeset, Changesets, changeset, changesets, slug_of
from collector.web.access import may_read
from collector.web.events import LIMIT_MAX, Cursor
from collector.web.patterns import KEY
from collector.web.problems import Refused
from collector.web.services import Given, Who

AUDIT: Final = "x-audit"
"""The OpenAPI extension that marks an activity resource; its value names the parent."""


def titled(slug: str) -> str:
    """A slug as part of an operation's name: `price-lists` becomes `PriceLists`."""
    return "".join(part.capitalize() for part in slug.split("-"))


def audit_of(resource: Resource) -> dict[str, Any]:
    """What `x-audit` says of a resource."""
    return {
        "parent": resource.slug,
        "object_type": resource.object_type,
        "labels": dict(resource.labels),
    }


def handlers(resource: Resource) -> list[Any]:
    """The two handlers of one audited resource."""
    slug, path = resource.slug, f"/{resource.slug}-activity"
    name, audit = titled(slug), audit_of(resource)

    @get(
        path,
        guards=[may_read],
        tags=["activity"],
        operation_id=f"list{name}Activity",
        opt={AUDIT: audit},
    )
    async def list_activity(
        services: Given,
        who: Who,
        object_id: Annotated[str | None, QueryParameter(min_length=1, max_length=200)] = None,
        before_seq: Cursor = None,
        limit: Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX)] = 50,
    ) -> Changesets:
        """What changed, newest first, each with its fields before and after."""
        return await changesets(
            services.reader,
            slug,
            object_id=object_id,
            tenant_id=who.tenant_id,
            before=before_seq,
            limit=limit,
        )

    @get(
        f"{path}/{{key:str}}",
        guards=[may_read],
        tags=["activity"],
        operation_id=f"get{name}Activity",
        opt={AUDIT: audit},
    )
    async def get_activity(
        services: Given, who: Who, key: Annotated[str, PathParameter(pattern=KEY)]
    ) -> Changeset:
        """One changeset by the id or the seq of the entry that made it."""
        entry = await services.reader.entry(int(key) if key.isdigit() else key)
        visible = entry is not None and who.tenant_id in (None, entry.tenant_id)
        if entry is None or not visible or await slug_of(services.reader, entry.seq) != slug:
            raise Refused("not_found", f"{slug} has no changeset {key}")
        return changeset(entry)

    return [list_activity, get_activity]
