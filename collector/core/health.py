"""Is a device alive? A table of transitions and a pure step over it.

            success                    failure, goodbye
   unknown ─────────▶ online ◀───────────────────────────▶ suspect
      ▲                 ▲        successes × 2                │
      │ returned        │                                     │ failures × 3, or lost
    (any)               └───────────── offline ◀──────────────┘
                         successes × 2

- A first success makes online. After that, coming back takes `policy.successes` successes in a row
  that lie at least `CONFIRM` seconds apart.
- One failure or a goodbye makes suspect; `policy.failures` failures in a row make offline.
- `lost` (gone from the network for good) is offline at once; `returned` is unknown: one success.
- Overlay *flapping*: `FLAPS` changes within `FLAP_WINDOW`; over after as long a time without one.
- Overlay *unobservable* is the network's, not a device's: `core.observability`. While it holds no
  step is taken, so every counter stands still.

`now` is monotonic seconds. Nothing here is I/O; `sources.health` turns it into probes.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from collector.core.device import State

Observation = Literal["success", "failure", "goodbye", "lost", "returned"]
Guard = Literal["always", "failures", "successes"]

CONFIRM: Final = 5.0
"""Seconds between two successes that count."""
FLAPS: Final = 4
FLAP_WINDOW: Final = 600.0
JITTER: Final = 0.1
"""Share of the interval by which probes are spread."""

TRANSITIONS: Final[dict[tuple[State, Observation], tuple[tuple[Guard, State], ...]]] = {
    ("unknown", "success"): (("always", "online"),),
    ("unknown", "failure"): (("failures", "offline"), ("always", "suspect")),
    ("unknown", "goodbye"): (("always", "suspect"),),
    ("unknown", "lost"): (("always", "offline"),),
    ("online", "failure"): (("failures", "offline"), ("always", "suspect")),
    ("online", "goodbye"): (("always", "suspect"),),
    ("online", "lost"): (("always", "offline"),),
    ("online", "returned"): (("always", "unknown"),),
    ("suspect", "success"): (("successes", "online"),),
    ("suspect", "failure"): (("failures", "offline"),),
    ("suspect", "lost"): (("always", "offline"),),
    ("suspect", "returned"): (("always", "unknown"),),
    ("offline", "success"): (("successes", "online"),),
    ("offline", "returned"): (("always", "unknown"),),
}
"""The first guard that holds decides; without one, or for a pair not here, nothing changes."""


class Policy(Struct, frozen=True):
    """The `health` section of the configuration: seconds and counts."""

    interval: float = 60.0
    timeout: float = 3.0
    retry_interval: float = 20.0
    failures: int = 3
    successes: int = 2


class Vital(Struct, frozen=True):
    """What health remembers of one device. `changes` are the last moments its state changed."""

    state: State = "unknown"
    failures: int = 0
    successes: int = 0
    counted_at: float | None = None
    changes: tuple[float, ...] = ()
    flapping: bool = False


class Step(Struct, frozen=True):
    """The result of one observation: the new memory, and the state before it where that changed."""

    vital: Vital
    before: State | None = None
    began_flapping: bool = False

    @property
    def attempts(self) -> int:
        """How many probes in a row led here."""
        return self.vital.failures or self.vital.successes


def step(vital: Vital, observation: Observation, now: float, policy: Policy) -> Step:
    """Take one observation at `now` into account."""
    vital = settle(_count(vital, observation, now), now)
    for guard, target in TRANSITIONS.get((vital.state, observation), ()):
        if _holds(guard, vital, policy):
            return _change(vital, target, now)
    return Step(vital)


def _count(vital: Vital, observation: Observation, now: float) -> Vital:
    if observation == "failure":
        return replace(vital, failures=vital.failures + 1, successes=0, counted_at=None)
    if observation == "success":
        if vital.counted_at is not None and now - vital.counted_at < CONFIRM:
            return replace(vital, failures=0)
        return replace(vital, failures=0, successes=vital.successes + 1, counted_at=now)
    return replace(vital, failures=0, successes=0, counted_at=None)


def _holds(guard: Guard, vital: Vital, policy: Policy) -> bool:
    if guard == "failures":
        return vital.failures >= policy.failures
    return guard == "always" or vital.successes >= policy.successes


def _change(vital: Vital, target: State, now: float) -> Step:
    if "unknown" in (vital.state, target):
        return Step(replace(vital, state=target), vital.state)
    changes = (*vital.changes, now)[-FLAPS:]
    flaps = len(changes) == FLAPS and now - changes[0] <= FLAP_WINDOW
    after = replace(vital, state=target, changes=changes, flapping=vital.flapping or flaps)
    return Step(after, vital.state, flaps and not vital.flapping)


def settle(vital: Vital, now: float) -> Vital:
    """End flapping after `FLAP_WINDOW` quiet seconds."""
    if vital.flapping and now - vital.changes[-1] >= FLAP_WINDOW:
        return replace(vital, flapping=False, changes=())
    return vital


def next_delay(vital: Vital, policy: Policy, jitter: float) -> float:
    """Seconds until the next probe; `jitter` in [-1, 1] spreads the regular ones by ±10 %."""
    if vital.state != "online" and vital.successes:
        return CONFIRM
    if vital.state == "suspect" or (vital.state == "unknown" and vital.failures):
        return policy.retry_interval
    return policy.interval * (1 + JITTER * jitter)


def worth_telling(reported: State, state: State) -> bool:
    """Whether an event is due: `state` really differs from the last one that was told.

    Nobody needs to hear that a device is unknown, nor that one known to be offline, asked again
    after a restart, is on its way to being offline.
    """
    if state in ("unknown", reported):
        return False
    return not (reported == "offline" and state == "suspect")
