"""A real daemon without sockets, its HTTP application, and clients of each role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.config import Config
from collector.core.control import Caller, Role
from collector.daemon import Daemon
from collector.event import Draft, Principal, Producer, Receipt
from collector.journal.reader import Reader
from collector.web.gate import Gate
from collector.web.identity import PEER_KEY
from collector.web.serving import gated

BOSS = Caller(Producer(assurance="internal"), Principal(type="user", id="0"), True, "collector")
LOOPBACK = ("127.0.0.1", 40_000)


class House:
    """A daemon and what tests do with it."""

    def __init__(self, daemon: Daemon, reader: Reader, gate: Gate) -> None:
        self.daemon, self.reader, self.gate = daemon, reader, gate

    def key(self, role: Role, tenant: str | None = None, label: str | None = None) -> str:
        """A new key's secret."""
        label = label or f"{role}-{tenant or 'all'}-{len(self.daemon.control.keys())}"
        return self.daemon.control.add_key(label, role, tenant, BOSS)

    def client(
        self,
        key: str | None = None,
        *,
        address: tuple[str, int] = LOOPBACK,
        base: str = "http://localhost",
        headers: dict[str, str] | None = None,
        peer: Producer | None = None,
    ) -> httpx.AsyncClient:
        """A client of the application, without a socket between them."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if peer is not None:
                scope[PEER_KEY] = peer
            await self.gate(scope, receive, send)

        bearer = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app, client=address),
            base_url=base,
            headers={**bearer, **(headers or {})},
        )

    def admin(self) -> httpx.AsyncClient:
        """A client with a new admin key."""
        return self.client(self.key("admin"))

    def record(self, action: str = "thing.done", **fields: Any) -> Receipt:
        """One event, from the inside."""
        return self.daemon.intake.record(Draft(action=action, **fields), source="queue")

    async def actions(self) -> list[str]:
        """Every action in the journal, oldest first."""
        rows = await self.reader.fetch("SELECT action FROM entries ORDER BY seq")
        return [row[0] for row in rows]


@asynccontextmanager
async def house_at(path: Path, **config: Any) -> AsyncIterator[House]:
    """A daemon that listens nowhere, with this configuration on top."""
    quiet: dict[str, Any] = {
        "storage": {"path": str(path / "events.db")},
        "sources": {"unix": {"enabled": False}, "mdns": {"enabled": False}},
        "health": {"enabled": False},
    }
    web = {"enabled": False, **config.pop("web", {})}
    daemon = Daemon(Config.from_mapping({**quiet, **config, "web": web}, environ={}))
    await daemon.start()
    try:
        async with Reader.open(daemon.path) as reader:
            gate = gated(
                daemon.config,
                daemon.control,
                reader,
                daemon.intake,
                daemon.hub,
                is_admin=lambda peer: peer.uid == 0,
                wall=daemon.wall,
            )
            yield House(daemon, reader, gate)
    finally:
        await daemon.stop()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house with the default configuration."""
    async with house_at(tmp_path) as made:
        yield made


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for a condition under a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition, not an event
            await asyncio.sleep(0.005)
