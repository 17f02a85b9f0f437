"""One run: its sizes, its disk, and figures that are measured when a row first asks for them."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.benchmarks.servers import Daemon, Load, Redis


class Sizes(NamedTuple):
    """How much is measured; seconds and events."""

    burst: int = 500_000
    filled: int = 1_200_000
    sustained: float = 12.0
    turns: float = 4.0
    latency: float = 5.0
    prune: int = 1_000_000
    rows: int = 100_000
    commits: int = 2_000
    pages: int = 20
    emits: int = 15
    devices: int = 500
    tail: int = 20_000
    make: int = 200_000
    rounds: int = 2
    """Bursts of ours and of Redis's, in turn; the best of each counts, as the least disturbed."""
    turnabouts: int = 5
    """Rounds of bare commits and of single events, in turn."""
    streams: int = 200
    calls: int = 20_000
    delivered: int = 200_000
    look: float = 0.5
    """Between two looks at whether a daemon has come to rest."""
    idle: float = 2.0
    """Between a start and a look at what is idle."""
    rest: float = 1.0
    """Between a page's first lines and its frames at rest."""
    visits: int = 5


TINY: Final = Sizes(
    burst=2_000,
    filled=3_000,
    sustained=0.3,
    turns=0.2,
    latency=0.2,
    prune=1_000,
    rows=2_000,
    commits=50,
    pages=2,
    emits=1,
    devices=5,
    tail=500,
    make=2_000,
    rounds=1,
    turnabouts=2,
    streams=5,
    calls=200,
    delivered=2_000,
    look=0.02,
    idle=0.1,
    rest=0.1,
    visits=1,
)
"""Enough to see that every measurement runs, and worth nothing as a figure."""


class Line(NamedTuple):
    """What a row says: a ratio or an absolute figure, its target, and the figures behind it."""

    what: str
    value: float | None
    target: str
    detail: str = ""


class Bench:
    """The state of a run. Figures are kept, so that each is measured once."""

    def __init__(self, place: Path, sizes: Sizes, redis: bool) -> None:
        self.place, self.sizes, self.redis = place, sizes, redis
        self._figures: dict[str, Any] = {}
        self._open = ExitStack()
        self._number = 0

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """The figure `name`, measured the first time."""
        if name not in self._figures:
            self._figures[name] = measure()
        return self._figures[name]

    def forget(self, name: str) -> None:
        """Measure the figure `name` anew when it is asked for next."""
        self._figures.pop(name, None)

    def directory(self) -> Path:
        """A fresh directory on the disk that is measured."""
        self._number += 1
        place = self.place / str(self._number)
        place.mkdir()
        return place

    def load(self, server: Daemon | Redis, do: str, **job: Any) -> dict[str, Any]:
        """Run one load to its end."""
        job.setdefault("make", self.sizes.make)
        return Load(server, do, **job).go().result()

    def settle(self, daemon: Daemon) -> float:
        """Wait until a daemon has nothing to do; the seconds."""
        return daemon.settle(self.sizes.look)

    def filled(self) -> Daemon:
        """A running daemon whose journal holds `sizes.filled` entries, everything derived."""

        def fill() -> Daemon:
            daemon = self._open.enter_context(Daemon(self.directory(), devices=self.sizes.devices))
            start = time.perf_counter()
            per_run, left = 2_000_000, self.sizes.filled
            rates = []
            while left > 0:
                count = min(left, per_run)
                rates.append(self.load(daemon, "stream", make=count, seed=left)["rate"])
                left -= count
            self._figures["fill_rate"] = statistics.fmean(rates)
            self._figures["settled"] = self.settle(daemon)
            self._figures["fill_seconds"] = time.perf_counter() - start
            return daemon

        daemon: Daemon = self.once("filled", fill)
        return daemon

    def close(self) -> None:
        """End what is still running."""
        self._open.close()


def ratio(one: float | None, other: float | None) -> float | None:
    """one / other; None where either was not measured."""
    return one / other if one and other else None


def machine() -> str:
    """What the figures were measured on."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, load {load:.2f} before the run"
