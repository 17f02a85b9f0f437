"""Rows of text in aligned columns, wide characters counted as terminals show them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def aligned(rows: Iterable[Sequence[str]], right: Sequence[int] = (), gap: int = 2) -> list[str]:
    """One line a row, nothing after the last cell; the columns in `right` are flush right."""
    table = [list(row) for row in rows]
    if not table:
        return []
    count = max(map(len, table))
    widths = [
        max((width(row[at]) for row in table if at < len(row)), default=0) for at in range(count)
    ]
    return [(" " * gap).join(_cells(row, widths, right)).rstrip() for row in table]


def width(text: str) -> int:
    """Columns of a terminal: two for wide and full-width characters, none for combining marks."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def _cells(row: list[str], widths: list[int], right: Sequence[int]) -> Iterable[str]:
    for at, cell in enumerate(row):
        room = " " * (widths[at] - width(cell))
        yield room + cell if at in right else cell + room
