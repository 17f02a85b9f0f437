"""Full text: which words an entry holds, and whether it holds those that a reader asks for.

One function makes the words, for the index and for the tail that is not indexed yet, so that a
search finds the same either way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from collector.errors import QueryError

WORD_MAX: Final = 40
"""Characters of a word that are indexed and compared; the rest of a longer one is ignored."""
QUERY_WORDS_MAX: Final = 16

_WORD: Final = re.compile(r"[^\W_]+")


def words_of(texts: Iterable[str]) -> set[str]:
    """The words of some texts: runs of letters and digits in any script, case folded."""
    return {word[:WORD_MAX] for word in _WORD.findall("\n".join(texts).casefold())}


def unescaped(json: str) -> str:
    """Compact JSON as text whose words are those of its keys and values, escapes undone."""
    return json if "\\" not in json else "\n".join(_strings(msgspec.json.decode(json)))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value
    else:
        yield msgspec.json.encode(value).decode()


class Words(Struct, frozen=True):
    """A parsed search: whole words and prefixes, all of which must occur."""

    exact: frozenset[str]
    prefixes: frozenset[str]

    def match(self, words: set[str]) -> bool:
        """Whether an entry with these words is wanted."""
        return self.exact <= words and all(
            any(word.startswith(prefix) for word in words) for prefix in self.prefixes
        )


def parse_words(q: str) -> Words:
    """A search as people type it: words, and `prefix*`. Raises `QueryError` where none is left."""
    exact: set[str] = set()
    prefixes: set[str] = set()
    for part in q.casefold().split():
        starred = part.endswith("*")
        found = [word[:WORD_MAX] for word in _WORD.findall(part)]
        if starred and found:
            prefixes.add(found.pop())
        exact.update(found)
    if not exact and not prefixes:
        raise QueryError("a search needs at least one letter or digit", "q")
    if len(exact) + len(prefixes) > QUERY_WORDS_MAX:
        raise QueryError(f"a search may have at most {QUERY_WORDS_MAX} words", "q")
    return Words(frozenset(exact), frozenset(prefixes))
