"""Health against real sockets: ports close and open, and our own faults are not theirs."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from collector.core.checks import parse_check
from collector.core.device import Device, Service, to_row
from collector.sources.devices import Registry
from collector.sources.health import HealthSource, policy_of
from collector.sources.probes import Outcome, Prober, http, tcp
from tests.sources.ledger import Ledger, until
from tests.sources.world import Health

pytestmark = pytest.mark.anyio

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]


@dataclass
class Table:
    name: str
    address: str | None
    check: str | None


class Server:
    """A TCP server on loopback that can be closed and opened on one port."""

    def __init__(self, answer: bytes = b"") -> None:
        self.port = 0
        self.requests: list[bytes] = []
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            self.requests.append(await reader.read(1000))
            writer.write(self._answer)
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(answer: bytes = b"") -> AsyncIterator[Server]:
    server = Server(answer)
    await server.open()
    try:
        yield server
    finally:
        await server.close()


@contextlib.asynccontextmanager
async def watching(
    *tables: Table, config: Health | None = None, rows: list[dict[str, object]] | None = None,
    prober: Prober | None = None,
) -> AsyncIterator[tuple[Ledger, Registry, HealthSource]]:  # fmt: skip
    config = config or Health()
    ledger = Ledger()
    registry = Registry(
        ledger, wall=time.time, mono=time.monotonic, policy=policy_of(config), new_journal=True
    )
    registry.load(rows or [])
    registry.configure(tables)
    prober = prober or Prober(config.timeout, lambda: list(LOOPBACK))
    source = HealthSource(config, registry, prober, mono=time.monotonic, random=random.Random(3))
    task = asyncio.create_task(source.run())
    try:
        yield ledger, registry, source
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=5.0)
        assert task.cancelled()


async def test_a_port_is_seen_to_close_and_to_open_again() -> None:
    async with serving() as server:
        table = Table("NAS", "127.0.0.1", f"tcp://127.0.0.1:{server.port}")
        async with watching(table) as (ledger, _, _):
            await until(lambda: len(ledger.told("NAS")) == 2)
            await server.close()
            await until(lambda: len(ledger.told("NAS")) == 4)
            await server.open()
            await until(lambda: len(ledger.told("NAS")) == 5)
            assert ledger.told("NAS") == [
                "discovered",
                "health_changed:online",
                "health_changed:suspect",
                "health_changed:offline",
                "health_changed:online",
            ]
            offline = ledger.drafts[3].metadata
            assert offline == {
                "from": "suspect", "to": "offline", "reason": "connection refused", "attempts": 3
            }  # fmt: skip
            assert ledger.rows["config-nas"]["state"] == "online"


async def test_a_configured_device_is_initial_in_a_new_journal() -> None:
    async with watching(Table("X", None, None)) as (ledger, registry, _):
        assert ledger.drafts[0].metadata is not None
        assert ledger.drafts[0].metadata["initial"] is True
        await asyncio.sleep(0.3)
        assert registry.devices["config-x"].state == "unknown", "without a check nothing is claimed"


async def test_a_restart_of_ours_tells_nothing_where_nothing_changed() -> None:
    async with serving() as server:
        table = Table("NAS", "127.0.0.1", f"tcp://127.0.0.1:{server.port}")
        async with watching(table) as (ledger, _, _):
            await until(lambda: len(ledger.told("NAS")) == 2)
        rows = list(ledger.rows.values())
        async with watching(table, rows=rows) as (again, registry, source):
            await until(lambda: registry.devices["config-nas"].state == "online")
            await until(lambda: source.sweeps > 0)
            assert again.drafts == []


async def test_a_device_that_was_offline_before_a_restart_stays_so_quietly() -> None:
    device = Device(id="config-x", name="X", origin="config", check="tcp://127.0.0.1:1")
    device.addresses, device.reported = ["127.0.0.1"], "offline"
    table = Table("X", "127.0.0.1", "tcp://127.0.0.1:1")
    async with watching(table, rows=[to_row(device)]) as (ledger, registry, _):
        await until(lambda: registry.devices["config-x"].state == "offline")
        assert ledger.drafts == []


async def test_a_removed_table_is_lost_and_its_return_is_told() -> None:
    async with watching(Table("X", None, None)) as (ledger, registry, _):
        registry.configure([])
        registry.configure([Table("X", None, None)])
        assert ledger.told("X") == ["discovered", "lost", "discovered"]


async def test_half_of_the_devices_failing_at_once_is_our_fault() -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving()) for _ in range(4)]
        tables = [
            Table(f"D{n}", None, f"tcp://127.0.0.1:{one.port}") for n, one in enumerate(servers)
        ]
        async with watching(*tables) as (ledger, registry, source):
            await until(lambda: len(ledger.drafts) == 8)
            for server in servers:
                await server.close()
            await until(lambda: not source.sight.clear)
            assert ledger.actions()[8:] == ["network.unobservable"]
            assert all(device.unobservable for device in registry.devices.values())
            assert registry.discovery.blind
            sweeps = source.sweeps
            await until(lambda: source.sweeps >= sweeps + 3)
            assert len(ledger.drafts) == 9, "told once, every counter frozen"
            assert {device.state for device in registry.devices.values()} == {"online"}
            for server in servers:
                await server.open()
            await until(lambda: source.sight.clear)
            assert ledger.actions()[8:] == ["network.unobservable", "network.restored"]
            assert not any(device.unobservable for device in registry.devices.values())


async def test_a_stalled_loop_is_not_held_against_a_device() -> None:
    """The probe fails while the loop stands still: our fault, told as such, and nobody is suspect."""

    class Stalling(Prober):
        stall = False

        async def probe(self, device: Device) -> Outcome:
            if not self.stall:
                return Outcome(True)
            self.stall = False
            time.sleep(1.6)  # noqa: ASYNC251 - the stall itself
            await asyncio.sleep(0.3)
            return Outcome(False, "timeout")

    prober = Stalling(0.5, list)
    async with watching(Table("X", None, "tcp://x:1"), prober=prober) as (ledger, registry, source):
        await until(lambda: len(ledger.drafts) == 2)
        prober.stall = True
        await until(lambda: source.stalls > 0)
        await until(lambda: source.sight.clear and ledger.actions()[-1] == "network.restored")
        assert ledger.actions()[2:] == ["network.unobservable", "network.restored"]
        assert ledger.drafts[2].metadata is not None
        assert ledger.drafts[2].metadata["reason"] == "stalled"
        assert registry.devices["config-x"].state == "online"


async def test_a_first_probe_that_failed_in_a_stall_says_nothing() -> None:
    class Once(Prober):
        asked = 0

        async def probe(self, device: Device) -> Outcome:
            self.asked += 1
            if self.asked > 1:
                return Outcome(True)
            await asyncio.sleep(0)
            time.sleep(1.6)  # noqa: ASYNC251 - the stall itself
            await asyncio.sleep(0.3)
            return Outcome(False, "timeout")

    async with watching(Table("X", None, "tcp://x:1"), prober=Once(0.5, list)) as (ledger, _, _):
        await until(lambda: len(ledger.told("X")) == 2)
        assert ledger.told("X") == ["discovered", "health_changed:online"]


async def test_ignored_and_maintained_devices_are_left_alone() -> None:
    async with serving() as server:
        table = Table("NAS", None, f"tcp://127.0.0.1:{server.port}")
        async with watching(table) as (ledger, registry, source):
            await until(lambda: len(ledger.told("NAS")) == 2)
            registry.patch("config-nas", maintenance_until=time.time() + 1.0)
            await until(lambda: registry.devices["config-nas"].state == "unknown")
            probes = source.probes
            await asyncio.sleep(0.4)
            assert source.probes <= probes + 1
            await until(lambda: registry.devices["config-nas"].state == "online", 5)
            assert ledger.told("NAS") == ["discovered", "health_changed:online", "updated"]


async def test_at_most_so_many_probes_at_once() -> None:
    running = most = 0

    class Counting(Prober):
        async def probe(self, device: Device) -> Outcome:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.02)
            running -= 1
            return Outcome(True)

    tables = [Table(f"D{n}", None, "tcp://x:1") for n in range(60)]
    config = Health(concurrency=7)
    async with watching(*tables, config=config, prober=Counting(1, list)) as (_, registry, _):
        await until(lambda: all(d.state == "online" for d in registry.devices.values()))
    assert most == 7


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Outcome(True)),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", Outcome(True)),
        (b"HTTP/1.1 503 Busy\r\n\r\n", Outcome(False, "http 503")),
        (b"SSH-2.0-x\r\n", Outcome(False, "not http")),
        (b"x" * 5000, Outcome(False, "not http")),
        (b"", Outcome(False, "closed without an answer")),
    ],
)
async def test_an_http_check_asks_for_its_path(answer: bytes, expected: Outcome) -> None:
    async with serving(answer) as server:
        check = parse_check(f"http://127.0.0.1:{server.port}/state?x=1")
        assert await http(check, 2.0) == expected
        assert server.requests[0].startswith(b"GET /state?x=1 HTTP/1.1\r\n")


async def test_a_tcp_check_sends_no_byte() -> None:
    async with serving() as server:
        assert await tcp("127.0.0.1", server.port, 2.0) == Outcome(True)
        await until(lambda: server.requests == [b""])


async def test_an_advertised_address_that_is_not_ours_is_never_tried() -> None:
    """A lying device cannot make this machine connect to loopback or to the wide world."""
    async with serving() as server:
        service = Service(type="_http._tcp", instance="Liar", port=server.port)
        liar = Device(id="x", name="Liar", services=[service], addresses=["127.0.0.1", "8.8.8.8"])
        prober = Prober(1.0, list)
        assert await prober.probe(liar) == Outcome(None)
        assert server.requests == []


async def test_one_of_several_ports_that_answers_is_enough() -> None:
    async with serving() as server:
        services = [
            Service(type="_http._tcp", instance="a", port=1),
            Service(type="_ssh._tcp", instance="a", port=server.port),
        ]
        device = Device(id="x", name="x", services=services, addresses=["127.0.0.1"])
        assert (await Prober(1.0, lambda: list(LOOPBACK)).probe(device)).ok
