"""A recorder in memory: our own protocol, for tests of what sources hand in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from collector.event import Draft, Producer, Receipt


class Ledger:
    """Keeps drafts and rows; `refuse` makes the next records fail with that code."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.sources: list[str] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.refuse: str | None = None
        self.saves = 0

    def record(
        self,
        draft: Draft,
        *,
        source: str,
        producer: Producer | None = None,
        devices: tuple[dict[str, Any], ...] = (),
    ) -> Receipt:
        if self.refuse is not None:
            retry = self.refuse == "storage_full"
            return Receipt(ok=False, id="00000000-0000-7000-8000-000000000001",
                           code=self.refuse, error="refused", retry=retry)  # fmt: skip
        self.drafts.append(draft)
        self.sources.append(source)
        for row in devices:
            self.rows[row["id"]] = row
        return Receipt(ok=True, seq=len(self.drafts), id=f"id-{len(self.drafts)}")

    def save_devices(self, devices: tuple[dict[str, Any], ...]) -> bool:
        self.saves += 1
        for row in devices:
            self.rows[row["id"]] = row
        return True

    def actions(self, *prefixes: str) -> list[str]:
        """The actions recorded, or those that begin with a prefix."""
        found = [draft.action for draft in self.drafts]
        return [one for one in found if not prefixes or one.startswith(prefixes)]

    def told(self, name: str) -> list[str]:
        """What was told of the device with this name, health with the state it went to."""
        return [
            f"{draft.action.partition('.')[2]}:{(draft.metadata or {}).get('to')}"
            if draft.action == "device.health_changed"
            else draft.action.partition(".")[2]
            for draft in self.drafts
            if draft.object_name == name
        ]


async def until(condition: Callable[[], bool], seconds: float = 10.0, what: str = "") -> None:
    """Wait for a condition under a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        await asyncio.sleep(0.02)
