"""Which network interfaces mDNS listens on, and the networks they lead to.

Without a list: every interface that is up and can multicast, but not loopback, not docker's and
other container bridges, not veth. A bridge with a physical port is the machine's own connection to
its network and stays. With a list of names or addresses: those, whatever they are.
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import ifaddr
from msgspec import Struct

from collector.core.checks import Net

Choice: TypeAlias = str | int
"""What zeroconf takes: an IPv4 address, or the index of an interface for IPv6."""

SYSFS: Final = Path("/sys/class/net")
SKIPPED: Final = ("docker", "br-", "veth", "virbr", "lxcbr", "lxdbr", "podman", "cni", "flannel")
IF_INET6: Final = Path("/proc/thread-self/net/if_inet6")
_IFA_F_TENTATIVE: Final = 0x40
_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP, _IFF_LOOPBACK, _IFF_MULTICAST = 0x1, 0x8, 0x1000


class Interface(Struct, frozen=True):
    """One interface with its addresses as `(text, prefix length)`, IPv6 without its zone.

    `flags` are the kernel's (`IFF_…`).
    """

    name: str
    index: int
    addresses: tuple[tuple[str, int], ...]
    flags: int = 0


def system_interfaces() -> list[Interface]:
    """The machine's interfaces with the addresses they can use now."""
    found = []
    waiting = _tentative()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for adapter in ifaddr.get_adapters():
            texts = [(ip.ip if ip.is_IPv4 else ip.ip[0], ip.network_prefix) for ip in adapter.ips]
            pairs = tuple(
                (str(text).partition("%")[0], prefix)
                for text, prefix in texts
                if ":" not in str(text) or adapter.name not in waiting
            )
            flags = _flags(sock, adapter.name)
            found.append(Interface(adapter.name, adapter.index or 0, pairs, flags))
    return found


def _tentative() -> set[str]:
    """Interfaces with an IPv6 address that is still checked for duplicates and cannot be bound."""
    try:
        lines = IF_INET6.read_text().splitlines()
    except OSError:
        return set()
    parts = [line.split() for line in lines]
    return {one[5] for one in parts if len(one) == 6 and int(one[4], 16) & _IFA_F_TENTATIVE}


def _flags(sock: socket.socket, name: str) -> int:
    """By ioctl, since a container's or namespace's `/sys` may show another one's interfaces."""
    request = struct.pack("16sH14x", name.encode("utf-8", "surrogateescape")[:15], 0)
    try:
        answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
    except OSError:
        return 0
    return int(struct.unpack("16sH14x", answer)[1])


def chosen(
    interfaces: Iterable[Interface], wanted: Sequence[str], sysfs: Path = SYSFS
) -> list[Interface]:
    """The interfaces to use; a wanted address keeps only itself of its interface."""
    if not wanted:
        return [one for one in interfaces if _is_lan(one, sysfs)]
    found = []
    for one in interfaces:
        if one.name in wanted:
            found.append(one)
            continue
        named = tuple(pair for pair in one.addresses if _same(pair[0], wanted))
        if named:
            found.append(Interface(one.name, one.index, named, one.flags))
    return found


def missing(interfaces: Iterable[Interface], wanted: Sequence[str]) -> list[str]:
    """Those names and addresses of `wanted` that no interface has."""
    there = list(interfaces)
    return [name for name in wanted if not chosen(there, [name])]


def _same(text: str, wanted: Sequence[str]) -> bool:
    return any(text.lower() == other.partition("%")[0].lower() for other in wanted)


def _is_lan(one: Interface, sysfs: Path) -> bool:
    """Up, able to multicast, not loopback, and none of those that lead to this machine only."""
    if not one.flags & _IFF_UP or not one.flags & _IFF_MULTICAST or one.flags & _IFF_LOOPBACK:
        return False
    name = one.name
    if name.startswith(SKIPPED):
        return False
    if (sysfs / name / "bridge").exists():
        return any((port / "device").exists() for port in _ports(sysfs / name))
    return True


def _ports(bridge: Path) -> list[Path]:
    try:
        return [bridge.parent / port.name for port in (bridge / "brif").iterdir()]
    except OSError:
        return []


def choices(interfaces: Iterable[Interface], ip_version: str = "all") -> list[Choice]:
    """What to give zeroconf: the first IPv4 address of each interface, and its index for IPv6."""
    found: list[Choice] = []
    for one in interfaces:
        v4 = [text for text, _ in one.addresses if ":" not in text]
        if v4 and ip_version != "v6":
            found.append(v4[0])
        if len(v4) < len(one.addresses) and ip_version != "v4":
            found.append(one.index)
    return found


def networks(interfaces: Iterable[Interface]) -> list[Net]:
    """The networks that the interfaces are on."""
    found: list[Net] = []
    for one in interfaces:
        for text, prefix in one.addresses:
            found.append(ipaddress.ip_network(f"{text}/{prefix}", strict=False))
    return found


Lister: TypeAlias = Callable[[], list[Interface]]
