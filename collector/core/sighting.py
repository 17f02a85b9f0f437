"""One look at one advertised service, made harmless: what discovery hears of the network."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from collector.core.hostile import clean, parse_txt

ADDRESSES_MAX: Final = 16
"""Addresses kept of one host; a dual-stack host with privacy addresses on two links has ten."""
INSTANCE_MAX: Final = 255
HOST_MAX: Final = 255

META_QUERY: Final = "_services._dns-sd._udp.local."
_TYPE: Final = re.compile(
    r"(_[a-z0-9][a-z0-9_-]{0,61}\._(?:tcp|udp))(?:\.local)?\.?", re.IGNORECASE
)


class Sighting(Struct, frozen=True):
    """A service as it is advertised now; None (and no addresses) where it is not known yet.

    `type` is short and lower case (`_http._tcp`), `host` lower case without its last dot. `dropped`
    counts what was beyond the bounds.
    """

    type: str
    instance: str
    host: str | None = None
    port: int | None = None
    txt: dict[str, str] | None = None
    addresses: tuple[str, ...] = ()
    dropped: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """How services are told apart: type and instance, without case."""
        return self.type, self.instance.lower()

    @property
    def complete(self) -> bool:
        """Whether everything that a responder can tell has arrived."""
        return self.host is not None and self.txt is not None and bool(self.addresses)


def short_type(name: str) -> str | None:
    """`_http._tcp` of `_HTTP._tcp.local.` and of `_http._tcp`; None for what is no service type."""
    match = _TYPE.fullmatch(name)
    return match[1].lower() if match else None


def split_name(name: str) -> tuple[str, str] | None:
    """`(type, instance)` of a full service name; None where it is none. Instances may hold dots."""
    labels = name.rstrip(".").rsplit(".", 3)
    if len(labels) != 4 or not labels[0] or labels[3].lower() != "local":
        return None
    type_ = short_type(f"{labels[1]}.{labels[2]}")
    return (type_, clean(labels[0], INSTANCE_MAX)) if type_ else None


def sighting(
    name: str,
    *,
    host: str | None = None,
    port: int | None = None,
    txt: bytes | None = None,
    addresses: Iterable[str] = (),
) -> Sighting | None:
    """What the records of the service `name` say, bounded and escaped; None where it is none.

    `txt` is the raw TXT record; `addresses` are texts, an IPv6 link-local one with its zone.
    """
    parts = split_name(name)
    if parts is None:
        return None
    pairs, dropped = (None, 0) if txt is None else parse_txt(txt)
    usable = sorted({text for text in addresses if believable(text)}, key=address_order)
    return Sighting(
        type=parts[0],
        instance=parts[1],
        host=clean(host.rstrip(".").lower(), HOST_MAX) if host else None,
        port=port if port and 0 < port < 65_536 else None,
        txt=pairs,
        addresses=tuple(usable[:ADDRESSES_MAX]),
        dropped=dropped + max(0, len(usable) - ADDRESSES_MAX),
    )


def believable(text: str) -> bool:
    """Whether a device can have this address at all: one host's, not everybody's or nobody's."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_multicast or address.is_unspecified:
        return False
    return not (address.version == 4 and (address.is_reserved or address == _BROADCAST))


_BROADCAST: Final = ipaddress.ip_address("255.255.255.255")


def address_order(text: str) -> tuple[int, bool, str]:
    """IPv4 first, then IPv6 with the link-local ones last; stable between runs."""
    address = ipaddress.ip_address(text)
    return address.version, address.is_link_local, text


def merged(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """The addresses after an announcement: a family it names is replaced, another one is kept.

    Address records live two minutes and age out of a cache one by one while the device is well, so
    that none of a family says nothing.
    """
    fresh = list(new)
    families = {":" in text for text in fresh}
    kept = [text for text in old if (":" in text) not in families]
    return sorted({*fresh, *kept}, key=address_order)[:ADDRESSES_MAX]
