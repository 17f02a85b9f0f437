"""Fingerprints: where values occur of which there are nearly as many as entries.

Most object ids and transactions occur once or twice in a segment. A row of the index for each would
cost several times what it tells. So all of a segment's share 256 rows, the buckets: an occurrence is
a number of 32 bits, 18 of the value's fingerprint and the 14 of its offset, and a bucket is such
numbers in order, little-endian. The bucket itself is the fingerprint's other 8 bits.

A bucket's rows of sixteen segments, a block, lie side by side: a value that occurs nowhere else in
ten million entries is looked for in forty places of the file and not in six hundred.

A value that fills a good part of a segment has a row of its own among the postings, a bitmap, under
its fingerprint; in its bucket stands one occurrence of it, twice. Two values may share a fingerprint;
the reader's SQL looks at every hit, so that costs time and nothing else.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Final
from zlib import crc32

from msgspec import Struct

from collector.journal.postings import (
    DENSE,
    SEGMENT,
    SEGMENT_BITS,
    TAGS,
    bits,
    encode_bits,
    offsets_of,
)

BUCKETS: Final = 256
BLOCK_BITS: Final = 4
"""A block is so many segments, as a power of two."""
_PRINT_BITS: Final = 18
"""Bits of a fingerprint that stand in its bucket's row; the bucket's number is above them."""
_LOW: Final = _PRINT_BITS + SEGMENT_BITS
_WITHIN: Final = (1 << _LOW) - 1
_CUT: Final = ~0x3F
"""Takes the lowest 6 of a CRC's 32 bits away: 26 are the fingerprint."""
_SHIFT: Final = SEGMENT_BITS - 6
_FREQUENT_TAG: Final = b"="

SEEDS: Final = {
    field: crc32(TAGS[field]) for field in ("object_id", "correlation_id", "causation_id")
}
"""The CRC-32 that a field's fingerprints begin with, so that equal texts of two fields differ."""


class Packed(Struct):
    """The rows of one segment: buckets by their number, and postings of what occurs often."""

    buckets: list[tuple[int, bytes]]
    frequent: list[tuple[bytes, bytes]]


def occurrence(seed: int, text: str, offset: int) -> int:
    """A value's fingerprint and an offset, as one number of 40 bits."""
    return (crc32(text.encode(), seed) & _CUT) << _SHIFT | offset


def packed(occurrences: list[int]) -> Packed:
    """The rows for the occurrences of one segment, which are sorted."""
    rows = Packed([], [])
    start = 0
    for bucket in range(BUCKETS):
        end = bisect_left(occurrences, (bucket + 1) << _LOW, start)
        if end > start:
            # Once each: two of an entry's values may share a fingerprint, and a pair says `frequent`.
            members = list(dict.fromkeys(occurrences[start:end]))
            if len(members) >= DENSE:
                members = list(_without_frequent(members, rows.frequent))
            numbers = array("I", [number & _WITHIN for number in members])
            rows.buckets.append((bucket, _stored(numbers)))
        start = end
    return rows


def _without_frequent(members: list[int], frequent: list[tuple[bytes, bytes]]) -> Iterator[int]:
    for fingerprint, run in groupby(members, lambda number: number >> SEGMENT_BITS):
        same = list(run)
        if len(same) >= DENSE:
            offsets = bits(number & SEGMENT - 1 for number in same)
            frequent.append((frequent_term(fingerprint), encode_bits(offsets)))
            same = [same[0], same[0]]
        yield from same


def fingerprint_of(field: str, text: str) -> int:
    """The 26 bits under which a value is found."""
    return occurrence(SEEDS[field], text, 0) >> SEGMENT_BITS


def frequent_term(fingerprint: int) -> bytes:
    """The term under which a value that occurs often has its postings."""
    return _FREQUENT_TAG + fingerprint.to_bytes(4)


def bucket_of(fingerprint: int) -> int:
    """The bucket in whose rows a fingerprint is found."""
    return fingerprint >> _PRINT_BITS


def trace(fingerprint: int) -> bytes:
    """Two bytes that stand in a bucket's row wherever the fingerprint occurs, and seldom else."""
    return ((fingerprint << SEGMENT_BITS & _WITHIN) >> 16).to_bytes(2, "little")


def found(stored: bytes, fingerprint: int) -> frozenset[int] | None:
    """The offsets at which a fingerprint occurs, of its bucket's row; None where it has postings."""
    numbers = _numbers(stored)
    low = (fingerprint << SEGMENT_BITS) & _WITHIN
    start = bisect_left(numbers, low)
    run = numbers[start : bisect_left(numbers, low + SEGMENT, start)]
    if len(run) == 2 and run[0] == run[1]:
        return None
    return frozenset([number & SEGMENT - 1 for number in run])


def only(stored: bytes, live: int) -> bytes:
    """A bucket's row without the occurrences that are not in `live`; empty where none is left.

    What points to postings stays: those are the ones that tell where.
    """
    numbers = _numbers(stored)
    pointing = {one for one, next_ in pairwise(numbers) if one == next_}
    offsets = offsets_of(live)
    kept = [n for n in numbers if n & SEGMENT - 1 in offsets or n in pointing]
    return _stored(array("I", kept))


def _stored(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(stored: bytes) -> array[int]:
    numbers = array("I", stored)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
