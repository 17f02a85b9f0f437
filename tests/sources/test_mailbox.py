"""News from a foreign thread: bounded, in order, in slices."""

from __future__ import annotations

import asyncio
import threading

import pytest

from collector.sources.mailbox import SLICE, Mailbox
from tests.sources.ledger import until

pytestmark = pytest.mark.anyio


async def test_a_flood_from_a_thread_bounded() -> None:
    got: list[int] = []
    box: Mailbox[int] = Mailbox(asyncio.get_running_loop(), got.append, capacity=100)
    thread = threading.Thread(target=lambda: [box.put(n, n) for n in range(10_000)])
    thread.start()
    thread.join()  # the loop stands still, so nothing is drained meanwhile
    await until(lambda: len(got) == 100)
    assert got == list(range(100))
    assert box.dropped == 9_900


async def test_of_one_key_only_the_last_is_delivered() -> None:
    got: list[str] = []
    box: Mailbox[str] = Mailbox(asyncio.get_running_loop(), got.append)
    for number in range(1_000):
        box.put("lamp", f"{number}")
    await until(lambda: bool(got))
    assert got == ["999"]


async def test_the_loop_is_free_between_slices() -> None:
    turns = 0
    seen_at: list[int] = []
    box: Mailbox[int] = Mailbox(asyncio.get_running_loop(), lambda _: seen_at.append(turns))
    for number in range(3 * SLICE):
        box.put(number, number)
    while len(seen_at) < 3 * SLICE:
        await asyncio.sleep(0)
        turns += 1
    assert len(set(seen_at)) >= 3


async def test_an_error_in_one_delivery_does_not_touch_the_others() -> None:
    loop, got, errors = asyncio.get_running_loop(), [], []

    def deliver(number: int) -> None:
        if number == 0:
            raise ValueError("one")
        got.append(number)

    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
    box: Mailbox[int] = Mailbox(loop, deliver)
    for number in range(SLICE + 1):
        box.put(number, number)
    await until(lambda: len(got) == SLICE)
    assert len(errors) == 1


async def test_a_closed_mailbox_takes_and_gives_nothing() -> None:
    got: list[int] = []
    box: Mailbox[int] = Mailbox(asyncio.get_running_loop(), got.append)
    box.put(1, 1)
    box.close()
    box.put(2, 2)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert got == []
