"""Reading the versions of audited resources: one changeset a version, newest first."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from collector.event import Entry
from collector.journal.reader import Reader
from collector.journal.rows import SELECT, entry


class Changeset(Struct, kw_only=True):
    """What one event changed. `fields` maps a field to its old and new value.

    `actor` is null for history that was imported; `seq` is the entry's, and the cursor of a list.
    """

    id: str
    seq: int
    object_id: str
    changed_at: str
    actor: str | None
    change_type: str
    fields: dict[str, tuple[Any, Any]]


class Changesets(Struct, frozen=True, kw_only=True):
    """A page; `next_before_seq` is the cursor that goes on."""

    items: list[Changeset]
    next_before_seq: int | None
    has_more: bool


async def changesets(
    reader: Reader,
    slug: str,
    *,
    object_id: str | None = None,
    tenant_id: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> Changesets:
    """The changesets of a resource from below `before`, of one object where it is named."""
    where, values = ["versions.slug = ?"], [slug]
    for column, value in (("versions.object_id", object_id), ("scopes.tenant_id", tenant_id)):
        if value is not None:
            where.append(f"{column} = ?")
            values.append(value)
    if before is not None:
        where.append(f"versions.seq < {before}")
    sql = f"{SELECT} WHERE {' AND '.join(where)} ORDER BY versions.seq DESC LIMIT {limit + 1}"
    tag: int = (await reader.fetch("SELECT value FROM facts WHERE name = 'tag'"))[0][0]
    found = [changeset(entry(row, tag)) for row in await reader.fetch(sql, tuple(values))]
    more = len(found) > limit
    return Changesets(
        items=found[:limit], next_before_seq=found[limit - 1].seq if more else None, has_more=more
    )


async def slug_of(reader: Reader, seq: int) -> str | None:
    """The resource of which this entry made a version; None where it made none."""
    rows = await reader.fetch("SELECT slug FROM versions WHERE seq = ?", (seq,))
    return rows[0][0] if rows else None


def changeset(made_by: Entry) -> Changeset:
    """An entry that made a version, as its changeset."""
    actor = made_by.actor
    return Changeset(
        id=made_by.id,
        seq=made_by.seq,
        object_id=made_by.object_id or "",
        changed_at=made_by.occurred_at,
        actor=None if actor is None else actor.name or actor.id,
        change_type=made_by.change_type or "update",
        fields={change.field: (change.old, change.new) for change in made_by.changes or ()},
    )
