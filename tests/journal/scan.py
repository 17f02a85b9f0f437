"""The truth that readers are held to: every filter and statistic by a plain scan of the entries."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import msgspec

from collector.core.query import KIND_FIELDS, Filter
from collector.core.rfc3339 import from_rfc3339
from collector.event import Entry, Principal

PLAIN = (*(f for f in KIND_FIELDS if f != "action"),
         "object_id", "tenant_id", "org_id", "correlation_id", "causation_id")  # fmt: skip


def passes(entry: Entry, f: Filter) -> bool:
    """Whether an entry is what the filter asks for, by the words of the specification."""
    for name in PLAIN:
        if getattr(f, name) and getattr(entry, name) not in getattr(f, name):
            return False
    if f.action and not any(
        entry.action == a or (a.endswith(".*") and entry.action.startswith(a[:-1]))
        for a in f.action
    ):
        return False
    if f.object and not any(
        entry.object_type == kind and (id_ is None or entry.object_id == id_)
        for kind, id_ in f.object
    ):
        return False
    for name in ("actor", "target"):
        if getattr(f, name) and not _is_one_of(getattr(entry, name), getattr(f, name)):
            return False
    at = from_rfc3339(entry.occurred_at)
    if (f.since is not None and at < f.since) or (f.until is not None and at >= f.until):
        return False
    return f.q is None or not f.q.strip() or _holds(entry, f.q)


def _is_one_of(who: Principal | None, names: Iterable[str]) -> bool:
    if who is None:
        return False
    known = {who.id, who.name, f"{who.type or ''}:{who.id}" if who.id else None} - {None}
    return bool(known & set(names))


def _holds(entry: Entry, q: str) -> bool:
    actor = entry.actor or Principal()
    texts = [entry.action, actor.type, actor.id, actor.name, entry.object_type, entry.object_id]
    texts += [entry.object_name, entry.message, *_leaves(entry.metadata)]
    words = {w[:40] for text in texts if text for w in re.findall(r"[^\W_]+", text.casefold())}
    for part in q.split():
        found = [w[:40] for w in re.findall(r"[^\W_]+", part.casefold())]
        prefix = found.pop() if part.endswith("*") and found else None
        if not set(found) <= words:
            return False
        if prefix is not None and not any(word.startswith(prefix) for word in words):
            return False
    return True


def _leaves(value: object) -> list[str]:
    if isinstance(value, dict):
        return [t for k, v in value.items() for t in (k, *_leaves(v))]
    if isinstance(value, list):
        return [t for v in value for t in _leaves(v)]
    return [value if isinstance(value, str) else msgspec.json.encode(value).decode()]


def actor_of(entry: Entry) -> str | None:
    """How statistics name an entry's actor."""
    who = entry.actor
    if who is None:
        return None
    if not who.id:
        return who.name
    return f"{who.type}:{who.id}" if who.type else who.id


def value_of(entry: Entry, by: str) -> str | None:
    """An entry's value in one dimension."""
    return actor_of(entry) if by == "actor" else getattr(entry, by)


def bucket_of(entry: Entry, bucket: str | None) -> str | None:
    """The start of the hour or day in which it happened."""
    if bucket is None:
        return None
    return entry.occurred_at[:13] + ":00:00Z" if bucket == "hour" else entry.occurred_at[:10] + "T00:00:00Z"  # fmt: skip  # noqa: E501


def counts(
    entries: Iterable[Entry], by: str, bucket: str | None
) -> Counter[tuple[str | None, str | None]]:
    """Counts by bucket and value."""
    return Counter((bucket_of(e, bucket), value_of(e, by)) for e in entries)
