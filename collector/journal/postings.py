"""Postings: where in a segment of the log a term occurs, as compact sets of 14-bit offsets.

A segment is 16,384 consecutive seqs. A set of fewer than 1,024 offsets is stored as 16-bit
little-endian numbers, a larger one as a bitmap of 2,048 bytes; the length tells them apart. In
memory a set is what it is stored as: a `frozenset`, or a Python integer with one bit an offset, so
that union and intersection run at the speed of C and a small set never pays for a segment's bits.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Final

SEGMENT_BITS: Final = 14
SEGMENT: Final = 1 << SEGMENT_BITS
DENSE: Final = SEGMENT // 16
"""Offsets from which on a bitmap is the shorter form."""
BITMAP_BYTES: Final = SEGMENT // 8
CHUNK_BITS: Final = 10
"""Chunks of 1,024 seqs carry their range of time; sixteen make a segment."""
FULL: Final = (1 << SEGMENT) - 1
SPARSE: Final = 64
"""Bits of a set below which its members are looked for one by one."""

Places = int | frozenset[int]
"""A set of offsets: a bitmap or, where it is small, its members."""

TAGS: Final = {
    "action": b"a",
    "category": b"c",
    "outcome": b"o",
    "severity": b"s",
    "source": b"S",
    "channel": b"h",
    "mode": b"m",
    "object_type": b"t",
    "object_id": b"i",
    "actor": b"A",
    "target": b"T",
    "scope": b"n",
    "correlation_id": b"r",
    "causation_id": b"R",
}
"""The first byte of a term says what it is about; a principal or scope is named by its number."""
HASHED_AFTER: Final = 8
"""Bytes of a value above which its term holds a digest; a reader checks each hit against the log."""


def term(field: str, value: str | int) -> bytes:
    """The key under which occurrences of `value` in `field` are posted."""
    tag = TAGS[field]
    raw = str(value).encode()
    if len(raw) <= HASHED_AFTER:
        return tag + raw
    return tag + b"\0" + blake2b(raw, digest_size=8).digest()


def bits(offsets: Iterable[int]) -> int:
    """A set as an integer."""
    bitmap = bytearray(BITMAP_BYTES)
    for offset in offsets:
        bitmap[offset >> 3] |= 1 << (offset & 7)
    return int.from_bytes(bitmap, "little")


def encode(offsets: Sequence[int]) -> bytes:
    """A set of ascending offsets as it is stored."""
    if len(offsets) >= DENSE:
        return encode_bits(bits(offsets))
    numbers = array("H", offsets)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def encode_bits(value: int) -> bytes:
    """A set of at least `DENSE` offsets, given as an integer, as it is stored."""
    return value.to_bytes(BITMAP_BYTES, "little")


def decode(stored: bytes) -> Places:
    """A stored set."""
    if len(stored) == BITMAP_BYTES:
        return int.from_bytes(stored, "little")
    numbers = array("H", stored)
    if sys.byteorder == "big":
        numbers.byteswap()
    return frozenset(numbers)


def either(one: Places, other: Places) -> Places:
    """The union of two sets."""
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return one | other
    if not one or not other:
        return one or other
    return as_bits(one) | as_bits(other)


def both(one: Places, other: Places) -> Places:
    """The intersection of two sets."""
    if isinstance(one, frozenset):
        return one & other if isinstance(other, frozenset) else _within(one, other)
    return _within(other, one) if isinstance(other, frozenset) else one & other


def _within(few: frozenset[int], many: int) -> frozenset[int]:
    if many == FULL:
        return few
    bitmap = many.to_bytes(BITMAP_BYTES, "little")
    return frozenset([offset for offset in few if bitmap[offset >> 3] >> (offset & 7) & 1])


def as_bits(places: Places) -> int:
    """A set as an integer, whichever it is."""
    return places if isinstance(places, int) else bits(places)


def only(stored: bytes, live: int) -> bytes:
    """A stored set without what is not in `live`; empty where nothing is left."""
    if len(stored) == BITMAP_BYTES:
        value = int.from_bytes(stored, "little") & live
        return encode_bits(value) if value.bit_count() >= DENSE else encode(members(value))
    numbers = array("H", stored)
    if sys.byteorder == "big":
        numbers.byteswap()
    kept = offsets_of(live)
    return encode([offset for offset in numbers if offset in kept])


@lru_cache(maxsize=1)
def offsets_of(live: int) -> frozenset[int]:
    """The offsets of a set that many are held to, one after the other: to shift it each time is dear."""
    return frozenset(members(live))


def members(places: Places) -> list[int]:
    """The offsets of a set, ascending."""
    if isinstance(places, frozenset):
        return sorted(places)
    found = []
    if places.bit_count() < SPARSE:
        while places:
            lowest = places & -places
            found.append(lowest.bit_length() - 1)
            places ^= lowest
        return found
    for index, byte in enumerate(places.to_bytes(BITMAP_BYTES, "little")):
        if byte:
            base = index << 3
            found += [base + bit for bit in _BITS_OF[byte]]
    return found


def span(first: int, last: int) -> int:
    """The set of all offsets from `first` to `last`, both included; empty where first > last."""
    return 0 if first > last else ((1 << (last - first + 1)) - 1) << first


_BITS_OF: Final = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256))
