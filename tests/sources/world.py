"""Real parts for tests of mDNS: the sources on a ledger, peers as processes, raw packets, hosts."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import random
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from collector.core.device import Device
from collector.sources.devices import Registry
from collector.sources.health import HealthSource, policy_of
from collector.sources.mdns import MdnsSource
from collector.sources.probes import Prober
from tests.sources.ledger import Ledger, until

ROOT = Path(__file__).resolve().parents[2]
CLONE_NEWNET = 0x40000000


@dataclass
class Mdns:
    types: tuple[str, ...] = ("*",)
    interfaces: tuple[str, ...] = ("127.0.0.1",)
    ip_version: str = "v4"
    ignore: tuple[str, ...] = ()


@dataclass
class Health:
    interval: float = 0.6
    timeout: float = 0.5
    retry_interval: float = 0.2
    failures: int = 3
    successes: int = 1
    concurrency: int = 24


@dataclass
class World:
    """Both sources, running."""

    ledger: Ledger
    registry: Registry
    mdns: MdnsSource
    health: HealthSource
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def device(self, name: str) -> Device:
        return next(one for one in self.registry.devices.values() if one.name == name)

    def knows(self, name: str) -> bool:
        return any(one.name == name for one in self.registry.devices.values())

    async def told(self, name: str, *what: str, within: float = 15.0) -> None:
        """Wait until exactly this was told of the device with this name."""
        await until(
            lambda: self.ledger.told(name) == list(what),
            within,
            f"{name}: {self.ledger.told(name)} instead of {list(what)}; {self.mdns.status()}",
        )


@contextlib.asynccontextmanager
async def world(
    mdns: Mdns, health: Health | None = None, *, grace: float = 2.0, ask_every: float = 180.0
) -> AsyncIterator[World]:
    """Run the sources, and see that they end cleanly when cancelled."""
    config = health or Health()
    ledger = Ledger()
    registry = Registry(
        ledger, wall=time.time, mono=time.monotonic, grace=grace, policy=policy_of(config)
    )
    source = MdnsSource(
        mdns, registry, mono=time.monotonic, random=random.Random(1), poll=0.3, ask_every=ask_every
    )
    prober = Prober(config.timeout, lambda: registry.networks(), source.resolve)
    vital = HealthSource(config, registry, prober, mono=time.monotonic, random=random.Random(2))
    result = World(ledger, registry, source, vital)
    result.tasks = [asyncio.create_task(source.run())]
    if health is not None:
        result.tasks.append(asyncio.create_task(vital.run()))
    try:
        await until(lambda: source.state == "listening", what="listening")
        yield result
    finally:
        for task in result.tasks:
            task.cancel()
        done, pending = await asyncio.wait(result.tasks, timeout=8.0)
        assert not pending, "a source did not end"
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error


class Peer:
    """A process that announces a service; `namespace` is a network namespace to run it in."""

    def __init__(
        self, type_: str, name: str, *txt: str, address: str = "127.0.0.1", port: int = 0,
        namespace: str | None = None,
    ) -> None:  # fmt: skip
        prefix = ["ip", "netns", "exec", namespace] if namespace else []
        command = [sys.executable, "-m", "tests.sources.peer", address, type_, name, str(port)]
        self.process = subprocess.Popen(
            [*prefix, *command, *txt],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        self.port = 0

    async def line(self) -> str:
        assert self.process.stdout is not None
        return await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), 20.0)

    async def ready(self) -> None:
        self.port = int((await self.line()).split()[1])

    async def do(self, *words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        assert await self.line() == "ok\n"

    async def quit(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("quit\n")
        self.process.stdin.flush()
        await asyncio.to_thread(self.process.wait, 20.0)
        self.end()

    def end(self) -> None:
        """As kill -9: without a goodbye."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def peer(*args: str, **options: object) -> Iterator[Peer]:
    made = Peer(*args, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.end()


def fresh_type() -> str:
    """A service type that nobody else on this machine uses at the same time."""
    return f"_t{uuid.uuid4().hex[:10]}._tcp.local."


# Raw packets


def encode(name: str | list[bytes]) -> bytes:
    labels = name if isinstance(name, list) else [p.encode() for p in name.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(
    name: str | list[bytes], type_: int, ttl: int, data: bytes, flush: bool = False
) -> bytes:
    return encode(name) + struct.pack("!HHIH", type_, 0x8001 if flush else 1, ttl, len(data)) + data


def response(*records: bytes) -> bytes:
    return struct.pack("!HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def service(
    type_: str, instance: bytes, *, host: str = "evil.local.", port: int = 1, txt: bytes = b"\0",
    addresses: tuple[str, ...] = ("127.0.0.1",), ttl: int = 4500,
) -> bytes:  # fmt: skip
    """One packet that announces a service; the instance is any bytes."""
    full = [instance, *(part.encode() for part in type_.rstrip(".").split("."))]
    pointer = record(type_, 12, ttl, encode(full))
    where = record(full, 33, ttl, struct.pack("!HHH", 0, 0, port) + encode(host))
    hosts = [record(host, 1, ttl, socket.inet_aton(one)) for one in addresses]
    return response(pointer, where, record(full, 16, ttl, txt), *hosts)


def shout(*packets: bytes, address: str = "127.0.0.1") -> None:
    """Multicast packets from an interface's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        sock.bind((address, 5353))
        for packet in packets:
            sock.sendto(packet, ("224.0.0.251", 5353))


# Two hosts


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Make this thread, and threads it starts, a process of the network namespace for a while."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert libc.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        yield
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(home)
        os.close(there)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces, 10.99.0.1 and 10.99.0.2, joined by a cable with a multicast route."""
    mark = uuid.uuid4().hex[:6]
    names = (f"ct-{mark}-a", f"ct-{mark}-b")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", f"va{mark}", "netns", names[0], "type", "veth",
           "peer", "name", f"vb{mark}", "netns", names[1])  # fmt: skip
        for number, (name, side) in enumerate(zip(names, "ab", strict=True), 1):
            inner = ("-n", name)
            link = f"v{side}{mark}"
            ip(*inner, "link", "set", link, "name", "lan0")
            ip(*inner, "addr", "add", f"10.99.0.{number}/24", "dev", "lan0")
            for one in ("lo", "lan0"):
                ip(*inner, "link", "set", one, "up")
            ip(*inner, "route", "add", "224.0.0.0/4", "dev", "lan0")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
