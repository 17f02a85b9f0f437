"""Framing: the same lines however the bytes were split, and never more held than one frame."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.framing import Framer, FrameTooLarge

LIMIT = 20
lines = st.lists(st.binary(max_size=LIMIT + 4).map(lambda b: b.replace(b"\n", b"")), max_size=12)


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def _fed(pieces: list[bytes]) -> tuple[bytes, bool, int]:
    framer, complete = Framer(LIMIT), b""
    for piece in pieces:
        try:
            complete += framer.feed(piece)
        except FrameTooLarge as error:
            return complete + error.complete, True, 0
    return complete, False, framer.unfinished


@given(lines, st.binary(max_size=LIMIT + 4), st.lists(st.integers(0, 10_000), max_size=20))
def test_any_split_gives_the_same_lines(whole: list[bytes], rest: bytes, cuts: list[int]) -> None:
    rest = rest.replace(b"\n", b"")
    data = b"".join(line + b"\n" for line in whole) + rest
    before = []
    for line in [*whole, rest]:
        if len(line) > LIMIT:
            break
        before.append(line)
    too_large = len(before) <= len(whole)
    good = whole[: len(before)] if too_large else whole
    expected = b"".join(line + b"\n" for line in good)
    assert _fed([data]) == (expected, too_large, 0 if too_large else len(rest))
    assert _fed(_split(data, cuts)) == _fed([data])


def test_what_is_held_is_bounded() -> None:
    framer = Framer(LIMIT)
    framer.feed(b"x" * LIMIT)
    with pytest.raises(FrameTooLarge) as caught:
        framer.feed(b"x")
    assert caught.value.complete == b""
