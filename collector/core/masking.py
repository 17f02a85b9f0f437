"""What a reader who is no administrator sees of an address: the network, not the machine."""

from __future__ import annotations

import ipaddress

import msgspec

from collector.event import Entry


def masked_ip(ip: str | None) -> str | None:
    """`192.0.2.17` becomes `192.0.2.x`, `2001:db8:1:2::3` becomes `2001:db8:1::x`."""
    if not ip:
        return ip
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return "x"
    if address.version == 4:
        return f"{ip.rpartition('.')[0]}.x"
    network = ipaddress.ip_network((int(address) >> 80 << 80, 48))
    return f"{str(network.network_address).rstrip(':') or '0'}::x"


def masked(entry: Entry) -> Entry:
    """The entry as a viewer gets it; the same object where there is nothing to mask."""
    if entry.ip is None:
        return entry
    return msgspec.structs.replace(entry, ip=masked_ip(entry.ip))
