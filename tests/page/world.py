"""What happened in the world that the page shows: a small home network, and somebody hostile."""

from __future__ import annotations

import datetime as dt
from typing import Any

from tests.web.running import Running

CONFIG = """
[[devices]]
name = "lamp"
address = "127.0.0.1"
check = "tcp://127.0.0.1:9"
[[devices]]
name = "Printer"
address = "127.0.0.1"
check = "tcp://127.0.0.1:10"
[[resources]]
slug = "categories"
object_type = "category"
audit = true
labels = { name = "Name of it", color = "Colour" }
"""
MARKUP = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
ADA = {"type": "user", "id": "7", "name": "Ada"}


def fill(daemon: Running) -> None:
    """Send everything, and make the keys; their secrets become `daemon.admin`, `daemon.viewer`."""
    record(daemon, [*_plain(), *_changes(), *_hostile(), *_flapping(), *_device()])
    with daemon.api() as api:
        for role in ("admin", "viewer", "producer"):
            made = api.post("/api/v1/keys", json={"label": f"{role}-key", "role": role})
            assert made.status_code in (200, 201), made.text
            setattr(daemon, role, made.json()["secret"])


def record(daemon: Running, drafts: list[dict[str, Any]]) -> list[int]:
    """Send drafts as the user who runs the tests; their seqs."""
    with daemon.api() as api:
        answer = api.post("/api/v1/events", json=drafts)
    assert answer.status_code < 300, answer.text
    replies = answer.json()["replies"]
    assert all(reply["ok"] for reply in replies), replies
    return [reply["seq"] for reply in replies]


def ago(**span: float) -> str:
    """A moment before now, as drafts have it."""
    return (dt.datetime.now(dt.UTC) - dt.timedelta(**span)).isoformat()


def _plain() -> list[dict[str, Any]]:
    return [
        {"action": "backup.completed", "object_type": "backup", "object_id": "nightly",
         "correlation_id": "night-1", "occurred_at": ago(days=2)},
        {"action": "backup.verified", "object_type": "backup", "object_id": "nightly",
         "correlation_id": "night-1", "actor": ADA, "occurred_at": ago(days=2)},
        {"action": "session.login", "category": "auth", "actor": ADA, "ip": "192.0.2.7"},
        {"action": "person.deleted", "category": "entity", "outcome": "denied", "actor": "user:bob",
         "object_type": "person", "object_id": "9", "object_name": "Eve",
         "metadata": {"required": "admin"}},
        {"action": "disk.failed", "severity": "error", "object_type": "disk", "object_id": "sda"},
        {"action": "retention.updated", "actor": ADA, "object_type": "retention",
         "metadata": {"from": 90, "to": 30}},
    ]  # fmt: skip


def _changes() -> list[dict[str, Any]]:
    def state(name: str, color: str) -> dict[str, Any]:
        return {"action": "category.updated", "category": "entity", "actor": ADA,
                "object_type": "category", "object_id": "c1", "object_name": "Tools",
                "record": {"name": name, "color": color}}  # fmt: skip

    return [state("Tools", "red"), state("Tools", "blue")]


def _hostile() -> list[dict[str, Any]]:
    who = {"type": "user", "id": MARKUP, "name": MARKUP, "role": MARKUP, "email": MARKUP}
    draft: dict[str, Any] = {
        "action": "evil.done", "category": "capture", "actor": who, "on_behalf_of": who,
        "target": {"type": MARKUP, "id": MARKUP, "name": MARKUP},
        "object_type": MARKUP, "object_id": MARKUP, "object_name": f"{MARKUP}\u202e\x1b[31m",
        "channel": MARKUP[:50].lower(), "mode": MARKUP[:20], "correlation_id": MARKUP,
        "metadata": {MARKUP: MARKUP, "deep": {MARKUP: [MARKUP]}},
    }  # fmt: skip
    record = {"name": MARKUP, "color": {MARKUP: MARKUP}, MARKUP: MARKUP}
    changed = {"action": "category.created", "object_type": "category", "object_id": MARKUP,
               "object_name": MARKUP, "record": record}  # fmt: skip
    return [draft, {**draft, "message": MARKUP}, changed]


def _flapping() -> list[dict[str, Any]]:
    states = ["online", "offline"] * 3
    return [
        {"action": "device.health_changed", "category": "device", "object_type": "device",
         "object_id": "fridge", "object_name": "Fridge", "occurred_at": ago(minutes=9 - at),
         "metadata": {"from": states[at - 1], "to": states[at], "attempts": 3}}
        for at in range(1, 6)
    ]  # fmt: skip


def _device() -> list[dict[str, Any]]:
    moved = [("unknown", "online", 20.0), ("online", "offline", 5.0)]
    return [
        {"action": "device.health_changed", "category": "device", "object_type": "device",
         "object_id": "config-lamp", "object_name": "Lamp",
         "occurred_at": ago(hours=hours), "metadata": {"from": before, "to": after, "attempts": 3}}
        for before, after, hours in moved
    ]  # fmt: skip
