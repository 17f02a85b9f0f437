"""Where the elements of a JSON array begin and end, found in steps of bounded cost.

A decoder takes an array in one call, and sixteen megabytes of `[],[],[]` hold whoever waits for
several seconds. Here only strings and brackets are looked at: what stands between two commas of the
first level is an element, and whether it is JSON is for its own decoder to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from collector.errors import InvalidJSON

STEP_TOKENS: Final = 10_000
"""Strings, brackets and commas looked at in one step: a few milliseconds."""
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
"""A string that is not closed ends with the text, so that no byte is looked at twice."""

Span = tuple[int, int]


def spans(body: bytes) -> Iterator[Span | None]:
    """The place of each element in a body that is one array, in order; None where a step ends.

    Raises `InvalidJSON` where brackets do not match, an element is empty, or something follows.
    """
    start = _begin(body)
    depth, opened = 1, bytearray(b"[")
    end = -1
    for number, token in enumerate(_TOKEN.finditer(body, start)):
        sign = body[token.start()]
        if end >= 0:
            raise InvalidJSON("not a JSON array: something follows its end")
        if sign in b"[{":
            depth += 1
            opened.append(sign)
        elif sign in b"]}":
            depth -= 1
            if opened.pop() != sign - 2:  # in ASCII, each bracket closes the one two before it
                raise InvalidJSON(f"not a JSON array: wrong bracket at byte {token.start()}")
        if depth == 0 or (depth == 1 and sign == 0x2C):
            if body[start : token.start()].strip():
                yield start, token.start()
            elif depth or body[start - 1] == 0x2C:
                raise InvalidJSON(f"not a JSON array: nothing between commas at byte {start}")
            start = token.end()
            end = start if depth == 0 else -1
        if number % STEP_TOKENS == STEP_TOKENS - 1:
            yield None
    if end < 0:
        raise InvalidJSON("not a JSON array: its end is missing")
    if body[end:].strip():
        raise InvalidJSON("not a JSON array: something follows its end")


def _begin(body: bytes) -> int:
    start = len(body) - len(body.lstrip())
    if body[start : start + 1] != b"[":
        raise InvalidJSON("not a JSON array")
    return start + 1
