"""Text from strangers, made safe to show: one line, no control, no reordering, no formulas.

The journal keeps what was sent, byte for byte. Whatever shows it passes it through here first: a
terminal (`visible`), a line of JSON (`json_line`), a spreadsheet (`csv_cell`).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

FORMULA_START: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula: OWASP, "CSV Injection"."""

_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, format (bidi, invisible), surrogate, line and paragraph separators."""

_JOINERS: Final = frozenset({"\u200c", "\u200d"})
"""Format characters that Persian words and composed emoji need; they reorder nothing."""

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# Every character of the harmful categories that JSON allows to stand raw is DEL or beyond ASCII.
_BEYOND: Final = re.compile("[\x7f-\U0010ffff]")


def visible(text: str) -> str:
    """`text` on one line: harmful characters as `\\n`, `\\x1b`, `\\u202e` or `\\U000e0001`.

    A backslash that was there stays as it is, so that paths remain readable: this is for people,
    and not meant to be undone. The same text comes back where nothing is harmful.
    """
    if text.isprintable():
        return text
    return "".join(_escape(char) if _harmful(char) else char for char in text)


def json_line(line: str) -> str:
    """One line of JSON with harmful characters as `\\uXXXX`: the same value, safe to print."""
    if line.isascii() and "\x7f" not in line:
        return line
    return _BEYOND.sub(_json_escape, line)


def csv_cell(text: str) -> str:
    """`text` as a cell: visible, with a `'` before what a spreadsheet would run as a formula."""
    shown = visible(text)
    return f"'{shown}" if text.startswith(FORMULA_START) else shown


def _harmful(char: str) -> bool:
    return unicodedata.category(char) in _HARMFUL and char not in _JOINERS


def _escape(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return _SHORT.get(char) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _json_escape(match: re.Match[str]) -> str:
    char = match[0]
    if not _harmful(char):
        return char
    code = ord(char)
    if code <= 0xFFFF:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
