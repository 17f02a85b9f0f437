"""How many events a stranger can make us write: token buckets, with `now` as a parameter."""

from __future__ import annotations

from typing import Final

EACH: Final = 10
EACH_REFILL: Final = 60.0
"""Events of one device: ten at once, then one a minute."""
ALL: Final = 1_000
ALL_REFILL: Final = 30.0
"""Events of all devices: the first look at a large network, then two a minute."""

LEAST: Final = 0.5
"""Seconds: a shorter wait could be lost in the rounding of a clock."""
_EPSILON: Final = 1e-6
"""Of a token: what rounding may take away."""


class Budget:
    """At most `burst` at once and one more every `refill` seconds; `refused` counts the rest."""

    __slots__ = ("_burst", "_refill", "_stamp", "_tokens", "refused")

    def __init__(self, burst: int, refill: float, now: float) -> None:
        self._burst = burst
        self._refill = refill
        self._tokens = float(burst)
        self._stamp = now
        self.refused = 0

    def take(self, now: float) -> bool:
        """Take one token at `now` (seconds, monotonic); False, counted in `refused`, when none."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._stamp) / self._refill)
        self._stamp = now
        if self._tokens < 1.0 - _EPSILON:
            self.refused += 1
            return False
        self._tokens -= 1.0
        return True

    def wait(self, now: float) -> float:
        """Seconds from `now` until one token is there."""
        tokens = self._tokens + max(0.0, now - self._stamp) / self._refill
        return max(0.0, (1.0 - _EPSILON - tokens) * self._refill)


class Allowance:
    """A budget for each name and one for all; `forget` a name that is no more, so it is bounded."""

    def __init__(self, now: float) -> None:
        self._all = Budget(ALL, ALL_REFILL, now)
        self._each: dict[str, Budget] = {}

    def take(self, name: str, now: float) -> bool:
        """Take one event for `name`; False where it must wait."""
        return self.wait(name, now) <= 0 and self._of(name, now).take(now) and self._all.take(now)

    def wait(self, name: str, now: float) -> float:
        """Seconds until `name` may have its next event: 0, or at least `LEAST`."""
        wait = max(self._all.wait(now), self._of(name, now).wait(now))
        return max(wait, LEAST) if wait > 0 else 0.0

    def forget(self, name: str) -> None:
        self._each.pop(name, None)

    def _of(self, name: str, now: float) -> Budget:
        budget = self._each.get(name)
        if budget is None:
            budget = self._each[name] = Budget(EACH, EACH_REFILL, now)
        return budget
