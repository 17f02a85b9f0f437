"""Versions of audited resources: what each event changed, and the state the next is compared with.

Everything happens in the transaction of the entry itself. A record is redacted before it is stored
or compared, so a secret that changes shows as two different marks and never as itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec

from collector.core.changeset import change_type, difference, is_deletion, stated_before
from collector.core.redaction import Redactor
from collector.event import Draft
from collector.journal.connection import refusable

OUTCOME: Final = "success"
"""Only what succeeded makes a version."""


class Resource(Protocol):
    """One `[[resources]]` of the configuration."""

    @property
    def slug(self) -> str: ...
    @property
    def object_type(self) -> str: ...
    @property
    def audit(self) -> bool: ...
    @property
    def ignore(self) -> Iterable[str]: ...


class Versions:
    """Keeps `versions` and `states` in step with the log. Used by the intake only."""

    def __init__(
        self, connection: sqlite3.Connection, resources: Iterable[Resource], redactor: Redactor
    ) -> None:
        self._connection = connection
        self._redactor = redactor
        self._audited = {
            resource.object_type: (resource.slug, frozenset(resource.ignore))
            for resource in resources
            if resource.audit
        }
        self._warnings: dict[int, list[str]] = {}

    def take_warnings(self) -> dict[int, list[str]]:
        """What producers should hear about their records, by seq; asked for once."""
        warnings, self._warnings = self._warnings, {}
        return warnings

    def add(self, records: Iterable[tuple[int, Draft]]) -> None:
        """Make the versions of these admitted drafts. Raises `RowRefused`, and what SQLite raises."""
        for seq, draft in records:
            with refusable():
                self._add(seq, draft)

    def _add(self, seq: int, draft: Draft) -> None:
        audited = self._audited.get(draft.object_type or "")
        if audited is None or not draft.object_id:
            if draft.record is not None:
                self._warn(seq, draft)
            return
        if (draft.outcome or OUTCOME) != OUTCOME:
            return
        slug, ignore = audited
        new = None if is_deletion(draft.action) else self._clean(draft)
        old = self._state(slug, draft.object_id)
        if old is None:
            old = stated_before(new, draft.metadata, draft.action)
        kind = change_type(old, new, draft.action)
        changes = difference(old, new, ignore, self._redactor)
        if kind is None or not (changes or kind == "delete"):
            return
        self._connection.execute(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?)",
            (seq, slug, draft.object_id, kind, msgspec.json.encode(changes).decode()),
        )
        self._keep(slug, draft.object_id, new)

    def _clean(self, draft: Draft) -> dict[str, Any] | None:
        return None if draft.record is None else self._redactor.mapping(draft.record)

    def _state(self, slug: str, object_id: str) -> dict[str, Any] | None:
        row = self._connection.execute(
            "SELECT state FROM states WHERE slug = ? AND object_id = ?", (slug, object_id)
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=dict[str, Any])

    def _keep(self, slug: str, object_id: str, state: dict[str, Any] | None) -> None:
        if state is None:
            self._connection.execute(
                "DELETE FROM states WHERE slug = ? AND object_id = ?", (slug, object_id)
            )
        else:
            self._connection.execute(
                "INSERT OR REPLACE INTO states VALUES (?, ?, ?)",
                (slug, object_id, msgspec.json.encode(state).decode()),
            )

    def _warn(self, seq: int, draft: Draft) -> None:
        if draft.object_type in self._audited:
            reason = "`record` needs an `object_id`; stored without it"
        else:
            reason = f"`record` is not kept: {draft.object_type!r} is not an audited resource"
        self._warnings[seq] = [reason]


def install_views(connection: sqlite3.Connection, resources: Iterable[Resource]) -> None:
    """One view `SLUG_activity` for each audited resource, one row a changeset. Call in no transaction.

    The configuration has checked that a slug is a plain word.
    """
    for resource in resources:
        if not resource.audit:
            continue
        view = f"{resource.slug.replace('-', '_')}_activity"
        connection.execute(f'DROP VIEW IF EXISTS "{view}"')
        connection.execute(_VIEW.format(view=view, slug=resource.slug.replace("'", "''")))


_VIEW: Final = """
CREATE VIEW "{view}" AS
SELECT
  entries.id, versions.object_id, entries.occurred_at AS changed_at,
  coalesce(entries.actor_name, entries.actor_id) AS actor, versions.change_type,
  (SELECT json_group_object(json_extract(change.value, '$.field'),
     json(json_extract(change.value, '$.old', '$.new')))
   FROM json_each(versions.changes) AS change) AS fields,
  versions.seq
FROM versions JOIN entries USING (seq)
WHERE versions.slug = '{slug}'
"""
