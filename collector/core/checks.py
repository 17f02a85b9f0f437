"""What to ask a device in order to know that it lives: a configured check, or an advertised port.

Of an advertised device only its TCP ports are tried, with no byte sent: an advertised HTTP path
would let a stranger make this machine request anything of anybody. Nor is every advertised address
tried, since it may be a lie that points at somebody else: only those on a link of ours, and those
of private networks.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from collector.core.device import Device, Service
from collector.errors import InvalidEvent

Net: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

SILENT_TYPES: Final = frozenset({"_pdl-datastream._tcp", "_printer._tcp", "_scanner._tcp"})
"""A connection to these can make a printer print or wake."""
GENTLE_TYPES: Final = (
    "_http._tcp",
    "_https._tcp",
    "_ipp._tcp",
    "_ipps._tcp",
    "_esphomelib._tcp",
    "_hap._tcp",
    "_airplay._tcp",
    "_googlecast._tcp",
    "_ssh._tcp",
)
"""Types that take a connection lightly, best first; others come after them."""
PORTS_MAX: Final = 3
ADDRESSES_TRIED: Final = 2
DISCARD: Final = 9
"""The port of `_workstation._tcp`, where nothing listens."""


class Check(Struct, frozen=True):
    """A configured check."""

    kind: Literal["tcp", "http", "https"]
    host: str
    port: int
    path: str = "/"


def parse_check(text: str) -> Check:
    """`tcp://host:port` or `http(s)://host[:port][/path]`. Raises `InvalidEvent` for others."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidEvent(f"check {text!r}: {error}") from None
    if not parts.hostname or parts.scheme not in ("tcp", "http", "https"):
        raise InvalidEvent(f"check {text!r} is not tcp://host:port or http(s)://host/path")
    if parts.scheme == "tcp":
        if not port:
            raise InvalidEvent(f"check {text!r} needs a port")
        return Check("tcp", parts.hostname, port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http":
        return Check("http", parts.hostname, port or 80, path)
    return Check("https", parts.hostname, port or 443, path)


def ports(device: Device) -> list[int]:
    """Advertised TCP ports worth trying, the gentlest first, at most `PORTS_MAX`."""
    found = [
        service.port
        for service in sorted(device.services, key=_gentleness)
        if service.type.endswith("._tcp")
        and service.type not in SILENT_TYPES
        and service.port not in (None, DISCARD)
    ]
    return [port for port in dict.fromkeys(found) if port is not None][:PORTS_MAX]


def _gentleness(service: Service) -> tuple[bool, int, tuple[str, str]]:
    gentle = service.type in GENTLE_TYPES
    rank = GENTLE_TYPES.index(service.type) if gentle else len(GENTLE_TYPES)
    return not service.present, rank, service.key


def reachable(device: Device, networks: Iterable[Net]) -> list[str]:
    """The addresses worth trying, at most `ADDRESSES_TRIED`: on a network of ours, or private."""
    ours = list(networks)
    return [text for text in device.addresses if _is_near(text, ours)][:ADDRESSES_TRIED]


def _is_near(text: str, networks: list[Net]) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if any(address.version == net.version and address in net for net in networks):
        return True
    return address.is_private and not address.is_loopback and not address.is_unspecified


def shown(device: Device, networks: Iterable[Net]) -> str | None:
    """How the device is checked, for people: `tcp://10.0.0.5:80`, `resolve`, None for not at all."""
    if device.origin == "config":
        return device.check
    addresses, numbers = reachable(device, networks), ports(device)
    if addresses and numbers:
        host = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        return f"tcp://{host}:{numbers[0]}"
    return "resolve" if device.services else None
