"""The hub: in order, bounded, and recording never waits for a subscriber."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from collector.event import Entry
from collector.hub import BURST, Hub, Lagged

pytestmark = pytest.mark.anyio


def _read(first: int, last: int) -> list[Entry]:
    return cast(list[Entry], [SimpleNamespace(seq=seq) for seq in range(first, last + 1)])


def _any(entry: Any) -> bool:
    return True


async def test_entries_come_in_order_and_only_those_wanted() -> None:
    hub = Hub(_read)
    even = hub.subscribe(lambda entry: entry.seq % 2 == 0, 0)
    hub.publish(1, 3)
    hub.publish(4, 4)
    assert [cast(Entry, await even.get()).seq for _ in range(2)] == [2, 4]
    even.close()
    assert await even.get() is None
    assert len(hub) == 0


async def test_a_slow_subscriber_is_bounded_and_told_from_where_to_read_on() -> None:
    hub = Hub(_read)
    slow, fast = hub.subscribe(_any, 0, buffer=3), hub.subscribe(_any, 0, buffer=100)
    hub.publish(1, 2)
    hub.publish(3, 4)  # two more than fit: none of them is kept
    hub.publish(5, 6)
    assert [cast(Entry, await slow.get()).seq for _ in range(2)] == [1, 2]
    with pytest.raises(Lagged) as lagged:
        await slow.get()
    assert lagged.value.after_seq == 2
    assert hub.lagged == 1
    assert [cast(Entry, await fast.get()).seq for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    hub.publish(7, 7)  # after it was told, it hears again
    assert cast(Entry, await slow.get()).seq == 7


async def test_a_burst_is_left_to_the_journal() -> None:
    hub = Hub(_read)
    one = hub.subscribe(_any, 10)
    hub.publish(11, 11 + BURST)
    with pytest.raises(Lagged) as lagged:
        await one.get()
    assert lagged.value.after_seq == 10
