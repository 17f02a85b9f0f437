"""The clock: a step is noticed once, and ages wait for synchronised time, at most a day."""

from __future__ import annotations

from collector.clock import PATIENCE, ClockWatch


class World:
    wall, steady, synced = 1_000_000.0, 50.0, True

    def watch(self) -> ClockWatch:
        return ClockWatch(
            wall=lambda: self.wall, steady=lambda: self.steady, synchronised=lambda: self.synced
        )

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_a_step_is_told_once_and_slewing_never() -> None:
    world = World()
    watch = world.watch()
    world.pass_(3600)
    assert watch.stepped() == 0.0
    world.wall += 1.9
    assert watch.stepped() == 0.0
    world.wall -= 100
    assert watch.stepped() == -100
    assert watch.stepped() == 0.0


def test_ages_wait_for_synchronised_time_but_no_longer_than_a_day() -> None:
    world = World()
    world.synced = False
    watch = world.watch()
    assert not watch.trusted()
    world.pass_(PATIENCE - 1)
    assert not watch.trusted()
    world.pass_(1)
    assert watch.trusted()
    world.wall += 10_000
    watch.stepped()
    assert not watch.trusted()
    world.synced = True
    assert watch.trusted()


def test_shift_is_the_sum_of_all_steps_without_slewing() -> None:
    world = World()
    watch = world.watch()
    for step in (1.5, 100.0, -2500.0):
        world.pass_(60)
        world.wall += step
        watch.stepped()
    assert watch.shift == -2400.0
