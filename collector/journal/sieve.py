"""The sieve: tells of most new ids, without a look at the index, that they are not in it.

A producer's id is new nearly always, and random: looking each up in the index costs a page a run. So
three bits of a word of 64, chosen by the id's hash, say whether an id of that kind was ever indexed
(a blocked Bloom filter). With a million ids in the index one of a thousand needs a look, with ten
million one of seventeen. What the sieve lets through is looked up as ever.
"""

from __future__ import annotations

from collections.abc import Collection
from mmap import mmap
from typing import Final

WORD_BITS: Final = 20
WORD_BITS_MOST: Final = 22
"""It has 2^20 words (8 MiB where producers choose ids by the hundred thousand, nothing where none
does), or up to 2^22 where there are more than `WORD_IDS` ids a word."""
WORD_IDS: Final = 8
_MASK_BITS: Final = 12
_REST: Final = (1 << _MASK_BITS) - 1
_MASKS: Final = tuple(
    1 << (n & 63) | 1 << (n >> 6 & 63) | 1 << ((n * 0x9E37 >> 4) % 61)
    for n in range(1 << _MASK_BITS)
)
"""By twelve bits of a hash, the bits within its word."""


class Sieve:
    """Which ids may be in an index of about `expected`.

    The hash is Python's own: it has a secret that is made anew with each process, the id's object keeps
    it, and the sieve lives no longer than the process.
    """

    def __init__(self, expected: int = 0) -> None:
        bits = (expected // WORD_IDS).bit_length()
        self._word_bits = max(WORD_BITS, min(WORD_BITS_MOST, bits))
        # No page is there before it is written to.
        self._words = memoryview(mmap(-1, 8 << self._word_bits)).cast("Q")
        self._most = max(WORD_IDS << self._word_bits, 2 * expected)
        self._added = 0

    @property
    def worn(self) -> bool:
        """Whether so many ids were added that it is time for a new one, without those that are gone."""
        return self._added > self._most

    def add(self, ids: Collection[bytes]) -> None:
        """Ids that are about to be indexed: before they are, or one of them might be stored twice."""
        words, masks, some = self._words, _MASKS, (1 << self._word_bits) - 1
        for number in map(hash, ids):
            words[number >> _MASK_BITS & some] |= masks[number & _REST]
        self._added += len(ids)

    def possible(self, ids: Collection[bytes]) -> list[bytes]:
        """Those ids that may be in the index; the others are not."""
        words, masks, some = self._words, _MASKS, (1 << self._word_bits) - 1
        return [
            raw
            for raw, number in zip(ids, map(hash, ids), strict=True)
            if not masks[number & _REST] & ~words[number >> _MASK_BITS & some]
        ]
