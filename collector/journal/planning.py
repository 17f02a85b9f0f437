"""From a filter to a plan: SQL that is always right, and postings that make it fast.

The SQL conditions alone decide what matches; every row that a reader returns has passed them. The
groups of terms only narrow down where to look: within a group any term will do, across groups all
must occur. A filter whose value the dictionaries do not know matches nothing, and the plan says so.

An empty text matches nothing: what is absent is absent, not equal to ''.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from msgspec import Struct, field

from collector.core.query import KIND_FIELDS, Filter
from collector.core.words import Words, parse_words
from collector.errors import QueryError
from collector.journal import fingerprints
from collector.journal.postings import term

Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs one SELECT within the current snapshot and returns all its rows."""

VALUES_MAX: Final = 200
"""Values that one field of a filter may hold; SQLite's own limits are not far above."""
NUMBERS_MAX: Final = 5_000
"""Numbers of a dictionary that are listed in a statement; more of them are a subquery."""
TERMS_MAX: Final = 500
"""Terms looked up for one field; a prefix that stands for more narrows nothing down."""
TIME_MAX: Final = 2**62
"""Times beyond are as good as none; SQLite's integers end at 2**63 - 1."""


class Group(Struct):
    """Any of these terms and fingerprints will do."""

    terms: list[bytes]
    fingerprints: list[int] = field(default_factory=list)


class Plan(Struct):
    """How to find what a filter asks for."""

    where: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    words: Words | None = None
    since: int | None = None
    until: int | None = None
    nothing: bool = False

    @property
    def timed(self) -> bool:
        """Whether the range of time narrows down where to look."""
        return self.since is not None or self.until is not None

    def add(self, condition: str, values: Iterable[Any], group: Group | None = None) -> None:
        """One more condition that all matches meet."""
        self.where.append(condition)
        self.values += values
        if group is not None:
            self.groups.append(group)

    def condition(self, *more: str) -> str:
        """The WHERE clause with further conditions in front."""
        return " AND ".join((*more, *self.where)) or "1"


def make_plan(wanted: Filter, fetch: Fetch) -> Plan:
    """The plan for a filter. Raises `QueryError` for a search without words, or too many values."""
    plan = Plan(since=bounded(wanted.since), until=bounded(wanted.until))
    _kinds(plan, wanted, fetch)
    _objects(plan, wanted, fetch)
    for column in ("actor", "target"):
        names = getattr(wanted, column)
        if names:
            _principals(plan, column, _texts(names, column), fetch)
    _scopes(plan, wanted, fetch)
    for column in fingerprints.SEEDS:
        asked = getattr(wanted, column)
        if asked:
            _plain(plan, column, _texts(asked, column))
    if plan.since is not None:
        plan.add("log.occurred_at >= ?", (plan.since,))
    if plan.until is not None:
        plan.add("log.occurred_at < ?", (plan.until,))
    if wanted.q is not None and wanted.q.strip():
        plan.words = parse_words(wanted.q)
    return plan


def bounded(when: int | None) -> int | None:
    """A time that SQLite can compare."""
    return when if when is None else max(-TIME_MAX, min(TIME_MAX, when))


def _texts(values: Iterable[str], name: str) -> list[str]:
    """The values that an entry can hold at all. Raises `QueryError` where there are too many."""
    kept = {value for value in values if value and storable(value)}
    if len(kept) > VALUES_MAX:
        raise QueryError(f"at most {VALUES_MAX} values can be asked for at once", name)
    return sorted(kept)


