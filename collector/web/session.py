"""The page's session: a cookie for browsers that logged in with a key.

The cookie holds the key's label and an end, signed with a secret of this run of the daemon: after a
restart people log in again. A key that is revoked, or made anew, ends its sessions at once.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Final

from collector.core.control import Key

COOKIE: Final = "collector_session"
LIFETIME: Final = 12 * 3600
"""Seconds that a login lasts."""


class Sessions:
    """Makes and reads cookies. `secret` is at least 32 random bytes; `wall` seconds since the epoch."""

    def __init__(
        self, secret: bytes, wall: Callable[[], float], find: Callable[[str], Key | None]
    ) -> None:
        """`find` returns the key of a label, None where it is gone."""
        self._secret = secret
        self._wall = wall
        self._find = find

    def issue(self, key: Key) -> str:
        """The cookie's value for a browser that showed this key."""
        label = base64.urlsafe_b64encode(key.label.encode()).decode().rstrip("=")
        ends = int(self._wall()) + LIFETIME
        return f"{label}.{ends}.{self._signature(key, ends)}"

    def read(self, value: str) -> Key | None:
        """The key behind a cookie's value; None for anything that is not a live session."""
        label, _, rest = value.partition(".")
        ends, _, signature = rest.partition(".")
        if not ends.isascii() or not ends.isdigit() or len(ends) > 12:
            return None
        key = self._find(_decoded(label))
        if key is None or int(ends) <= self._wall():
            return None
        expected = self._signature(key, int(ends))
        return key if hmac.compare_digest(expected.encode(), signature.encode()) else None

    def _signature(self, key: Key, ends: int) -> str:
        text = f"{key.label}\0{key.created_at}\0{key.role}\0{key.tenant_id}\0{ends}"
        return hmac.digest(self._secret, text.encode(), "sha256").hex()


def cookie_of(header: str) -> str | None:
    """Our cookie's value in a `Cookie` header."""
    try:
        jar: SimpleCookie = SimpleCookie(header)
    except CookieError:
        return None
    return jar[COOKIE].value if COOKIE in jar else None


def _decoded(label: str) -> str:
    try:
        return base64.urlsafe_b64decode(label + "=" * (-len(label) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
