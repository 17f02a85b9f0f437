"""The dictionaries: text that repeats, stored once.

Numbers are found or made within a transaction. What the database does not take is `RowRefused`.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from collector.core.validation import Kind
from collector.event import Principal, Producer
from collector.journal.connection import refusable

_KIND: Final = (
    "action = ? AND category = ? AND outcome = ? AND severity = ? AND source = ? AND channel = ?"
    " AND mode = ? AND object_type = ?"
)
_PRINCIPAL: Final = "id = ? AND type = ? AND name = ? AND role = ? AND email = ?"


class SqlBooks:
    """`core.numbering.Books` on the writer's connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._producers: dict[Producer, int] = {}

    def forget(self) -> None:
        """Drop cached numbers: a rollback or a clean-up may have taken their rows."""
        self._producers.clear()

    def kind(self, kind: Kind) -> int:
        """The number of a kind."""
        return self._number("kinds", "kind", _KIND, kind, "NULL, ?, ?, ?, ?, ?, ?, ?, ?", kind)

    def principal(self, principal: Principal) -> int:
        """The number of a principal; two that differ in any field are two."""
        kind, id_, name = principal.type or "", principal.id or "", principal.name or ""
        role, email = principal.role or "", principal.email or ""
        return self._number(
            "principals",
            "principal",
            _PRINCIPAL,
            (id_, kind, name, role, email),
            "NULL, ?, ?, ?, ?, ?",
            (kind, id_, name, role, email),
        )

    def scope(self, tenant_id: str, org_id: str) -> int:
        """The number of a tenant and organisation."""
        pair = (tenant_id, org_id)
        return self._number(
            "scopes", "scope", "tenant_id = ? AND org_id = ?", pair, "NULL, ?, ?", pair
        )

    def producer(self, producer: Producer) -> int:
        """The number of a producer; its pid is not part of it, since the log keeps that by itself."""
        nameless = msgspec.structs.replace(producer, pid=None)
        known = self._producers.get(nameless)
        if known is None:
            body = (msgspec.json.encode(nameless).decode(),)
            known = self._number("producers", "producer", "body = ?", body, "NULL, ?", body)
            if len(self._producers) >= 1024:
                self._producers.clear()
            self._producers[nameless] = known
        return known

    def _number(
        self,
        table: str,
        key: str,
        where: str,
        found: tuple[Any, ...],
        slots: str,
        new: tuple[Any, ...],
    ) -> int:
        run = self._connection.execute
        row = run(f"SELECT {key} FROM {table} WHERE {where}", found).fetchone()
        if row is not None:
            number: int = row[0]
            return number
        with refusable():
            inserted = run(f"INSERT INTO {table} VALUES ({slots})", new).lastrowid
        assert inserted is not None
        return inserted
