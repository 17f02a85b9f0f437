"""Changes of rows, as an object-relational mapper sees them: folded per object, then recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from collector.client.plain import plain
from collector.client.trail import Trail
from collector.event import Draft

Verb = Literal["created", "updated", "deleted"]
NAMES: Final = ("name", "title", "label", "username", "slug")
"""Fields that usually hold an object's name for people."""
CHANGES_MAX: Final = 12 * 1024
"""Bytes of old and new values in one event, about; its metadata has room for 16 KiB."""
_encode: Final = msgspec.json.Encoder().encode
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def object_type(model: type) -> str:
    """`OrderLine` is `order_line`."""
    return "_".join(_CAMEL.split(model.__name__)).lower()


@dataclass
class Change:
    """One object before and after; None where it is not there."""

    kind: str
    key: tuple[Any, ...]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    created: bool = False

    @property
    def verb(self) -> Verb | None:
        """What happened; None for nothing."""
        if self.after is None:
            return None if self.created or self.before is None else "deleted"
        if self.created or self.before is None:
            return "created"
        return None if self.before == self.after else "updated"


def folded(changes: Iterable[Change]) -> list[Change]:
    """One change an object: the first before, the last after, in the order of their first."""
    objects: dict[tuple[str, tuple[Any, ...]], Change] = {}
    for change in changes:
        known = objects.get((change.kind, change.key))
        if known is None:
            objects[change.kind, change.key] = Change(**vars(change))
        else:
            known.after = change.after
    return list(objects.values())


def drafts(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """The events of folded changes, as `record_many` takes them."""
    return [event for change in changes if (event := _event(change)) is not None]


def _event(change: Change) -> dict[str, Any] | None:
    verb = change.verb
    if verb is None:
        return None
    before = plain(change.before or {})
    after = plain(change.after or {})
    key = [str(part) for part in plain({"key": list(change.key)})["key"]]
    return {
        "action": f"{change.kind}.{verb}",
        "category": "entity",
        "object": (change.kind, ",".join(key), _name(after or before)),
        "record": after if verb != "deleted" else None,
        "metadata": _told(_differences(before, after)),
    }


def _told(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes as metadata; of the largest only the names, where all would be too much."""
    sizes = {name: len(_encode(pair)) + len(name) for name, pair in changes.items()}
    left_out = []
    while sum(sizes.values()) > CHANGES_MAX:
        largest = max(sizes, key=lambda name: sizes[name])
        del sizes[largest]
        left_out.append(largest)
    told = {name: pair for name, pair in changes.items() if name in sizes}
    more = {"changes_left_out": sorted(left_out)} if left_out else {}
    return {"changes": told, **more}


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """`{"price": {"from": 3, "to": 4}}`: a field's name is the key, so that a secret's is seen."""
    names = sorted(before.keys() | after.keys())
    return {
        name: {"from": before.get(name), "to": after.get(name)}
        for name in names
        if before.get(name) != after.get(name)
    }


def _name(state: Mapping[str, Any]) -> str | None:
    return next((text for name in NAMES if isinstance(text := state.get(name), str)), None)


def record(trail: Trail, changes: Iterable[Change], fields: Mapping[str, Any]) -> None:
    """Record what is left of the changes after folding, with `fields` for each event."""
    events: list[Draft | Mapping[str, Any]] = [
        {**fields, **event} for event in drafts(folded(changes))
    ]
    if events:
        trail.record_many(events)
