"""What has to be said of the journal's storage, kept until it can be recorded."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from collector.event import Draft
from collector.intake import Intake

UNSAID_MOST: Final = 64
"""Beyond so many the oldest but the first goes: when the trouble began, and how it stands now."""

SEVERITIES: Final = {"storage.full": "error", "journal.held": "warning"}


class Announcements:
    """Entries of the daemon's own, each under the time at which it happened."""

    def __init__(self, intake: Intake, wall: Callable[[], float]) -> None:
        self._intake, self._wall = intake, wall
        self._unsaid: deque[Draft] = deque()

    def __len__(self) -> int:
        return len(self._unsaid)

    def add(self, action: str, metadata: dict[str, Any]) -> None:
        """Have something recorded as soon as that is possible; `say` tries."""
        if len(self._unsaid) >= UNSAID_MOST:
            del self._unsaid[1]
        self._unsaid.append(
            Draft(
                action=action,
                occurred_at=dt.datetime.fromtimestamp(self._wall(), dt.UTC),
                object_type="journal",
                metadata=metadata,
                severity=SEVERITIES.get(action),
            )
        )

    def say(self) -> None:
        """Record what could not be recorded when it happened, if it can be by now."""
        while self._unsaid:
            receipt = self._intake.record(self._unsaid[0], source="collector", internal=True)
            if not receipt.ok:
                return
            self._unsaid.popleft()
