"""Durations and sizes as people write them, and back.

A duration is `"15s"`, `"1h"`, `"1h30m"` or a plain number of seconds; it becomes float seconds. A
size is `"256KiB"`, `"1GiB"`, `"500MB"` or a plain number of bytes; it becomes an int. A bare `K`,
`M`, `G` or `T` counts in powers of two, as in systemd's unit files.
"""

from __future__ import annotations

import re
from typing import Any, Final

NANOSECONDS: Final = {
    "ms": 10**6,
    "s": 10**9,
    "sec": 10**9,
    "m": 60 * 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 604_800 * 10**9,
}
BYTES: Final = {
    "": 1,
    "b": 1,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
}
DURATION_HELP: Final = 'a duration such as "500ms", "15s", "1h", "2d", or a number of seconds'
SIZE_HELP: Final = 'a size such as "256KiB", "1GiB", "500MB", or a number of bytes'

# Twelve digits are ages; a bound keeps a hostile text from becoming infinity.
_PART: Final = re.compile(r"([0-9]{1,12})(\.[0-9]{1,9})?\s*(ms|sec|min|[smhdw])\s*", re.ASCII)
_SIZE: Final = re.compile(r"([0-9][0-9_]{0,19})(\.[0-9]{1,9})?\s*([A-Za-z]{0,3})", re.ASCII)
_PLAIN: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)


def duration(value: Any) -> float:
    """Seconds. Raises ValueError, whose text says what is allowed."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value < float("inf"):
            return float(value)
    elif isinstance(value, str):
        text = value.strip()
        if _PLAIN.fullmatch(text):
            return float(text)
        parts = list(_PART.finditer(text))
        # Parts that touch and fill the whole text: nothing stands before, between or after them.
        if parts and "".join(part[0] for part in parts) == text:
            # Added up as whole nanoseconds: "1s500ms" is 1.5 and not 1.4999999999999998.
            return sum(_nanoseconds(*part.groups(default="")) for part in parts) / 10**9
    raise ValueError(f"expected {DURATION_HELP}")


def _nanoseconds(whole: str, fraction: str, unit: str) -> int:
    return int(whole) * NANOSECONDS[unit] + round(float(fraction or 0) * NANOSECONDS[unit])


def size(value: Any) -> int:
    """Bytes. Raises ValueError, whose text says what is allowed."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if found and found[3].lower() in BYTES:
        factor = BYTES[found[3].lower()]
        whole = int(found[1].replace("_", "")) * factor
        return whole + round(float(found[2] or 0) * factor)
    raise ValueError(f"expected {SIZE_HELP}")


def format_duration(seconds: float) -> str:
    """The shortest text that `duration` reads as the same number of seconds."""
    milliseconds = round(seconds * 1000)
    if abs(milliseconds / 1000 - seconds) > 1e-12 * max(1.0, seconds):
        return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"
    for unit, factor in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % factor == 0:
            return f"{milliseconds // factor}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def format_size(size: int) -> str | int:
    """The text in the largest unit that divides `size`, else the plain number."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = BYTES[unit.lower()]
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return size
