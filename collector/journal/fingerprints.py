"""Fingerprints: postings of values of which there are nearly as many as entries.

Most object ids and transactions occur once or twice in a segment. A row of the index for each would
cost several times what it tells. So all of a segment's share 256 rows, the buckets: an occurrence is
a number of 32 bits, 18 of the value's fingerprint and the 14 of its offset, and a bucket is such
numbers in order. The bucket itself is the fingerprint's other 8 bits.

A value that fills a good part of a segment has a row of its own, a bitmap, under its fingerprint.
Two values may share one; the reader's SQL looks at every hit, so that costs time and nothing else.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final
from zlib import crc32

from collector.journal.postings import DENSE, SEGMENT, SEGMENT_BITS, TAGS, bits, encode_bits

BUCKETS: Final = 256
_PRINT_BITS: Final = 18
"""Bits of a fingerprint that stand in its bucket's row; the bucket's number is above them."""
_LOW: Final = _PRINT_BITS + SEGMENT_BITS
_WITHIN: Final = (1 << _LOW) - 1
_CUT: Final = ~0x3F
"""Takes the lowest 6 of a CRC's 32 bits away: 26 are the fingerprint."""
_SHIFT: Final = SEGMENT_BITS - 6
_BUCKET_TAG: Final = b"#"
_FREQUENT_TAG: Final = b"="

SEEDS: Final = {
    field: crc32(TAGS[field]) for field in ("object_id", "correlation_id", "causation_id")
}
"""The CRC-32 that a field's fingerprints begin with, so that equal texts of two fields differ."""


def occurrence(seed: int, text: str, offset: int) -> int:
    """A value's fingerprint and an offset, as one number of 40 bits."""
    return (crc32(text.encode(), seed) & _CUT) << _SHIFT | offset


def packed(occurrences: list[int]) -> Iterator[tuple[bytes, bytes]]:
    """The rows `(term, offsets)` for the occurrences of one segment, which are sorted in place."""
    occurrences.sort()
    start = 0
    for bucket in range(BUCKETS):
        end = bisect_left(occurrences, (bucket + 1) << _LOW, start)
        if end > start:
            yield from _rows(bucket, occurrences[start:end])
        start = end


def _rows(bucket: int, members: list[int]) -> Iterator[tuple[bytes, bytes]]:
    if len(members) >= DENSE:
        kept: list[int] = []
        for fingerprint, run in groupby(members, lambda number: number >> SEGMENT_BITS):
            same = list(run)
            if len(same) >= DENSE:
                yield _frequent(fingerprint), encode_bits(_offsets(same))
            else:
                kept += same
        members = kept
    if members:
        yield _bucket(bucket), _stored(array("I", [number & _WITHIN for number in members]))


def terms(field: str, text: str) -> tuple[int, list[bytes]]:
    """The fingerprint of a value, and the terms under whose rows its occurrences can stand."""
    fingerprint = occurrence(SEEDS[field], text, 0) >> SEGMENT_BITS
    return fingerprint, [_bucket(fingerprint >> _PRINT_BITS), _frequent(fingerprint)]


def is_bucket(term: object) -> bool:
    """Whether a term names a bucket, whose row `found` and `only` read."""
    return isinstance(term, bytes) and term[:1] == _BUCKET_TAG


def found(stored: bytes, term: bytes, fingerprints: Iterable[int]) -> int:
    """The set of offsets at which any of the fingerprints occurs in a bucket's row."""
    numbers = _numbers(stored)
    union = 0
    for fingerprint in fingerprints:
        if fingerprint >> _PRINT_BITS == term[1]:
            low = (fingerprint << SEGMENT_BITS) & _WITHIN
            start = bisect_left(numbers, low)
            end = bisect_left(numbers, low + SEGMENT, start)
            if end > start:
                union |= _offsets(numbers[start:end])
    return union


def only(stored: bytes, live: int) -> bytes:
    """A bucket's row without the occurrences that are not in `live`; empty where none is left."""
    return _stored(array("I", [n for n in _numbers(stored) if live >> (n & SEGMENT - 1) & 1]))


def _offsets(numbers: Iterable[int]) -> int:
    return bits(number & SEGMENT - 1 for number in numbers)


def _bucket(bucket: int) -> bytes:
    return _BUCKET_TAG + bytes((bucket,))


def _frequent(fingerprint: int) -> bytes:
    return _FREQUENT_TAG + fingerprint.to_bytes(4)


def _stored(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _numbers(stored: bytes) -> array[int]:
    numbers = array("I", stored)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
