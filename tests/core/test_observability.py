"""Too much failing at once is our own fault, told once, and over when we see again."""

from collector.core.observability import PATIENCE, Sight, Sweep, judge


def test_half_of_three_or_more_failing_is_our_fault() -> None:
    assert judge(Sight(), Sweep(6, 3), 1.0)[1] == "unobservable"
    assert judge(Sight(), Sweep(3, 3), 1.0)[1] == "unobservable"


def test_less_than_half_or_fewer_than_three_is_theirs() -> None:
    assert judge(Sight(), Sweep(7, 3), 1.0)[1] is None
    assert judge(Sight(), Sweep(2, 2), 1.0)[1] is None


def test_it_is_told_once_and_ends_with_a_good_sweep() -> None:
    sight, turn = judge(Sight(), Sweep(4, 4), 1.0)
    assert turn == "unobservable"
    sight, turn = judge(sight, Sweep(4, 4), 21.0)
    assert turn is None
    assert sight.since == 1.0
    sight, turn = judge(sight, Sweep(4, 1), 41.0)
    assert turn == "restored"
    assert sight.clear


def test_those_that_stay_silent_while_others_answer_are_gone() -> None:
    sight, _ = judge(Sight(), Sweep(6, 4), 0.0)
    turns = []
    for number in range(PATIENCE):
        sight, turn = judge(sight, Sweep(6, 4), 20.0 * number)
        turns.append(turn)
    assert turns == [None] * (PATIENCE - 1) + ["restored"]


def test_nothing_is_claimed_while_nobody_answers() -> None:
    sight, _ = judge(Sight(), Sweep(6, 4), 0.0)
    for number in range(100):
        sight, turn = judge(sight, Sweep(6, 6), 20.0 * number)
        assert turn is None


def test_a_stalled_loop_is_our_fault_where_anything_failed() -> None:
    assert judge(Sight(), Sweep(9, 1, stalled=True), 1.0)[1] == "unobservable"
    assert judge(Sight(), Sweep(9, 0, stalled=True), 1.0)[1] is None
