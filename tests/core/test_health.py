"""The transition table of health, its overlays, and a model that holds under any observations."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collector.core.health import (
    CONFIRM,
    FLAP_WINDOW,
    FLAPS,
    TRANSITIONS,
    Observation,
    Policy,
    Step,
    Vital,
    next_delay,
    settle,
    step,
    worth_telling,
)

POLICY = Policy()


def walk(*observations: tuple[float, Observation], policy: Policy = POLICY) -> Vital:
    vital = Vital()
    for at, observation in observations:
        vital = step(vital, observation, at, policy).vital
    return vital


def test_the_first_success_makes_online() -> None:
    result = step(Vital(), "success", 0.0, POLICY)
    assert (result.before, result.vital.state, result.attempts) == ("unknown", "online", 1)


def test_one_failure_makes_suspect_and_three_make_offline() -> None:
    up = ((0.0, "success"), (60.0, "failure"))
    assert walk(*up).state == "suspect"
    assert walk(*up, (80.0, "failure")).state == "suspect"
    assert walk(*up, (80.0, "failure"), (100.0, "failure")).state == "offline"


def test_a_device_that_never_answered_becomes_offline_after_three() -> None:
    assert walk((0.0, "failure"), (20.0, "failure")).state == "suspect"
    assert walk((0.0, "failure"), (20.0, "failure"), (40.0, "failure")).state == "offline"


def test_failures_count_in_a_row() -> None:
    vital = walk(
        (0.0, "success"), (60.0, "failure"), (80.0, "failure"), (100.0, "success"),
        (105.0, "failure"), (125.0, "failure"),
    )  # fmt: skip
    assert vital.state == "suspect"


@pytest.mark.parametrize("down", [1, 3])
def test_coming_back_takes_two_successes_five_seconds_apart(down: int) -> None:
    vital = walk((0.0, "success"), *((60.0 + 20 * n, "failure") for n in range(down)))
    once = step(vital, "success", 200.0, POLICY)
    assert once.before is None
    early = step(once.vital, "success", 200.0 + CONFIRM - 0.1, POLICY)
    assert early.before is None
    result = step(early.vital, "success", 200.0 + CONFIRM, POLICY)
    assert result.vital.state == "online"
    assert result.attempts == 2


def test_a_failure_between_two_successes_starts_over() -> None:
    vital = walk(
        (0.0, "success"), (60.0, "failure"), (80.0, "success"), (85.0, "failure"),
        (105.0, "success"),
    )  # fmt: skip
    assert vital.state == "suspect"


def test_a_goodbye_makes_suspect_at_once() -> None:
    assert walk((0.0, "success"), (1.0, "goodbye")).state == "suspect"


def test_lost_is_offline_and_returned_takes_one_success() -> None:
    vital = walk((0.0, "success"), (1.0, "goodbye"), (16.0, "lost"))
    assert vital.state == "offline"
    back = step(vital, "returned", 100.0, POLICY).vital
    assert back.state == "unknown"
    assert step(back, "success", 100.1, POLICY).vital.state == "online"


def test_one_failure_is_enough_where_the_policy_says_so() -> None:
    policy = Policy(failures=1, successes=1)
    assert walk((0.0, "success"), (60.0, "failure"), policy=policy).state == "offline"
    assert walk((0.0, "failure"), (60.0, "success"), policy=policy).state == "online"


def flap(count: int, gap: float) -> tuple[Vital, list[Step]]:
    """A device that changes `count` times, `gap` seconds apart."""
    policy = Policy(failures=1, successes=1)
    vital = step(Vital(), "success", 0.0, policy).vital
    steps = []
    for number in range(count):
        observation: Observation = "success" if number % 2 else "failure"
        steps.append(step(vital, observation, gap * (number + 1), policy))
        vital = steps[-1].vital
    return vital, steps


def test_four_changes_in_ten_minutes_are_flapping_and_said_once() -> None:
    vital, steps = flap(7, 60.0)
    assert [one.began_flapping for one in steps] == [n == FLAPS - 1 for n in range(7)]
    assert vital.flapping


def test_slower_changes_are_no_flapping() -> None:
    vital, _ = flap(12, FLAP_WINDOW / 3 + 1)
    assert not vital.flapping


def test_flapping_is_over_after_ten_quiet_minutes() -> None:
    vital, _ = flap(4, 10.0)
    assert settle(vital, 40.0 + FLAP_WINDOW - 1).flapping
    calm = settle(vital, 40.0 + FLAP_WINDOW)
    assert not calm.flapping
    assert not step(calm, "failure", 2_000.0, Policy(failures=1)).vital.flapping


def test_what_health_remembers_bounded() -> None:
    vital, _ = flap(500, 1.0)
    assert len(vital.changes) <= FLAPS


def test_the_next_probe_follows_the_state() -> None:
    assert next_delay(Vital("online"), POLICY, 1.0) == pytest.approx(66.0)
    assert next_delay(Vital("online"), POLICY, -1.0) == pytest.approx(54.0)
    assert next_delay(Vital("suspect"), POLICY, 1.0) == 20.0
    assert next_delay(Vital("offline"), POLICY, 0.0) == 60.0
    assert next_delay(Vital("offline", successes=1), POLICY, 0.0) == CONFIRM


def test_after_a_restart_only_real_differences_are_told() -> None:
    assert not worth_telling("online", "online")
    assert not worth_telling("offline", "suspect")
    assert not worth_telling("online", "unknown")
    assert worth_telling("offline", "online")
    assert worth_telling("online", "suspect")
    assert worth_telling("unknown", "online")


def test_the_table_is_whole() -> None:
    for (state, _), rules in TRANSITIONS.items():
        assert rules, "a pair without a rule is left out instead"
        assert all(target != state for _, target in rules)
        assert all(guard != "always" for guard, _ in rules[:-1]), "unreachable rule"


class HealthModel(RuleBasedStateMachine):
    """Any observations at any times, against what is plainly true of the last few of them."""

    @initialize(failures=st.integers(1, 5), successes=st.integers(1, 4))
    def begin(self, failures: int, successes: int) -> None:
        self.policy = Policy(failures=failures, successes=successes)
        self.vital = Vital()
        self.now = 0.0
        self.past: list[tuple[float, Observation]] = []
        self.changes: list[float] = []

    @rule(
        observation=st.sampled_from(
            ["success", "failure", "failure", "goodbye", "lost", "returned"]
        ),
        gap=st.sampled_from([0.0, 1.0, 5.0, 20.0, 60.0, 700.0]),
    )
    def observe(self, observation: Observation, gap: float) -> None:
        self.now += gap
        before = self.vital.state
        result = step(self.vital, observation, self.now, self.policy)
        self.past.append((self.now, observation))
        assert (result.before is None) == (result.vital.state == before)
        assert result.before in (None, before)
        if result.before is not None and "unknown" not in (before, result.vital.state):
            self.changes.append(self.now)
        if result.began_flapping:
            assert len([at for at in self.changes if at >= self.now - FLAP_WINDOW]) >= FLAPS
        self._check(before, observation, result)
        self.vital = result.vital

    def _check(self, before: str, observation: Observation, result: Step) -> None:
        state = result.vital.state
        run = 0
        for _, past in reversed(self.past):
            if past != "failure":
                break
            run += 1
        if observation == "failure":
            assert state != "online"
            assert (state == "offline") == (before == "offline" or run >= self.policy.failures)
        if state == "online" and before != "online":
            assert observation == "success"
            assert before == "unknown" or self._spaced() >= self.policy.successes
        if observation == "lost":
            assert state == "offline"
        if observation == "returned":
            assert state == "unknown"

    def _spaced(self) -> int:
        """Successes at the end of the past that lie far enough apart to count."""
        run = [at for at, _ in self.past[self._last_other() :]]
        count, last = 0, float("-inf")
        for at in run:
            if at - last >= CONFIRM:
                count, last = count + 1, at
        return count

    def _last_other(self) -> int:
        others = [n for n, (_, past) in enumerate(self.past) if past != "success"]
        return others[-1] + 1 if others else 0

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "vital"):
            assert len(self.vital.changes) <= FLAPS
            assert not self.vital.flapping or self.vital.changes


TestHealthModel = HealthModel.TestCase
