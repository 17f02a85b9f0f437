"""What changed between two states of an audited object, field by field.

The state before is the last one that the journal knows. Of an object that it meets for the first time
in the middle of its life, `metadata.changes` may tell it: `{"name": {"from": "A", "to": "B"}}`.

Both sides of a difference are redacted. The journal keeps an object's last state redacted, so a
state is compared with itself in either form: first as it came, then redacted, where a secret that
stayed the same has the same mark. An absent field and a null one are the same to a reader.
"""

from __future__ import annotations

from typing import Any

from collector.core.freetext import MARK
from collector.core.redaction import Redactor
from collector.event import Change, ChangeType


def difference(
    old: dict[str, Any] | None,
    new: dict[str, Any] | None,
    ignore: frozenset[str],
    redactor: Redactor,
) -> list[Change]:
    """The top-level fields that differ, sorted by name; empty where the states are equal.

    `old` None: every field of `new` appears; `new` None: every field of `old` disappears. Fields in
    `ignore` are never tracked. Either side may be redacted already.
    """
    before = {} if old is None else _tracked(old, ignore)
    after = {} if new is None else _tracked(new, ignore)
    if same(before, after):
        return []
    before, after = redactor.mapping(before), redactor.mapping(after)
    return [
        Change(field, before.get(field), after.get(field))
        for field in sorted(before.keys() | after.keys())
        if not same(before.get(field), after.get(field))
    ]


def change_type(
    old: dict[str, Any] | None, new: dict[str, Any] | None, action: str
) -> ChangeType | None:
    """What a version with these states is: an action `….deleted` closes an object's history.

    None where there is nothing to make a version of: no new state and no deletion.
    """
    if is_deletion(action):
        return "delete"
    if new is None:
        return None
    return "create" if old is None else "update"


def stated_before(
    after: dict[str, Any] | None, metadata: dict[str, Any] | None, action: str
) -> dict[str, Any] | None:
    """The state before an event as its `metadata.changes` tells it; None where it tells none.

    `after` with each field of `changes` as it was `from`. A mark in place of such a pair stands for a
    secret: the field was another one then, and that is all that is known. An object that was
    `….created` had no state before.
    """
    changes = (metadata or {}).get("changes")
    if not isinstance(changes, dict) or not changes or action.rpartition(".")[2] == "created":
        return None
    before = dict(after or {})
    for field, change in changes.items():
        if isinstance(change, dict) and change.keys() == {"from", "to"}:
            before[field] = change["from"]
        elif isinstance(change, str) and MARK.fullmatch(change):
            before[field] = change
        else:
            return None
    return before


def is_deletion(action: str) -> bool:
    """Whether the action's verb is `deleted`."""
    return action.rpartition(".")[2] == "deleted"


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: as Python's, but a boolean is no number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _tracked(state: dict[str, Any], ignore: frozenset[str]) -> dict[str, Any]:
    return {field: value for field, value in state.items() if field not in ignore}
