"""One value as an event holds it: trimmed text within its bound, an address, a time.

Text that is too long loses what does not fit and leaves a word in `warnings`: a lost event would be
worse than a shortened name.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from collector.client.plain import plain
from collector.errors import InvalidEvent

CACHE_MAX: Final = 1024
"""Entries of each cache here and in `compose`; a full one starts anew."""
_addresses: Final[dict[str, str | None]] = {}


def as_text(value: Any) -> str | None:
    """Any value as text without white space at its ends; None where nothing is left."""
    if type(value) is not str:
        scalar = plain({"value": value})["value"]
        value = scalar if isinstance(scalar, str) else str(scalar)
    return value.strip() or None


def shortened(text: str, limit: int, field: str, warnings: list[str]) -> str:
    """Descriptive text within its bound."""
    if len(text) <= limit:
        return text
    warnings.append(f"{field}: cut to {limit} characters")
    return text[: limit - 1] + "…"


def identifying(text: str, limit: int, field: str, warnings: list[str]) -> str:
    """An id within its bound: cut ids stay distinct and stable by a digest of the whole."""
    if len(text) <= limit:
        return text
    import hashlib

    warnings.append(f"{field}: cut to {limit} characters, the last 16 a digest of the whole")
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return f"{text[: limit - 17]}~{digest}"


def address(text: Any) -> str | None:
    """An IP address in its canonical spelling, without zone or brackets; None if it is none."""
    text = as_text(text) or ""
    if text not in _addresses:
        import ipaddress

        if len(_addresses) >= CACHE_MAX or len(text) > 64:
            _addresses.clear()
        try:
            parsed = ipaddress.ip_address(text.strip("[]").partition("%")[0])
            _addresses[text] = str(getattr(parsed, "ipv4_mapped", None) or parsed)
        except ValueError:
            _addresses[text] = None
    return _addresses[text]


def moment(value: Any) -> dt.datetime:
    """A time with its offset: from a datetime (a naive one is local), seconds, or RFC 3339 text."""
    try:
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        if isinstance(value, dt.datetime):
            return value if value.utcoffset() is not None else value.astimezone()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return dt.datetime.fromtimestamp(value, dt.UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise InvalidEvent("Expected a datetime, seconds or RFC 3339 text - at `$.occurred_at`")
