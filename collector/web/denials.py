"""`auth.denied` entries: each cause of each address once a minute, with the count of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from collector.core.control import Recorder
from collector.event import Draft, Principal

QUIET: Final = 60.0
"""Seconds in which the same denial is counted and not recorded again."""
CAUSES_MAX: Final = 256
"""Denials that are told apart; past that, strangers share one."""


class Denials:
    """Counts and records refused requests. `now` is a monotonic clock in seconds."""

    def __init__(self, recorder: Recorder, now: Callable[[], float]) -> None:
        self.total = 0
        self._recorder = recorder
        self._now = now
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def record(
        self, reason: str, ip: str | None, actor: Principal, metadata: dict[str, Any]
    ) -> None:
        """One refused request; `reason` is a code of `problems.STATUS_OF_CODE`."""
        self.total += 1
        now = self._now()
        key = (reason, ip or "")
        if key not in self._seen and len(self._seen) >= CAUSES_MAX:
            self._forget(now)
            if len(self._seen) >= CAUSES_MAX:
                key = (reason, "others")
        since, skipped = self._seen.get(key, (-QUIET, 0))
        if now - since < QUIET:
            self._seen[key] = (since, skipped + 1)
            return
        self._seen[key] = (now, 0)
        more = {"repeated": skipped} if skipped else {}
        draft = Draft(
            action="auth.denied",
            category="auth",
            outcome="denied",
            actor=actor,
            channel="http",
            ip=ip,
            metadata={"reason": reason, **metadata, **more},
        )
        self._recorder.record(draft, source="collector")

    def _forget(self, now: float) -> None:
        old = [key for key, (since, _) in self._seen.items() if now - since >= QUIET]
        for key in old:
            del self._seen[key]
