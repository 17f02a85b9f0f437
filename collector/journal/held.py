"""Whether a reader keeps the write-ahead log from being checkpointed, for how long, and who it is.

The journal takes note of each of its checkpoints here, whoever asked for it. A hold is a checkpoint
that has not come to where the log ended when it was first tried: queries that overlap each let it
pass and are none, a snapshot that stays is one. Who has to wait for a reader asks here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.journal.holders import Holder, described, holders

HELD_AFTER: Final = 10.0
"""Seconds for which a checkpoint is kept from completing before that is worth telling."""
LOOK_EVERY: Final = 1.0
"""Seconds between looks at who it is."""


class Held:
    """What is known of the readers of one journal. `monotonic` gives seconds."""

    def __init__(
        self,
        path: Path,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        look: Callable[[Path], list[Holder]] = holders,
    ) -> None:
        self.since: float | None = None
        """When the hold under way began, on the monotonic clock; None while there is none."""
        self.passed = 0
        """How many readers in a row have each let a checkpoint pass without one being complete."""
        self._path, self.monotonic, self._look = path, monotonic, look
        self._target = 0
        self._steady: list[Holder] = []
        self._latest: list[Holder] = []
        self._looked_at = 0.0

    def note(self, frames: int, copied: int, *, busy: bool = False) -> None:
        """A checkpoint has copied so many of the log's frames; `busy` where it could not even begin."""
        if not busy and frames == copied:
            self.since, self.passed = None, 0
            return
        passed = not busy and (copied >= self._target or frames < self._target)
        if self.since is None or passed:
            self.passed += self.since is not None
            self.since = self.monotonic()
            self._target = frames
            self._steady = self._latest = self._look(self._path)
            self._looked_at = self.since
        elif self.monotonic() - self._looked_at >= LOOK_EVERY:
            self.look()

    def look(self) -> bool:
        """Look who is there; whether all still are that were there at each look so far, if any were."""
        self._looked_at = self.monotonic()
        self._latest = self._look(self._path)
        before, self._steady = self._steady, [h for h in self._steady if h in self._latest]
        return bool(self._steady) and self._steady == before

    @property
    def seconds(self) -> float:
        """How long the hold under way has lasted; 0 where there is none."""
        return 0.0 if self.since is None else max(0.0, self.monotonic() - self.since)

    @property
    def lasts(self) -> bool:
        """Whether it has lasted for so long that it is told."""
        return self.since is not None and self.seconds >= HELD_AFTER

    @property
    def by(self) -> list[Holder]:
        """Who it is: those that were there at each look, else those at the last; empty: unknown."""
        return self._steady or self._latest

    def status(self) -> dict[str, Any] | None:
        """For `collector status`: None where nobody has held a snapshot for long."""
        if not self.lasts:
            return None
        return {
            "by": described(self.by),
            "seconds": round(self.seconds, 1),
            "readers": msgspec.to_builtins(self.by),
        }
