"""A filter as a test on one entry: for live streams, with the same meaning as the reader's SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from collector.core.query import KIND_FIELDS, Filter
from collector.core.rfc3339 import from_rfc3339
from collector.core.words import parse_words, unescaped, words_of
from collector.event import Entry, Principal

Predicate = Callable[[Entry], bool]

_PLAIN: Final = (
    *(name for name in KIND_FIELDS if name != "action"),
    *("object_id", "tenant_id", "org_id", "correlation_id", "causation_id"),
)


def matcher(wanted: Filter) -> Predicate:
    """Whether an entry passes; cheap tests come first. Raises `QueryError` as `parse_words` does."""
    tests = [
        _one_of(name, frozenset(values)) for name in _PLAIN if (values := getattr(wanted, name))
    ]
    if wanted.action:
        tests.append(_action(wanted.action))
    tests += [
        _principal(name, names) for name in ("actor", "target") if (names := getattr(wanted, name))
    ]
    if wanted.object:
        tests.append(_object(frozenset(wanted.object)))
    if wanted.since is not None or wanted.until is not None:
        tests.append(_time(wanted.since, wanted.until))
    if wanted.q is not None and wanted.q.strip():
        tests.append(_words(wanted.q))
    return lambda entry: all(test(entry) for test in tests)


def _one_of(name: str, values: frozenset[str]) -> Predicate:
    return lambda entry: getattr(entry, name) in values


def _action(patterns: Iterable[str]) -> Predicate:
    exact = frozenset(patterns)
    prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith(".*"))
    return lambda entry: entry.action in exact or entry.action.startswith(prefixes)


def _principal(name: str, names: Iterable[str]) -> Predicate:
    wanted = frozenset(names)

    def test(entry: Entry) -> bool:
        who: Principal | None = getattr(entry, name)
        if who is None:
            return False
        either = who.id in wanted or who.name in wanted
        return either or (who.id is not None and f"{who.type or ''}:{who.id}" in wanted)

    return test


def _object(pairs: frozenset[tuple[str, str | None]]) -> Predicate:
    def test(entry: Entry) -> bool:
        kind = entry.object_type or ""
        return (kind, None) in pairs or (kind, entry.object_id) in pairs

    return test


def _time(since: int | None, until: int | None) -> Predicate:
    def test(entry: Entry) -> bool:
        at = from_rfc3339(entry.occurred_at)
        return (since is None or at >= since) and (until is None or at < until)

    return test


def _words(q: str) -> Predicate:
    words = parse_words(q)
    return lambda entry: words.match(words_of(_texts(entry)))


def _texts(entry: Entry) -> list[str]:
    """What the journal's full text covers: `journal.followers.SEARCH_TEXTS`."""
    who = entry.actor or Principal()
    plain = (entry.action, who.type, who.id, who.name)
    about = (entry.object_type, entry.object_id, entry.object_name, entry.message)
    metadata = unescaped(msgspec.json.encode(entry.metadata).decode())
    return [*(text for text in (*plain, *about) if text), metadata]
