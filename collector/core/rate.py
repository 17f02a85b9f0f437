"""A token bucket: how many of a burst may pass."""

from __future__ import annotations


class TokenBucket:
    """`rate` tokens a second, at most one second's worth at once. `now` is in seconds."""

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._burst = max(rate, 1.0)
        self._tokens = self._burst
        self._filled = now

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` may pass at `now`; they are taken."""
        elapsed = max(0.0, now - self._filled)
        self._tokens = min(self._burst, self._tokens + elapsed * self.rate)
        self._filled = now
        granted = min(wanted, int(self._tokens))
        self._tokens -= granted
        return granted
