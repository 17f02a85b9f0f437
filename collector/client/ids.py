"""The id that a producer gives an event, so that it can be sent again and stored once."""

from __future__ import annotations

import os
from time import time_ns
from typing import Final

BLOCK: Final = 256
"""Ids' worth of randomness drawn from the kernel at once; `random` costs more to import than that
saves, and a program that seeds it must not make its events the same."""

_pool: Final[list[int]] = []
os.register_at_fork(after_in_child=_pool.clear)


def new_id() -> str:
    """A UUIDv7 (RFC 9562): milliseconds since the epoch, then 74 random bits."""
    try:
        bits = _pool.pop()
    except IndexError:
        bits = _draw()
    now = time_ns() // 1_000_000
    return (
        f"{now >> 16 & 0xFFFFFFFF:08x}-{now & 0xFFFF:04x}-7{bits >> 62 & 0xFFF:03x}"
        f"-{bits >> 48 & 0x3FFF | 0x8000:04x}-{bits & 0xFFFFFFFFFFFF:012x}"
    )


def _draw() -> int:
    noise = os.urandom(10 * BLOCK)
    drawn = [int.from_bytes(noise[start : start + 10]) for start in range(0, len(noise), 10)]
    first = drawn.pop()
    _pool.extend(drawn)
    return first


def jitter() -> float:
    """A number from 0.5 to 1, for back-offs that must not march in step."""
    return 0.5 + os.urandom(1)[0] / 512
