"""Retention: what may stay, as arithmetic. Ages count from `recorded_at`, limits of 0 are none."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

DAY: Final = 86_400_000_000
"""Microseconds."""
SLACK: Final = 0.02
"""A limit in entries or bytes may be passed by this share before pruning begins, so that pruning
works in useful amounts; the promise is 5 %."""


class Limits(Struct, frozen=True, kw_only=True):
    """The retention in force. `categories` maps a category to its own `max_days`."""

    enabled: bool = True
    max_days: int = 90
    max_entries: int = 1_000_000
    max_bytes: int = 1 << 30
    totals_days: int = 0
    categories: dict[str, int] = {}


class AgeGroup(Struct, frozen=True):
    """Categories that share an age limit: `only` these, or all `but` those."""

    name: str
    max_days: int
    only: tuple[str, ...] = ()
    but: tuple[str, ...] = ()


def age_groups(limits: Limits) -> list[AgeGroup]:
    """The groups that have an age limit, each category in exactly one."""
    own = tuple(sorted(limits.categories))
    groups = [AgeGroup("", limits.max_days, but=own)]
    groups += [AgeGroup(name, limits.categories[name], only=(name,)) for name in own]
    return [group for group in groups if group.max_days]


def cutoff(now: int, max_days: int) -> int:
    """Entries recorded before this time (µs) are too old at `now` (µs)."""
    return now - max_days * DAY


def surplus(stored: int, limit: int) -> int:
    """How many of `stored` have to go: none within the slack, else down to the limit itself."""
    if not limit or stored <= limit + int(limit * SLACK):
        return 0
    return stored - limit


def entries_for_bytes(used: int, limit: int, entries: int) -> int:
    """About how many of the oldest entries hold the bytes above the limit."""
    excess = surplus(used, limit)
    if not excess or not entries:
        return 0
    return min(entries, -(-excess * entries // used))
