"""The screenshots of the documentation, made from a real daemon with real events.

    .venv/bin/python docs/screenshots.py

Starts a daemon in a temporary directory, bound to loopback and without mDNS; sends it three days of a
small home network's events over its socket; lets it check devices that listen, or do not, on ports of
its own; and takes each tab in both themes with Debian's Chromium.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import random
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.page.world import record
from tests.requirements import CHROMIUM_FLAGS
from tests.web.running import Running

OUT = Path(__file__).parent / "screenshots"
DEVICES = ("Printer", "NAS", "Thermostat", "Doorbell", "Speaker", "Hub", "Camera", "Weather")
DOWN = {"Camera"}
HEALTH = "[health]\ninterval = '10s'\ntimeout = '1s'\nretry_interval = '1s'"
NOW = dt.datetime.now(dt.UTC)
TABS = {
    "dashboard": "/",
    "activity": "/activity",
    "entry": "/activity",
    "devices": "/devices",
    "device": "/devices/config-doorbell",
    "changes": "/changes",
    "settings": "/settings",
}
PEOPLE: tuple[dict[str, Any], ...] = (
    {"type": "user", "id": "1", "name": "Ada"},
    {"type": "user", "id": "2", "name": "Grace"},
    {"type": "user", "id": "3", "name": "Linus"},
)


def main() -> None:
    """Make them all."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, listening() as port:
        daemon = Running(Path(folder), extra=config(port))
        settings = daemon.path / "config.toml"
        settings.write_text(settings.read_text().replace("[health]\nenabled = false", HEALTH))
        daemon.start()
        try:
            photograph(daemon)
        finally:
            daemon.stop()


def photograph(daemon: Running) -> None:
    """Tell the story, then take every tab in both themes."""
    record(daemon, story())
    with daemon.api() as api:
        made = api.post("/api/v1/keys", json={"label": "ada", "role": "admin"}).json()
    # Three failed checks, a second apart, make a device offline.
    time.sleep(6)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=list(CHROMIUM_FLAGS)
        )
        for scheme in ("light", "dark"):
            take(browser, daemon, made["secret"], scheme)
        browser.close()


def take(browser: Browser, daemon: Running, secret: str, scheme: Any) -> None:
    """Every tab, at a desk; the first two on a phone as well."""
    for size, (width, height) in {"": (1280, 860), "-phone": (390, 844)}.items():
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
        )
        session = f"{daemon.url}/api/v1/session"
        context.request.post(session, data={"key": secret}, headers={"Origin": daemon.url})
        page = context.new_page()
        for name, address in TABS.items():
            if size and name not in ("dashboard", "activity"):
                continue
            page.goto(daemon.url + address)
            page.wait_for_timeout(1200)
            if name == "entry":
                page.locator(".line", has_text="paint").first.click()
                page.wait_for_timeout(500)
            page.screenshot(path=OUT / f"{name}{size}-{scheme}.png")
        context.close()


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """A port on loopback where every device that is up answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        yield server.getsockname()[1]


def config(port: int) -> str:
    """The daemon's devices and what it audits."""
    text = "[[resources]]\nslug = 'rooms'\nobject_type = 'room'\naudit = true\n"
    text += "labels = { name = 'Name', colour = 'Colour', heating = 'Heating', owner = 'Owner' }\n"
    for name in DEVICES:
        check = f"tcp://127.0.0.1:{9 if name in DOWN else port}"
        text += f"[[devices]]\nname = '{name}'\naddress = '127.0.0.1'\ncheck = '{check}'\n"
    return text


def story() -> list[dict[str, Any]]:
    """Three days, oldest first."""
    chance = random.Random(5)
    told = [at for hour in range(72, 0, -1) for at in hourly(hour, chance)]
    for name in DEVICES:
        told += health(name, chance)
    told.sort(key=lambda draft: draft["occurred_at"])
    return told + latest()


