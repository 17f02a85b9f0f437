"""Seeded mutation of bytes: what a broken program, a broken disk or an enemy makes of good input."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Mutation = Callable[[random.Random, bytes], bytes]


class Mutator:
    """Makes mutants of a corpus; the same seed makes the same ones.

    `tokens` are what matters in the language of the corpus: they are put in, and put in the place of
    something else. About one in `spare` samples is returned as it is, so that good input stays among
    the bad.
    """

    def __init__(
        self, seed: int, corpus: Sequence[bytes], tokens: Sequence[bytes], *, spare: int = 4
    ) -> None:
        self._random = random.Random(seed)
        self._corpus, self._tokens, self._spare = corpus, tokens, spare
        self._mutations: tuple[Mutation, ...] = (
            _flip,
            _flip,
            _cut,
            _shorten,
            _repeat,
            self._put_in,
            self._put_in,
            self._splice,
        )

    def sample(self) -> bytes:
        """One sample of the corpus, changed once, twice or a few times, or not at all."""
        rng = self._random
        sample = self._corpus[int(rng.random() * len(self._corpus))]
        roll = rng.random()
        if roll * self._spare < 1:
            return sample
        times = 1 if roll < 0.7 else 2 if roll < 0.9 else 5
        for _ in range(times):
            sample = self._mutations[int(rng.random() * len(self._mutations))](rng, sample)
        return sample

    def _put_in(self, rng: random.Random, sample: bytes) -> bytes:
        at = int(rng.random() * (len(sample) + 1))
        token = self._tokens[int(rng.random() * len(self._tokens))]
        over = len(token) if rng.random() < 0.5 else 0
        return sample[:at] + token + sample[at + over :]

    def _splice(self, rng: random.Random, sample: bytes) -> bytes:
        other = self._corpus[int(rng.random() * len(self._corpus))]
        return sample[: int(rng.random() * len(sample))] + other[int(rng.random() * len(other)) :]


def _flip(rng: random.Random, sample: bytes) -> bytes:
    if not sample:
        return sample
    at = int(rng.random() * len(sample))
    changed = sample[at] ^ (1 << int(rng.random() * 8))
    return b"%b%c%b" % (sample[:at], changed, sample[at + 1 :])


def _cut(rng: random.Random, sample: bytes) -> bytes:
    at = int(rng.random() * (len(sample) + 1))
    return sample[:at] + sample[at + 1 + int(rng.random() * 16) :]


def _shorten(rng: random.Random, sample: bytes) -> bytes:
    return sample[: int(rng.random() * (len(sample) + 1))]


def _repeat(rng: random.Random, sample: bytes) -> bytes:
    at = int(rng.random() * (len(sample) + 1))
    piece = sample[at : at + 1 + int(rng.random() * 24)]
    return sample[:at] + piece * (1 + int(rng.random() * 40)) + sample[at:]
