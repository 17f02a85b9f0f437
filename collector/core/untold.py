"""What could not be recorded of devices yet: of each one where it began and how it stands, no more.

A device may change its state a thousand times while the journal takes nothing. Of its health one
transition is told afterwards, from the state before the first change to the state after the last, at
the time of the last. Of its coming and going the first and the last are told, of everything else the
last, each at its own time. So a device that changed once loses nothing to one that changes often.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

import msgspec
from msgspec import Struct

from collector.core.device import Device
from collector.core.grouping import DEVICES_MAX
from collector.core.rfc3339 import rfc3339
from collector.event import Draft

UNTOLD_MAX: Final = 8 * DEVICES_MAX
"""What waits at most: more kinds of news than a device has, for all that may be known at a time.
Beyond it, the oldest news of devices that are forgotten go first."""

_PRESENCE: Final = ("device.lost", "device.discovered")


class Notice(Struct, frozen=True):
    """A draft with the source that noticed it, and the device that it is about."""

    draft: Draft
    source: str
    device: Device | None


class Untold:
    """Notice in the order in which they are to be told."""

    def __init__(self) -> None:
        self.dropped = 0
        """Notice that had to go because there were too many."""
        self._news: dict[tuple[str, str], Notice] = {}

    def __len__(self) -> int:
        return len(self._news)

    def first(self) -> Notice:
        """What is to be told next; call `told` when it has been."""
        return next(iter(self._news.values()))

    def told(self) -> None:
        """The first is told, or can never be."""
        del self._news[next(iter(self._news))]

    def add(self, notice: Notice, known: Container[str]) -> None:
        """Keep news; `known` holds the ids of the devices that are not forgotten."""
        about = "" if notice.device is None else notice.device.id
        key = (about, _kind(notice.draft))
        if key[1] == "presence" and (about, "presence.first") not in self._news:
            key = (about, "presence.first")
        before = self._news.pop(key, None)
        self._news[key] = notice if before is None else _merged(before, notice)
        while len(self._news) > UNTOLD_MAX:
            self._drop(known)

    def _drop(self, known: Container[str]) -> None:
        oldest = next(iter(self._news))
        del self._news[next((key for key in self._news if key[0] not in known), oldest)]
        self.dropped += 1


def _kind(draft: Draft) -> str:
    """What news of the same kind about the same device are merged under."""
    if draft.action in _PRESENCE:
        return "presence"
    return "network" if draft.action.startswith("network.") else draft.action


def _merged(before: Notice, notice: Notice) -> Notice:
    """The later news, with what they have to tell of those that they stand for."""
    old, new = before.draft.metadata or {}, notice.draft.metadata or {}
    metadata: dict[str, Any] = {**new, "merged": old.get("merged", 1) + 1}
    if before.draft.occurred_at is not None:
        metadata["since"] = old.get("since") or rfc3339(before.draft.occurred_at.timestamp())
    action = notice.draft.action
    if action == "device.health_changed":
        first = old.get("from")
        metadata["from"] = old.get("to") if first == new.get("to") else first
    elif action == "device.updated":
        metadata["changed"] = sorted({*old.get("changed", ()), *new.get("changed", ())})
    elif action == "events.lost":
        for name in ("count", "window_seconds"):
            metadata[name] = old.get(name, 0) + new.get(name, 0)
    return Notice(
        msgspec.structs.replace(notice.draft, metadata=metadata), notice.source, notice.device
    )
