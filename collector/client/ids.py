"""The id that a producer gives an event, so that it can be sent again and stored once."""

from __future__ import annotations

import os
from random import Random
from time import time_ns
from typing import Final

# An instance of its own: `random.seed(0)` in a program must not make its events the same.
_random: Final = Random(os.urandom(32))
os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))


def new_id() -> str:
    """A UUIDv7 (RFC 9562): milliseconds since the epoch, then 74 random bits."""
    now = time_ns() // 1_000_000
    bits = _random.getrandbits(74)
    return (
        f"{now >> 16 & 0xFFFFFFFF:08x}-{now & 0xFFFF:04x}-7{bits >> 62:03x}"
        f"-{bits >> 48 & 0x3FFF | 0x8000:04x}-{bits & 0xFFFFFFFFFFFF:012x}"
    )
