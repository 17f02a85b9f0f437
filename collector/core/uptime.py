"""Uptime: the share of known time in which a device answered, from its recorded transitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

UP: Final = frozenset({"online", "suspect"})
"""A suspect device has not answered one probe; it counts as up until it is found offline."""
DOWN: Final = frozenset({"offline"})
DAY: Final = 86_400_000_000
WINDOWS: Final[dict[str, int]] = {"24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
"""Microseconds of each window that is shown."""


class Transition(Struct, frozen=True):
    """A `device.health_changed`: at `at` (µs since the epoch) `before` became `after`."""

    at: int
    before: str
    after: str


def uptime(
    transitions: Iterable[Transition], state: str, since: int, now: int
) -> dict[str, float | None]:
    """For each of `WINDOWS` the share of known time that was up, None where nothing is known.

    `transitions` are oldest first and reach back at least as far as the longest window; `state` is
    the last state that was reported, `since` when the device was first seen (µs). Time before the
    first sign of it, or in a state that is neither up nor down, is not known and does not count.
    """
    spans = _spans(list(transitions), state, since, now)
    return {name: _share(spans, now - length) for name, length in WINDOWS.items()}


def _spans(
    transitions: list[Transition], state: str, since: int, now: int
) -> list[tuple[int, int, str]]:
    spans: list[tuple[int, int, str]] = []
    start = min(since, transitions[0].at) if transitions else since
    for change in transitions:
        if change.at > start:
            spans.append((start, change.at, change.before))
        start = max(start, change.at)
    last = transitions[-1].after if transitions else state
    if now > start:
        spans.append((start, now, last))
    return spans


def _share(spans: list[tuple[int, int, str]], window: int) -> float | None:
    up = down = 0
    for start, end, state in spans:
        length = end - max(start, window)
        if length > 0:
            up += length * (state in UP)
            down += length * (state in DOWN)
    return up / (up + down) if up + down else None
