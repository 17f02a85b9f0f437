"""The id that a producer gives an event, so that it can be sent again and stored once."""

from __future__ import annotations

import os
from time import time_ns
from typing import Final

BLOCK: Final = 256
"""Ids' worth of randomness drawn from the kernel at once; `random` costs more to import than that
saves, and a program that seeds it must not make its events the same."""

_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_pool: Final[list[str]] = []
_now = (-1, "")
"""The last millisecond that was asked for, and its text; one tuple, so that threads may share it."""
os.register_at_fork(after_in_child=_pool.clear)


def new_id() -> str:
    """A UUIDv7 (RFC 9562): milliseconds since the epoch, then 74 random bits."""
    try:
        noise = _pool.pop()
    except IndexError:
        noise = _draw()
    global _now
    millisecond = time_ns() // 1_000_000
    then, text = _now
    if then != millisecond:
        text = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7"
        _now = millisecond, text
    return text + noise


def _draw() -> str:
    """The random part of an id, for this one and the next `BLOCK - 1`."""
    digits = os.urandom(10 * BLOCK).hex()
    drawn = [
        f"{noise[:3]}-{_VARIANT[noise[3]]}{noise[4:7]}-{noise[7:19]}"
        for noise in (digits[start : start + 20] for start in range(0, len(digits), 20))
    ]
    first = drawn.pop()
    _pool.extend(drawn)
    return first


def jitter() -> float:
    """A number from 0.5 to 1, for back-offs that must not march in step."""
    return 0.5 + os.urandom(1)[0] / 512