def hourly(hour: int, chance: random.Random) -> list[dict[str, Any]]:
    """What happens in an hour: more by day than by night."""
    busy = 3 + 9 * (7 <= (NOW - dt.timedelta(hours=hour)).hour <= 21)
    kinds = (
        {"action": "session.login", "category": "auth"},
        {"action": "session.login", "category": "auth", "outcome": "failure"},
        {"action": "scene.started", "category": "entity", "object_type": "scene",
         "object_name": "Evening"},
        {"action": "photo.uploaded", "category": "capture", "object_type": "photo",
         "object_name": "IMG_2041"},
        {"action": "backup.completed", "object_type": "backup", "object_id": "nightly",
         "mode": "cron"},
        {"action": "door.opened", "category": "capture", "object_type": "door",
         "object_name": "front"},
    )  # fmt: skip
    weights = (6, 1, 5, 8, 1, 6)
    made = []
    for _ in range(chance.randrange(busy)):
        kind = chance.choices(kinds, weights)[0]
        at = NOW - dt.timedelta(hours=hour, minutes=-chance.randrange(59))
        made.append({**kind, "actor": chance.choice(PEOPLE), "occurred_at": at.isoformat()})
    return made


def health(name: str, chance: random.Random) -> list[dict[str, Any]]:
    """A device's ups and downs of the last days."""

    def moved(hours: float, before: str, after: str) -> dict[str, Any]:
        return {
            "action": "device.health_changed", "category": "device", "object_type": "device",
            "object_id": f"config-{name.lower()}", "object_name": name,
            "severity": "warning" if after == "offline" else "info",
            "occurred_at": (NOW - dt.timedelta(hours=hours)).isoformat(),
            "metadata": {"from": before, "to": after, "reason": "timeout", "attempts": 3},
        }  # fmt: skip

    changes = [
        moved(71.0, "unknown", "online"),
        # Known in the whole window that the page shows, as a device of some weeks would be.
        moved(24.2, "online", "suspect"),
        moved(24.1, "suspect", "online"),
        moved(23.9, "online", "suspect"),
        moved(23.8, "suspect", "online"),
    ]
    for _ in range(chance.choice((0, 0, 1, 2))):
        at = chance.uniform(4, 22)
        changes += [moved(at, "online", "offline"), moved(at - 1.5, "offline", "online")]
    if name in DOWN:
        changes.append(moved(2.2, "online", "offline"))
    if name == "Doorbell":
        for at in range(6):
            before, after = ("online", "offline") if at % 2 == 0 else ("offline", "online")
            changes.append(moved(0.7 - at * 0.02, before, after))
    return changes


def latest() -> list[dict[str, Any]]:
    """The last minutes: a transaction, a refusal, a change of settings."""
    room = {"object_type": "room", "object_id": "kitchen", "object_name": "Kitchen"}
    states = (
        {"name": "Kitchen", "colour": "white", "heating": 19.5, "owner": "Ada"},
        {"name": "Kitchen", "colour": "sage", "heating": 20.5, "owner": "Ada"},
        {"name": "Kitchen", "colour": "sage", "heating": 21, "owner": "Grace"},
    )
    made: list[dict[str, Any]] = [
        {"action": "room.created" if at == 0 else "room.updated", "category": "entity",
         "actor": PEOPLE[at], **room, "record": state, "correlation_id": "paint-2026"}
        for at, state in enumerate(states)
    ]  # fmt: skip
    made[1]["message"] = "Grace had the kitchen painted: white → sage"
    return [
        *made,
        {"action": "settings.updated", "actor": PEOPLE[0], "object_type": "settings",
         "object_id": "global", "metadata": {"path": "ui.theme", "from": "light", "to": "dark"}},
        {"action": "person.deleted", "category": "entity", "outcome": "denied", "actor": PEOPLE[2],
         "object_type": "person", "object_name": "Eve", "metadata": {"required": "admin"}},
        {"action": "disk.failed", "severity": "error", "object_type": "disk", "object_id": "sda"},
    ]  # fmt: skip


if __name__ == "__main__":
    main()
