"""Clearing: every entry goes, and everything that was derived from them, counts included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from collector.journal import sweeping
from collector.journal.pruning import Pruner
from collector.journal.writer import Journal

_KEYS: Final = (("totals", "span, start, kind"), ("states", "slug, object_id"))


def clear(journal: Journal, pruner: Pruner) -> Iterator[Any]:
    """Remove what is stored now, in small steps; what is recorded meanwhile stays."""
    end = journal.last_seq + 1
    yield from pruner.everything("cleared", before=end)
    for table, key in _KEYS:
        yield from sweeping.emptied(journal, table, key)
