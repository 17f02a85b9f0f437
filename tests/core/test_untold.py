"""Of what could not be recorded, each device keeps where it began and how it stands."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from collector.core.device import Device
from collector.core.untold import UNTOLD_MAX, Notice, Untold
from collector.event import Draft

STATES = ("unknown", "online", "suspect", "offline")
LAMP, DOOR = (Device(id=name, name=name) for name in ("lamp", "door"))
KNOWN = {"lamp", "door"}


def notice(action: str, at: float = 0.0, device: Device | None = LAMP, **metadata: Any) -> Notice:
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    return Notice(Draft(action=action, occurred_at=moment, metadata=metadata), "mdns", device)


def all_of(*notices: Notice) -> list[Draft]:
    untold = Untold()
    for each in notices:
        untold.add(each, KNOWN)
    told = []
    while untold:
        told.append(untold.first().draft)
        untold.told()
    return told


def health(at: float, before: str, after: str, device: Device = LAMP) -> Notice:
    return notice("device.health_changed", at, device, **{"from": before, "to": after})


def said(drafts: list[Draft]) -> list[tuple[Any, ...]]:
    return [
        (d.occurred_at.timestamp(), (d.metadata or {}).get("from"), (d.metadata or {}).get("to"))
        for d in drafts
        if d.occurred_at is not None
    ]


def test_one_change_is_told_as_it_was() -> None:
    (draft,) = all_of(health(7, "online", "suspect"))
    assert draft == health(7, "online", "suspect").draft


def test_a_chain_of_states_is_one_transition_at_the_time_of_the_last() -> None:
    told = all_of(
        health(1, "online", "suspect"),
        health(2, "suspect", "offline"),
        health(3, "offline", "unknown"),
    )
    assert said(told) == [(3, "online", "unknown")]
    assert (told[0].metadata or {})["merged"] == 3
    assert (told[0].metadata or {})["since"] == "1970-01-01T00:00:01.000000Z"


def test_a_device_that_is_back_where_it_was_is_told_with_where_it_had_been() -> None:
    assert said(all_of(health(1, "online", "offline"), health(2, "offline", "online"))) == [
        (2, "offline", "online")
    ]


def test_a_device_that_changes_often_takes_no_others_place() -> None:
    flapping = [health(n, *STATES[1:3][:: 1 - n % 2 * 2]) for n in range(2, 3000)]
    told = all_of(health(1, "online", "offline", DOOR), *flapping)
    assert said(told) == [(1, "online", "offline"), (2999, "suspect", "online")]


def test_of_coming_and_going_the_first_and_the_last_are_told() -> None:
    told = all_of(
        notice("device.lost", 1),
        notice("device.discovered", 2, returned=True),
        notice("device.lost", 3),
        notice("device.discovered", 4, returned=True),
    )
    assert [(d.action, said([d])[0][0]) for d in told] == [
        ("device.lost", 1),
        ("device.discovered", 4),
    ]


def test_changed_fields_and_counts_add_up() -> None:
    told = all_of(
        notice("device.updated", 1, changed=["txt.fw", "host"]),
        notice("events.lost", 1, None, count=3, window_seconds=600),
        notice("device.updated", 2, changed=["host", "port"]),
        notice("events.lost", 2, None, count=4, window_seconds=600),
    )
    assert [d.metadata and d.metadata.get("changed", d.metadata.get("count")) for d in told] == [
        ["host", "port", "txt.fw"],
        7,
    ]


def test_the_news_of_forgotten_devices_go_first_where_there_are_too_many() -> None:
    untold = Untold()
    untold.add(health(1, "online", "offline", LAMP), KNOWN)
    for number in range(UNTOLD_MAX + 9):
        stranger = Device(id=f"stranger-{number}", name="x")
        untold.add(notice("device.discovered", 2, stranger), KNOWN)
    assert len(untold) == UNTOLD_MAX
    assert untold.dropped == 10
    assert untold.first().device is LAMP


@given(st.lists(st.tuples(st.sampled_from([LAMP, DOOR]), st.sampled_from(STATES)), max_size=40))
def test_whatever_happens_the_last_state_of_each_device_is_told_with_its_own_time(
    steps: list[tuple[Device, str]],
) -> None:
    state, last, notices = {"lamp": "online", "door": "online"}, {}, []
    for at, (device, after) in enumerate(steps):
        if after != state[device.id]:
            notices.append(health(at, state[device.id], after, device))
            state[device.id], last[device.id] = after, at
    told = all_of(*notices)
    assert len(told) == len(last) <= 2
    assert {(at, after) for at, _, after in said(told)} == {
        (at, state[name]) for name, at in last.items()
    }
    assert all(before != after for _, before, after in said(told))
