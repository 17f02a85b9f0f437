"""From a filter to a plan: SQL that is always right, and postings that make it fast.

The SQL conditions alone decide what matches; every row that a reader returns has passed them. The
groups of terms only narrow down where to look: within a group any term will do, across groups all
must occur. A filter whose value the dictionaries do not know matches nothing, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from msgspec import Struct, field

from collector.core.query import KIND_FIELDS, Filter
from collector.core.words import Words, parse_words
from collector.journal.postings import term

Fetch = Callable[[str, tuple[Any, ...]], Awaitable[list[tuple[Any, ...]]]]
"""Runs one SELECT and returns all its rows."""


class Plan(Struct):
    """How to find what a filter asks for."""

    where: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    groups: list[list[bytes]] = field(default_factory=list)
    words: Words | None = None
    since: int | None = None
    until: int | None = None
    nothing: bool = False

    @property
    def timed(self) -> bool:
        """Whether the range of time narrows down where to look."""
        return self.since is not None or self.until is not None

    def add(self, condition: str, values: Iterable[Any], terms: list[bytes] | None = None) -> None:
        """One more condition that all matches meet."""
        self.where.append(condition)
        self.values += values
        if terms is not None:
            self.groups.append(terms)

    def condition(self, *more: str) -> str:
        """The WHERE clause with further conditions in front."""
        return " AND ".join((*more, *self.where)) or "1"


_PRINCIPALS: Final = (
    "SELECT principal FROM principals WHERE id = ? UNION SELECT principal FROM principals"
    " WHERE name = ? UNION SELECT principal FROM principals WHERE id = ? AND type = ?"
)


async def make_plan(wanted: Filter, fetch: Fetch) -> Plan:
    """The plan for a filter. Raises `QueryError` for a search without words."""
    plan = Plan(since=wanted.since, until=wanted.until)
    await _kinds(plan, wanted, fetch)
    await _objects(plan, wanted, fetch)
    for column in ("actor", "target"):
        names = getattr(wanted, column)
        if names:
            await _principals(plan, column, names, fetch)
    await _scopes(plan, wanted, fetch)
    if wanted.correlation_id:
        _texts(plan, "correlation_id", wanted.correlation_id)
    if wanted.since is not None:
        plan.add("log.occurred_at >= ?", (wanted.since,))
    if wanted.until is not None:
        plan.add("log.occurred_at < ?", (wanted.until,))
    if wanted.q is not None and wanted.q.strip():
        plan.words = parse_words(wanted.q)
    return plan


async def _kinds(plan: Plan, wanted: Filter, fetch: Fetch) -> None:
    """The eight texts of a kind: one condition on the kind, one group of terms a field."""
    where, values = [], list[Any]()
    for name in KIND_FIELDS:
        asked: tuple[str, ...] = getattr(wanted, name)
        if not asked:
            continue
        exact = [text for text in asked if not (name == "action" and text.endswith(".*"))]
        prefixes = [text[:-1] for text in asked if name == "action" and text.endswith(".*")]
        parts = [f"{name} = ?"] * len(exact) + ["substr(action, 1, ?) = ?"] * len(prefixes)
        where.append(f"({' OR '.join(parts)})")
        values += exact
        for prefix in prefixes:
            values += (len(prefix), prefix)
    if not where:
        return
    columns = ", ".join(KIND_FIELDS)
    rows = await fetch(
        f"SELECT kind, {columns} FROM kinds WHERE {' AND '.join(where)}", tuple(values)
    )
    _numbers(plan, "kind", [row[0] for row in rows])
    for index, name in enumerate(KIND_FIELDS, 1):
        if getattr(wanted, name):
            plan.groups.append(sorted({term(name, row[index]) for row in rows if row[index]}))


async def _objects(plan: Plan, wanted: Filter, fetch: Fetch) -> None:
    if wanted.object_id:
        _texts(plan, "object_id", wanted.object_id)
    if not wanted.object:
        return
    parts, values, terms = [], list[Any](), list[bytes]()
    for kind, id_ in wanted.object:
        rows = await fetch("SELECT kind FROM kinds WHERE object_type = ?", (kind,))
        numbers = ",".join(str(row[0]) for row in rows)
        if id_ is None:
            parts.append(f"log.kind IN ({numbers})")
            terms.append(term("object_type", kind))
        else:
            parts.append(f"(log.kind IN ({numbers}) AND log.object_id = ?)")
            values.append(id_)
            terms.append(term("object_id", id_))
    plan.add(f"({' OR '.join(parts)})", values, terms)


async def _principals(plan: Plan, column: str, names: tuple[str, ...], fetch: Fetch) -> None:
    numbers: set[int] = set()
    for name in names:
        kind, colon, id_ = name.partition(":")
        values = (name, name, id_ if colon else "\0", kind)
        numbers.update(row[0] for row in await fetch(_PRINCIPALS, values))
    _numbers(plan, column, sorted(numbers), [term(column, number) for number in sorted(numbers)])


async def _scopes(plan: Plan, wanted: Filter, fetch: Fetch) -> None:
    where, values = [], list[Any]()
    for name in ("tenant_id", "org_id"):
        asked: tuple[str, ...] = getattr(wanted, name)
        if asked:
            where.append(f"{name} IN ({','.join('?' * len(asked))})")
            values += asked
    if where:
        rows = await fetch(f"SELECT scope FROM scopes WHERE {' AND '.join(where)}", tuple(values))
        numbers = [row[0] for row in rows]
        _numbers(plan, "scope", numbers, [term("scope", number) for number in numbers])


def _texts(plan: Plan, column: str, texts: tuple[str, ...]) -> None:
    plan.add(
        f"log.{column} IN ({','.join('?' * len(texts))})",
        texts,
        [term(column, text) for text in texts],
    )


def _numbers(plan: Plan, column: str, numbers: list[int], terms: list[bytes] | None = None) -> None:
    plan.nothing = plan.nothing or not numbers
    plan.add(f"log.{column} IN ({','.join(map(str, numbers))})", (), terms)
