"""Postings: where in a segment every value of every filter occurs, the full text's words excepted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from collector.core.query import KIND_FIELDS
from collector.journal.connection import translated
from collector.journal.fingerprints import BLOCK_BITS, SEEDS, occurrence, packed
from collector.journal.followers.base import Segmented, Step, derived
from collector.journal.postings import DENSE, SEGMENT, bits, encode, encode_bits, term

CLEAR_ROWS: Final = 512
KIND_ROWS: Final = 8
"""Terms of kinds whose offsets are put together in one step."""

Offsets = dict[int, list[int]]


class Postings(Segmented):
    """Postings of every filter but the full text's."""

    name = "postings"

    def steps(self) -> Step:
        kinds: Offsets = defaultdict(list)
        actors: Offsets = defaultdict(list)
        targets: Offsets = defaultdict(list)
        scopes: Offsets = defaultdict(list)
        scattered: list[int] = []
        for rows in self.read(_POSTED):
            _collect(rows, kinds, actors, targets, scopes, scattered)
            yield
        rows_: list[tuple[bytes, bytes]] = []
        for row in self._kind_rows(kinds):
            rows_.append(row)
            if len(rows_) % KIND_ROWS == 0:
                yield
        yield
        for field, values in (("actor", actors), ("target", targets), ("scope", scopes)):
            rows_ += [(term(field, value), encode(at)) for value, at in values.items()]
        yield
        scattered.sort()
        yield
        of_values = packed(scattered)
        rows_ += of_values.frequent
        rows_.sort()
        yield
        segment = self.segment
        yield from self._cleared(segment)
        block = segment >> BLOCK_BITS
        buckets = ((block, bucket, segment, row) for bucket, row in of_values.buckets)
        yield from self.stage(_ADD_BUCKET, buckets)
        yield from self.write(_ADD, ((segment, *row) for row in rows_))

    def _cleared(self, segment: int) -> Step:
        """Remove what an earlier attempt, or a collector with another format, left of the segment."""
        gone = CLEAR_ROWS
        while gone == CLEAR_ROWS:
            with derived(self.journal):
                gone = self.journal.connection.execute(_CLEAR, (segment, CLEAR_ROWS)).rowcount
            yield
        with derived(self.journal):
            self.journal.connection.execute(_CLEAR_BUCKETS, (segment >> BLOCK_BITS, segment))
        yield

    def _kind_rows(self, kinds: Offsets) -> Iterator[tuple[bytes, bytes]]:
        """A kind's offsets count for each of its eight texts."""
        texts: dict[tuple[str, str], list[int]] = defaultdict(list)
        columns = ", ".join(KIND_FIELDS)
        with translated(self.journal.path):
            rows = self.journal.connection.execute(f"SELECT kind, {columns} FROM kinds").fetchall()
        for kind, *values in rows:
            if kind in kinds:
                for field, value in zip(KIND_FIELDS, values, strict=True):
                    if value:
                        texts[field, value].append(kind)
        as_bits: dict[int, int] = {}
        for (field, value), its_kinds in texts.items():
            if sum(len(kinds[kind]) for kind in its_kinds) >= DENSE:
                union = 0
                for kind in its_kinds:
                    if kind not in as_bits:
                        as_bits[kind] = bits(kinds[kind])
                    union |= as_bits[kind]
                yield term(field, value), encode_bits(union)
            else:
                offsets = sorted(chain.from_iterable(kinds[kind] for kind in its_kinds))
                yield term(field, value), encode(offsets)


def _collect(
    rows: list[tuple[Any, ...]],
    kinds: Offsets,
    actors: Offsets,
    targets: Offsets,
    scopes: Offsets,
    scattered: list[int],
) -> None:
    """Add some rows of the log."""
    of_object, of_correlation, of_causation = SEEDS.values()
    add = scattered.append
    for offset, kind, actor, target, scope, object_id, correlation, causation in rows:
        kinds[kind].append(offset)
        actors[actor].append(offset)
        if object_id:
            add(occurrence(of_object, object_id, offset))
        if correlation:
            add(occurrence(of_correlation, correlation, offset))
        if causation:
            add(occurrence(of_causation, causation, offset))
        if target:
            targets[target].append(offset)
        if scope:
            scopes[scope].append(offset)


_POSTED: Final = (
    f"SELECT seq & {SEGMENT - 1}, kind, actor, target, scope, {', '.join(SEEDS)}"
    " FROM log WHERE seq BETWEEN ? AND ?"
)
_CLEAR: Final = (
    "DELETE FROM postings WHERE (segment, term) IN"
    " (SELECT segment, term FROM postings WHERE segment = ? LIMIT ?)"
)
_CLEAR_BUCKETS: Final = "DELETE FROM occurrences WHERE block = ? AND segment = ?"
_ADD: Final = "INSERT OR REPLACE INTO postings VALUES (?, ?, ?)"
_ADD_BUCKET: Final = "INSERT OR REPLACE INTO occurrences VALUES (?, ?, ?, ?)"
