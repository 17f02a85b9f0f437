"""Wrong keys: how many of them one address may try.

A key is 32 random bytes, so trying costs the daemon more than it brings anybody; past a few in a row
an address waits, and its tries are no longer compared with anything. A key that has worked before is
let in even so: behind one proxy, or on loopback, a script with a revoked key locks nobody out.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from collections.abc import Callable
from typing import Any, Final

from collector.core.control import Key
from collector.web.identity import PEER_KEY
from collector.web.problems import Refused

BURST: Final = 10
"""Wrong keys in a row."""
EVERY: Final = 6.0
"""Seconds after which an address that has used them up may try one more."""
ADDRESSES_MAX: Final = 1024
"""Addresses that are told apart; past that, strangers share one."""
WORKED_MAX: Final = 256
"""Keys known to have worked, the latest; an older one is looked up like any other."""
ADDRESS_KEY: Final = "collector.address"
"""Where the gate leaves the caller's address in an ASGI scope; None where it cannot be told."""
_IPV6_SITE: Final = 64
"""Bits that one subscriber's addresses share."""


class Guesses:
    """Finds keys for callers who may still try. `now` is a monotonic clock in seconds."""

    def __init__(self, find_key: Callable[[str], Key | None], now: Callable[[], float]) -> None:
        self._find_key = find_key
        self._now = now
        self._free_at: dict[str, float] = {}
        self._worked: dict[bytes, None] = {}

    def find(self, secret: str, scope: dict[str, Any]) -> Key | None:
        """The key of `secret`, None where there is none. Raises `Refused` for one try too many."""
        mark = hashlib.sha256(secret.encode()).digest()
        who = _caller(scope)
        if mark not in self._worked:
            self._check(who)
        key = self._find_key(secret)
        self._worked.pop(mark, None)
        if key is None:
            self._count(who)
        else:
            self._remember(mark)
        return key

    def _check(self, who: str) -> None:
        wait = self._free_at.get(self._known_as(who), 0.0) - (BURST - 1) * EVERY - self._now()
        if wait > 0:
            raise Refused(
                "rate_limited",
                "too many wrong keys came from this address; wait before the next one",
                {"Retry-After": str(math.ceil(wait))},
            )

    def _count(self, who: str) -> None:
        """Each wrong key moves the time at which all tries are free again further away."""
        now, name = self._now(), self._known_as(who)
        self._free_at[name] = max(self._free_at.get(name, now), now) + EVERY

    def _known_as(self, who: str) -> str:
        if who not in self._free_at and len(self._free_at) >= ADDRESSES_MAX:
            now = self._now()
            self._free_at = {name: at for name, at in self._free_at.items() if at > now}
            if len(self._free_at) >= ADDRESSES_MAX:
                return "others"
        return who

    def _remember(self, mark: bytes) -> None:
        self._worked[mark] = None
        if len(self._worked) > WORKED_MAX:
            del self._worked[next(iter(self._worked))]


def _caller(scope: dict[str, Any]) -> str:
    """Whose tries count together: a user of the Unix socket, an address, an IPv6 site."""
    peer = scope.get(PEER_KEY)
    if peer is not None:
        return f"uid {peer.uid}"
    text: str | None = scope.get(ADDRESS_KEY)
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return text or "unknown"
    if address.version == 4 or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_SITE), strict=False))
