"""Cursors: the facts that say how far each follower has come."""

from __future__ import annotations

from typing import Final

_FORMATS: Final = {"postings": 3}
"""Followers whose rows are not as they first were. A new format has a new cursor, so that an index of
the old one counts as none: readers scan, and the follower builds it anew."""


def cursor_fact(follower: str) -> str:
    """The name of the fact that holds the last seq that a follower has derived from."""
    number = _FORMATS.get(follower)
    return f"cursor.{follower}" if number is None else f"cursor.{follower}.{number}"
