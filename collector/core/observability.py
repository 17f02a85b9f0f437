"""Is it them or us? When too much fails at once, our own network or process is at fault.

A sweep probes every device that was online. Half of them, and at least three, failing together is
our own fault, and so is a loop that stood still while they were probed: `network.unobservable` is
told once and the sweep counts for nothing. A later sweep in which fewer than half fail ends it. If
some answer while most still fail, sweep after sweep (`PATIENCE`), the network is evidently fine and
they are gone: that ends it too, and their failures count from then on. If none answers there is no
way to tell, and nothing is claimed.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

AT_LEAST: Final = 3
PATIENCE: Final = 3
"""Sweeps in a row with some answer, after which those that stay silent are really gone."""


class Sweep(Struct, frozen=True):
    """One round: `online` devices were asked, `failing` of them did not answer."""

    online: int
    failing: int
    stalled: bool = False


class Sight(Struct, frozen=True):
    """Whether we can see: `since` (monotonic seconds) is None while we can."""

    since: float | None = None
    partial: int = 0

    @property
    def clear(self) -> bool:
        return self.since is None


Turn = Literal["unobservable", "restored"]


def doubtful(online: int, failing: int) -> bool:
    """Whether so many failures at once speak against us rather than against them."""
    return failing >= AT_LEAST and 2 * failing >= online


def judge(sight: Sight, sweep: Sweep, now: float) -> tuple[Sight, Turn | None]:
    """The sight after a sweep, and the event that is due. Results count only while it is clear."""
    doubt = doubtful(sweep.online, sweep.failing) or (sweep.stalled and sweep.failing > 0)
    if sight.clear:
        return (Sight(now), "unobservable") if doubt else (sight, None)
    if not doubt:
        return Sight(), "restored"
    answered = sweep.failing < sweep.online and not sweep.stalled
    partial = sight.partial + 1 if answered else 0
    if partial >= PATIENCE:
        return Sight(), "restored"
    return replace(sight, partial=partial), None
