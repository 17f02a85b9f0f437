"""Refusals that become `auth.denied` entries: the first at once, more of the same once a minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from collector.core.control import Caller
from collector.event import Draft
from collector.intake import Intake

QUIET: Final = 60.0
"""Seconds in which a caller's further refusals of one kind are only counted."""
CALLERS_MAX: Final = 256


class Denials:
    """Throttled `auth.denied` entries about callers of commands."""

    def __init__(self, intake: Intake, monotonic: Callable[[], float]) -> None:
        self._intake, self._monotonic = intake, monotonic
        self._seen: dict[tuple[int | None, str], tuple[float, int]] = {}

    def note(self, caller: Caller, what: str) -> None:
        """A caller was refused something."""
        key = (caller.producer.uid, what)
        now = self._monotonic()
        last, count = self._seen.get(key, (-QUIET, 0))
        if now - last < QUIET:
            self._seen[key] = (last, count + 1)
            return
        if len(self._seen) >= CALLERS_MAX:
            self._seen.clear()
        self._seen[key] = (now, 0)
        draft = Draft(
            action="auth.denied",
            category="auth",
            outcome="denied",
            actor=caller.actor,
            metadata={"operation": what, "more_before": count},
        )
        self._intake.record(draft, source=caller.source, producer=caller.producer)
