"""The health source: probes devices, and knows its own faults from theirs.

Devices that are online are asked together, in a sweep every `interval` ±10 %, and the results count
only after the whole sweep has been judged (`core.observability`). All others are asked one by one
when their state says so (`core.health.next_delay`). At most `concurrency` probes run at once. A
probe that failed while the event loop stood still says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any, Final, Protocol

from collector.core.device import Device
from collector.core.health import JITTER, Policy, next_delay
from collector.core.observability import Sight, Sweep, judge
from collector.sources.devices import Registry
from collector.sources.probes import Outcome, Prober

PACE: Final = 0.5
"""Seconds between two looks at what is due."""
STALL: Final = 1.0
"""Seconds the loop may be late before a failure is held against it."""


class HealthConfig(Protocol):
    """The `health` section."""

    @property
    def interval(self) -> float: ...
    @property
    def timeout(self) -> float: ...
    @property
    def retry_interval(self) -> float: ...
    @property
    def failures(self) -> int: ...
    @property
    def successes(self) -> int: ...
    @property
    def concurrency(self) -> int: ...


def policy_of(config: HealthConfig) -> Policy:
    """The numbers of the configuration that `core.health` needs."""
    return Policy(
        interval=config.interval,
        timeout=config.timeout,
        retry_interval=config.retry_interval,
        failures=config.failures,
        successes=config.successes,
    )


class HealthSource:
    """`run` until cancelled. `mono` is monotonic seconds, `random` spreads the probes."""

    def __init__(
        self,
        config: HealthConfig,
        registry: Registry,
        prober: Prober,
        *,
        mono: Callable[[], float],
        random: Random,
    ) -> None:
        self.policy = policy_of(config)
        self.sight = Sight()
        self.sweeps = self.probes = self.stalls = 0
        self._registry = registry
        registry.vitals.policy = self.policy
        self._prober = prober
        self._mono, self._random = mono, random
        self._slots = asyncio.Semaphore(config.concurrency)
        self._due: dict[str, float] = {}
        self._running: set[str] = set()
        self._next_sweep = 0.0

    def _on_arrival(self, device: Device, came: bool) -> None:
        self._due[device.id] = self._mono() + (0.0 if came else self.policy.retry_interval)

    def status(self) -> dict[str, Any]:
        """State and counters for `collector status`."""
        return {
            "state": "running" if self.sight.clear else "unobservable",
            "sweeps": self.sweeps,
            "probes": self.probes,
            "stalls": self.stalls,
        }

    async def run(self) -> None:
        """Probe until cancelled; what changed is saved on the way out."""
        self._next_sweep = self._mono() + self._sweep_delay()
        unsubscribe = self._registry.on_arrival(self._on_arrival)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch())
                tasks.create_task(self._sweep_often())
                while True:
                    self._start_due(tasks)
                    self._registry.tick()
                    await asyncio.sleep(min(PACE, self.policy.retry_interval))
        finally:
            unsubscribe()
            self._registry.blind("health", False)
            self._registry.flush()

    async def _watch(self) -> None:
        while True:
            before = self._mono()
            await asyncio.sleep(PACE)
            if self._mono() - before - PACE > STALL:
                self.stalls += 1

    async def _probe(self, device: Device) -> tuple[Outcome, bool]:
        """The outcome, and whether the loop stood still meanwhile."""
        async with self._slots:
            self.probes += 1
            stalls, before = self.stalls, self._mono()
            outcome = await self._prober.probe(device)
            late = self._mono() - before > 2 * self.policy.timeout + STALL
            if outcome.ok is False:
                await asyncio.sleep(0)
            return outcome, late or self.stalls != stalls

    # One by one: unknown, suspect, offline

    def _start_due(self, tasks: asyncio.TaskGroup) -> None:
        now, wall = self._mono(), self._registry.now().wall
        self._forget_gone()
        for device in list(self._registry.devices.values()):
            if device.suspended(wall):
                self._registry.suspend(device)
            elif self._is_single(device) and self._due.setdefault(device.id, now) <= now:
                self._running.add(device.id)
                tasks.create_task(self._ask(device))

    def _is_single(self, device: Device) -> bool:
        if not self.sight.clear or device.id in self._running or device.state == "online":
            return False
        return device.origin == "mdns" or device.check is not None

    def _forget_gone(self) -> None:
        for name in [name for name in self._due if name not in self._registry.devices]:
            del self._due[name]

    async def _ask(self, device: Device) -> None:
        try:
            outcome, stalled = await self._probe(device)
            if self._registry.devices.get(device.id) is device and self.sight.clear:
                self._take(device, outcome, stalled)
        finally:
            self._running.discard(device.id)

    def _take(self, device: Device, outcome: Outcome, stalled: bool) -> None:
        now = self._mono()
        if device.suspended(self._registry.now().wall) or (stalled and not outcome.ok):
            self._due[device.id] = now + min(STALL, self.policy.retry_interval)
            return
        if outcome.ok is not None:
            observation = "success" if outcome.ok else "failure"
            self._registry.observe(device, observation, outcome.reason)  # type: ignore[arg-type]
        vital = self._registry.vitals.of(device)
        jitter = self._random.uniform(-1.0, 1.0)
        self._due[device.id] = now + next_delay(vital, self.policy, jitter)

    # Together: online

    def _sweep_delay(self) -> float:
        if not self.sight.clear:
            return min(self.policy.retry_interval, self.policy.interval)
        return self.policy.interval * (1 + JITTER * self._random.uniform(-1.0, 1.0))

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._next_sweep - self._mono()))
            await self.sweep()
            self._next_sweep = self._mono() + self._sweep_delay()

    async def sweep(self) -> None:
        """Ask every online device at once, judge the whole, then let each result count."""
        wall = self._registry.now().wall
        devices = [
            device
            for device in self._registry.devices.values()
            if device.state == "online" and not device.suspended(wall)
        ]
        self._random.shuffle(devices)
        results = await asyncio.gather(*(self._probe(device) for device in devices))
        self.sweeps += 1
        asked = [one for one, _ in results if one.ok is not None]
        failing = sum(one.ok is False for one in asked)
        stalled = any(late and one.ok is False for one, late in results)
        self._judge(Sweep(len(asked), failing, stalled))
        if not self.sight.clear:
            silent = [d for d, (one, _) in zip(devices, results, strict=True) if one.ok is False]
            self._registry.overlay(silent, True)
            return
        for device, (outcome, late) in zip(devices, results, strict=True):
            if device.state == "online" and self._registry.devices.get(device.id) is device:
                self._take(device, outcome, late)

    def _judge(self, sweep: Sweep) -> None:
        now, since = self._mono(), self.sight.since
        self.sight, turn = judge(self.sight, sweep, now)
        if turn is None:
            return
        self._registry.network(turn, sweep, now - since if since is not None else 0.0)
        self._registry.blind("health", turn == "unobservable")
        if turn == "restored":
            self._registry.overlay(self._registry.devices.values(), False)
