"""The events that are measured with: varied, since constant ones flatter every index.

Forty-eight kinds of action, 500 actors whose names follow from their ids, 20,000 objects; a third
have a message, a third belong to a transaction, nine in ten carry metadata. The same event is
written as a line for the daemon and as an `XADD` with the same values as fields for Redis.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final, NamedTuple

ACTORS: Final = 500
OBJECTS: Final = 20_000
VERBS: Final = ("created", "updated", "deleted", "viewed", "exported", "approved", "failed", "sent")
TYPES: Final = ("person", "settings", "invoice", "backup", "lamp", "door")
CATEGORIES: Final = ("entity", "auth", "device", "capture", "system")
CHANNELS: Final = ("web", "settings", "import", "cron")
PLACEHOLDER: Final = "00000000-0000-4000-8000-000000000000"
"""Stands in a line where its id belongs; see `load.Ids`."""


class Event(NamedTuple):
    """The parts of one event."""

    action: str
    category: str
    outcome: str
    channel: str
    actor: str
    object_type: str
    object_id: str
    object_name: str
    correlation_id: str
    message: str
    metadata: str


def varied(count: int, seed: int = 1) -> Iterator[Event]:
    """`count` events, the same for the same seed."""
    source = random.Random(seed)
    draw = source.random
    for n in range(count):
        one, two = draw(), draw()
        actor, thing = int(one * ACTORS), int(two * two * OBJECTS)
        kind, verb = TYPES[thing % 6], VERBS[n % 7 if one < 0.9 else 7]
        failed = verb == "failed"
        yield Event(
            f"{kind}.{verb}",
            CATEGORIES[thing % 5],
            "failure" if failed else "success",
            CHANNELS[actor % 4],
            f'{{"type":"user","id":"u{actor}","name":"User number {actor}"}}',
            kind,
            f"{kind}-{thing}",
            f"{kind.title()} {thing}",
            f"req-{n // 3 + seed * 1_000_003:x}" if n % 3 == 0 else "",
            f"{kind.title()} {thing} was {verb} after {n % 97} s" if n % 3 == 1 else "",
            f'{{"path":"ui.{CHANNELS[n % 4]}.{thing % 50}","from":{n % 1000},"to":"value-{actor}"}}'
            if n % 10
            else "",
        )


def line(event: Event, id_: str = "") -> bytes:
    """An event as the daemon's socket takes it."""
    text = (
        f'{{"action":"{event.action}","category":"{event.category}","outcome":"{event.outcome}"'
        f',"channel":"{event.channel}","actor":{event.actor},"object_type":"{event.object_type}"'
        f',"object_id":"{event.object_id}","object_name":"{event.object_name}"'
    )
    if id_:
        text += f',"id":"{id_}"'
    if event.correlation_id:
        text += f',"correlation_id":"{event.correlation_id}"'
    if event.message:
        text += f',"message":"{event.message}"'
    if event.metadata:
        text += f',"metadata":{event.metadata}'
    return (text + "}\n").encode()


def xadd(event: Event, id_: str = "") -> bytes:
    """An event as an `XADD` to one stream, in Redis's own protocol."""
    words = ["XADD", "events", "*"]
    for name, value in zip(Event._fields, event, strict=True):
        if value:
            words += (name, value)
    if id_:
        words += ("id", id_)
    parts = [f"*{len(words)}\r\n"]
    parts += [f"${len(word)}\r\n{word}\r\n" for word in words]
    return "".join(parts).encode()
