"""What a stranger sends: bounded, escaped and counted before anything else sees it.

Names, TXT keys and values on the local network are whatever bytes somebody chose. They are made
harmless once, at the door: control, format (bidi) and surrogate characters become visible escapes,
lengths are cut, counts are capped. What was dropped is counted by the caller.
"""

from __future__ import annotations

import unicodedata
from typing import Final

NAME_MAX: Final = 200
"""Characters of a device's name: the bound of an event's `object_name`."""
TXT_KEYS_MAX: Final = 64
TXT_KEY_MAX: Final = 64
TXT_VALUE_MAX: Final = 255
"""One TXT string is at most 255 bytes (RFC 1035), so no honest value is cut."""
TXT_TOTAL_MAX: Final = 2_048
"""Characters of keys and values in all; RFC 6763 §6.2 wants TXT records below 1,300 bytes."""

_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"})
_JOINERS: Final = frozenset({"\u200c", "\u200d"})
"""Format characters that Persian words and composed emoji need; they reorder nothing."""


def clean(text: str, limit: int = NAME_MAX) -> str:
    """`text` with harmful characters as `\\xNN` escapes, cut to `limit` characters with an …."""
    if not text.isprintable():
        text = "".join(map(_escape, text[: limit + 1]))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _escape(char: str) -> str:
    if char in _JOINERS or unicodedata.category(char) not in _HARMFUL:
        return char
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def parse_txt(raw: bytes) -> tuple[dict[str, str], int]:
    """The key/value pairs of a DNS-SD TXT record (RFC 6763 §6), and how many strings were dropped.

    `raw` is a sequence of length-prefixed strings. Keys are lower case, the first of a repeated key
    wins, a key without `=` has the value "". Bytes that are not UTF-8 appear as `\\xNN`. Strings
    beyond the bounds above, without a key, or cut off at the end are dropped.
    """
    pairs: dict[str, str] = {}
    dropped = total = at = 0
    while at < len(raw):
        size = raw[at]
        part = raw[at + 1 : at + 1 + size]
        at += 1 + size
        if not part:
            continue
        name, _, value = part.partition(b"=")
        key = clean(name.decode("utf-8", "backslashreplace").lower(), TXT_KEY_MAX)
        text = clean(value.decode("utf-8", "backslashreplace"), TXT_VALUE_MAX)
        if key in pairs:
            continue
        total += len(key) + len(text)
        if not key or len(part) < size or len(pairs) >= TXT_KEYS_MAX or total > TXT_TOTAL_MAX:
            dropped += 1
            continue
        pairs[key] = text
    return pairs, dropped
