"""Which key names hold secrets: whole names, or their last words.

A name is split where `_`, `-`, other punctuation or camelCase divide its words: `dbPassword` ends
in the word `password`, `x-api-key` in `api key`; `author` and `token_count` end in neither. Digits
at the end do not hide a word (`password1`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeVar

_SEPARATORS: Final = re.compile(r"[\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_K = TypeVar("_K")
_V = TypeVar("_V")
CACHE_MAX: Final = 4096
"""Answers kept; producers choose key names, so the cache starts anew when it is full."""
CACHED_LENGTH: Final = 512
"""Characters of the longest question whose answer is kept: with the number, a bound on memory."""


def words(name: str) -> tuple[str, ...]:
    """The words of a key name, case folded: `dbPassword` is `("db", "password")`."""
    parts = (part for chunk in _SEPARATORS.split(name) for part in _CAMEL.split(chunk))
    return tuple(part.casefold() for part in parts if part)


def _without_number(split: tuple[str, ...]) -> tuple[str, ...]:
    while split and split[-1].isdigit():
        split = split[:-1]
    return (*split[:-1], split[-1].rstrip("0123456789")) if split else split


class KeyNames:
    """The configured names as a test: is this key's value a secret?"""

    def __init__(self, keys: Iterable[str]) -> None:
        self.words = frozenset(split for key in keys if (split := words(key)))
        self._lengths = sorted({len(split) for split in self.words})
        self._known: dict[str, bool] = {}

    def sensitive(self, name: str) -> bool:
        """Whether `name` is one of the configured names, or ends in the words of one."""
        known = self._known.get(name)
        if known is None:
            known = self._matches(name)
            remember(self._known, name, known, len(name))
        return known

    def _matches(self, name: str) -> bool:
        split = words(name)
        return self._ends_in_one(split) or self._ends_in_one(_without_number(split))

    def _ends_in_one(self, split: tuple[str, ...]) -> bool:
        return any(split[-n:] in self.words for n in self._lengths if n <= len(split))


def remember(cache: dict[_K, _V], key: _K, value: _V, length: int) -> None:
    """Keep an answer, unless its question is longer than `CACHED_LENGTH`; start anew when full."""
    if length > CACHED_LENGTH:
        return
    if len(cache) >= CACHE_MAX:
        cache.clear()
    cache[key] = value
