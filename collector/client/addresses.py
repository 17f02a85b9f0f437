"""The client's address behind proxies: the last hop that is not one of ours.

`X-Forwarded-For` and RFC 7239 `Forwarded` are the peer's claim. They are read from the right, as
far as each hop is a proxy that the application trusts; nothing to the left of the first stranger
counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from collector.client.values import address

_FOR: Final = re.compile(r"(?:^|;)\s*for=(?:\"([^\"]*)\"|([^;\s]*))", re.IGNORECASE)
HOPS_MAX: Final = 32


class Proxies:
    """Addresses and networks (`10.0.0.0/8`) whose forwarding headers count.

    `"unix"` trusts whoever connects over a Unix socket, which has no address. Raises ValueError for
    what is no network.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        import ipaddress

        named = list(trusted)
        self._unix = "unix" in named
        self._networks = [
            ipaddress.ip_network(name, strict=False) for name in named if name != "unix"
        ]

    def client(self, peer: str | None, forwarded_for: str = "", forwarded: str = "") -> str | None:
        """The address of whoever asked; None where there is none.

        `peer` is the connection's other end, the others the headers' values ('' where absent).
        """
        current = address(peer) if peer else None
        if not (self._trusts(current) if current else self._unix):
            return current
        hops = _elements(forwarded) if forwarded else forwarded_for.split(",")
        for hop in reversed(hops[-HOPS_MAX:]):
            behind = address(_host(hop.strip()))
            if behind is None:
                return current
            current = behind
            if not self._trusts(current):
                return current
        return current

    def _trusts(self, text: str) -> bool:
        import ipaddress

        parsed = ipaddress.ip_address(text)
        return any(parsed in network for network in self._networks)


def _elements(forwarded: str) -> list[str]:
    hops = []
    for element in forwarded.split(","):
        match = _FOR.search(element)
        hops.append((match[1] or match[2] or "") if match else "")
    return hops


def _host(hop: str) -> str:
    """`192.0.2.1:4711` and `[2001:db8::1]:4711` without their port."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