def storable(text: str) -> bool:
    """Whether a text can stand in the journal: lone surrogates and NUL cannot."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _kinds(plan: Plan, wanted: Filter, fetch: Fetch) -> None:
    """The eight texts of a kind: one condition on the kind, one group of terms a field."""
    where, values, asked_for = [], list[Any](), []
    for name in KIND_FIELDS:
        asked: tuple[str, ...] = getattr(wanted, name)
        if not asked:
            continue
        asked_for.append(name)
        condition, bound = _kind_field(name, _texts(asked, name))
        where.append(condition)
        values += bound
    if not where:
        return
    condition = " AND ".join(where)
    rows = fetch(f"SELECT kind, {', '.join(asked_for)} FROM kinds WHERE {condition}", values)
    if rows and len(rows) == fetch("SELECT count(*) FROM kinds", ())[0][0]:
        return  # every entry there is
    query = f"SELECT kind FROM kinds WHERE {condition}"
    _numbers(plan, "kind", [row[0] for row in rows], query, values)
    for index, name in enumerate(asked_for, 1):
        _group(plan, {term(name, text) for text in {row[index] for row in rows}})


def _kind_field(name: str, asked: list[str]) -> tuple[str, list[Any]]:
    exact = [text for text in asked if not (name == "action" and text.endswith(".*"))]
    prefixes = [text[:-1] for text in asked if name == "action" and text.endswith(".*")]
    parts = [f"{name} IN ({_marks(exact)})"] + ["substr(action, 1, ?) = ?"] * len(prefixes)
    values: list[Any] = [*exact]
    for prefix in prefixes:
        values += (len(prefix), prefix)
    return f"({' OR '.join(parts)})", values


def _objects(plan: Plan, wanted: Filter, fetch: Fetch) -> None:
    if not wanted.object:
        return
    if len(wanted.object) > VALUES_MAX:
        raise QueryError(f"at most {VALUES_MAX} values can be asked for at once", "object")
    parts, values, types, ids = [], list[Any](), set[str](), set[str]()
    of_type = "log.kind IN (SELECT kind FROM kinds WHERE object_type = ?)"
    for kind, id_ in wanted.object:
        if not kind or id_ == "" or not storable(kind) or not storable(id_ or ""):
            continue
        values.append(kind)
        if id_ is None:
            parts.append(of_type)
            types.add(kind)
        else:
            parts.append(f"({of_type} AND log.object_id = ?)")
            values.append(id_)
            ids.add(id_)
    plan.nothing = plan.nothing or not parts
    group = _scattered("object_id", ids)
    group.terms += [term("object_type", kind) for kind in sorted(types)]
    plan.add(f"({' OR '.join(parts) or '0'})", values, group)


def _principals(plan: Plan, column: str, names: list[str], fetch: Fetch) -> None:
    """A principal's id, name, or `type:id`, wherever the colon between those two may stand."""
    pairs = [
        (name[:at], name[at + 1 :])
        for name in names
        for at, character in enumerate(name)
        if character == ":" and name[at + 1 :]
    ]
    ids = [*names, *(id_ for _, id_ in pairs)]
    if len(ids) > 5 * VALUES_MAX:
        raise QueryError("too many names with colons are asked for at once", column)
    wanted_pairs = " OR ".join(["(id = ? AND type = ?)"] * len(pairs)) or "0"
    query = (
        f"SELECT principal FROM principals WHERE id IN ({_marks(names)})"
        f" UNION SELECT principal FROM principals WHERE name IN ({_marks(names)})"
        f" UNION SELECT principal FROM principals WHERE {wanted_pairs}"
    )
    values = [*names, *names, *(text for kind, id_ in pairs for text in (id_, kind))]
    numbers = [row[0] for row in fetch(query, values)]
    _numbers(plan, column, numbers, query, values)
    _group(plan, {term(column, number) for number in numbers})


def _scopes(plan: Plan, wanted: Filter, fetch: Fetch) -> None:
    where, values = [], list[Any]()
    for name in ("tenant_id", "org_id"):
        asked: tuple[str, ...] = getattr(wanted, name)
        if asked:
            texts = _texts(asked, name)
            where.append(f"{name} IN ({_marks(texts)})")
            values += texts
    if where:
        query = f"SELECT scope FROM scopes WHERE {' AND '.join(where)}"
        numbers = [row[0] for row in fetch(query, values)]
        _numbers(plan, "scope", numbers, query, values)
        _group(plan, {term("scope", number) for number in numbers})


def _plain(plan: Plan, column: str, texts: list[str]) -> None:
    plan.nothing = plan.nothing or not texts
    plan.add(f"log.{column} IN ({_marks(texts)})", texts, _scattered(column, texts))


def _scattered(column: str, texts: Iterable[str]) -> Group:
    """Values that are found by their fingerprints."""
    return Group([], sorted({fingerprints.fingerprint_of(column, text) for text in texts}))


def _numbers(
    plan: Plan, column: str, numbers: list[int], query: str, values: Iterable[Any]
) -> None:
    """A condition on a dictionary's numbers: a list of them, or the query that yields them."""
    plan.nothing = plan.nothing or not numbers
    if len(numbers) > NUMBERS_MAX:
        plan.add(f"log.{column} IN ({query})", values)
    else:
        plan.add(f"log.{column} IN ({','.join(map(str, numbers))})", ())


def _group(plan: Plan, terms: set[bytes]) -> None:
    if len(terms) <= TERMS_MAX:
        plan.groups.append(Group(sorted(terms)))


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
