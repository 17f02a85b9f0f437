"""The id that a producer gives an event, so that it can be sent again and stored once."""

from __future__ import annotations

from os import urandom
from time import time_ns


def new_id() -> str:
    """A UUIDv7 (RFC 9562): milliseconds since the epoch, then 74 random bits.

    The random bits come from the kernel each time, so that a forked process repeats none.
    """
    noise = int.from_bytes(urandom(10))
    value = (
        (time_ns() // 1_000_000 & 0xFFFFFFFFFFFF) << 80
        | 0x7000 << 64
        | (noise >> 68) << 64
        | 0x8000 << 48
        | (noise & 0x3FFFFFFFFFFFFFFF)
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
