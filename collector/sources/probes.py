"""Probes: does a device take a connection, answer a request, or still resolve?

A TCP probe connects and closes, without a byte. An HTTP probe asks for the configured path and takes
any status below 500 for an answer: a page that wants a password is alive. Certificates are not
verified: the question is whether it lives, not who it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from msgspec import Struct

from collector.core import checks
from collector.core.checks import Check, Net
from collector.core.device import Device
from collector.errors import InvalidEvent

STATUS_LINE_MAX: Final = 1024
"""Bytes read of an answer."""

Resolver: TypeAlias = Callable[[Device, float], Awaitable[bool | None]]
"""Whether a device still answers by name within a time (seconds); None where we cannot ask."""


class Outcome(Struct, frozen=True):
    """`ok` None: it could not be asked, which says nothing. `reason` tells a failure to people."""

    ok: bool | None
    reason: str | None = None


async def tcp(address: str, port: int, timeout: float) -> Outcome:
    """Connect to an address or host name within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            await _connect(address, port)
    except TimeoutError:
        return Outcome(False, "timeout")
    except (OSError, ValueError) as error:
        return Outcome(False, _reason(error))
    return Outcome(True)


async def _connect(address: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    family, sockaddr = await _sockaddr(address, port)
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, sockaddr)


async def _sockaddr(address: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """Addresses are taken as they are, without a thread; only host names are looked up."""
    host, _, zone = address.partition("%")
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        return found[0][0], tuple(found[0][4])
    if version == 4:
        return socket.AF_INET, (host, port)
    scope = 0 if not zone else int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    return socket.AF_INET6, (host, port, 0, scope)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or 'failed'}"
    if isinstance(error, socket.gaierror):
        return "name not found"
    if isinstance(error, asyncio.IncompleteReadError):
        return "closed without an answer"
    if isinstance(error, asyncio.LimitOverrunError):
        return "not http"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()  # asyncio's own text repeats the address
    return type(error).__name__


async def http(check: Check, timeout: float) -> Outcome:
    """Ask for the check's path within `timeout` seconds; a status below 500 is an answer."""
    try:
        async with asyncio.timeout(timeout):
            line = await _status_line(check)
    except TimeoutError:
        return Outcome(False, "timeout")
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        return Outcome(False, _reason(error))
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit():
        return Outcome(False, "not http")
    status = int(parts[1])
    return Outcome(True) if status < 500 else Outcome(False, f"http {status}")


async def _status_line(check: Check) -> bytes:
    tls = _any_certificate() if check.kind == "https" else None
    reader, writer = await asyncio.open_connection(
        check.host, check.port, ssl=tls, limit=STATUS_LINE_MAX
    )
    try:
        host = f"[{check.host}]" if ":" in check.host else check.host
        request = f"GET {check.path} HTTP/1.1\r\nHost: {host}:{check.port}\r\n"
        request += "User-Agent: collector\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        writer.write(request.encode("ascii", "replace"))
        await writer.drain()
        return await reader.readuntil(b"\n")
    finally:
        writer.transport.abort()
        with contextlib.suppress(Exception):
            await writer.wait_closed()


def _any_certificate() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Prober:
    """Asks one device the best question there is for it."""

    def __init__(
        self, timeout: float, networks: Callable[[], list[Net]], resolve: Resolver | None = None
    ) -> None:
        self.timeout = timeout
        self._networks = networks
        self._resolve = resolve

    async def probe(self, device: Device) -> Outcome:
        """Never raises but for cancellation."""
        if device.origin == "config":
            return await self._configured(device)
        addresses = checks.reachable(device, self._networks())
        ports = checks.ports(device)
        if not addresses or not ports:
            return await self._resolved(device)
        first = await self._any([(address, ports[0]) for address in addresses])
        if first.ok or len(ports) == 1:
            return first
        others = [(addresses[0], port) for port in ports[1:]]
        return first if not (await self._any(others)).ok else Outcome(True)

    async def _configured(self, device: Device) -> Outcome:
        if not device.check:
            return Outcome(None)
        try:
            check = checks.parse_check(device.check)
        except InvalidEvent as error:
            return Outcome(None, str(error))
        if check.kind == "tcp":
            return await tcp(check.host, check.port, self.timeout)
        return await http(check, self.timeout)

    async def _resolved(self, device: Device) -> Outcome:
        if self._resolve is None:
            return Outcome(None)
        ok = await self._resolve(device, self.timeout)
        return Outcome(ok, None if ok else "does not resolve")

    async def _any(self, targets: list[tuple[str, int]]) -> Outcome:
        """One success is enough; all are tried at once. The first one's reason stands for all."""
        outcomes = await asyncio.gather(
            *(tcp(address, port, self.timeout) for address, port in targets)
        )
        return next((one for one in outcomes if one.ok), outcomes[0])
