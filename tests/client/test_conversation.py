"""Replies go to the lines that asked for them, whoever reads: the pure core of both exchanges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collector.client.conversation import Conversation
from collector.client.items import Item, item
from collector.event import Receipt


def some(count: int, name: str = "id") -> list[Item]:
    return [item(b"{}\n", f"{name}-{number}", []) for number in range(count)]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.data())
def test_replies_reach_their_callers_in_whatever_pieces_they_come(
    sizes: list[int], data: st.DataObject
) -> None:
    talk = Conversation()
    calls = [some(size, f"call{number}") for number, size in enumerate(sizes)]
    tickets = [talk.ask(items) for items in calls]
    replies = [Receipt(ok=True, seq=seq + 1) for seq in range(sum(sizes))]
    while replies:
        cut = data.draw(st.integers(1, len(replies)))
        talk.hand_out(replies[:cut])
        replies = replies[cut:]
    assert [one.receipt.seq for items in calls for one in items] == list(range(1, sum(sizes) + 1))
    assert [ticket.left for ticket in tickets] == [0] * len(sizes)


def test_refusal_for_good_is_the_callers_and_try_again_is_the_tickets() -> None:
    talk = Conversation()
    bad, later = items = some(2)
    ticket = talk.ask(items)
    talk.hand_out(
        [
            Receipt(ok=False, code="invalid_event", error="no"),
            Receipt(ok=False, code="storage_full", error="full", retry=True),
        ]
    )
    assert (ticket.left, ticket.again) == (0, [later])
    assert (bad.receipt.ok, bad.receipt.code) == (False, "invalid_event")
    assert later.receipt.ok


def test_end_of_the_connection_breaks_every_call_that_waits_and_no_other() -> None:
    talk = Conversation()
    first, second = talk.ask(some(1)), talk.ask(some(1))
    talk.hand_out([Receipt(ok=True, seq=1)])
    talk.broke("gone")
    assert (first.broken, second.broken) == (None, "gone")
    talk.hand_out([Receipt(ok=True, seq=2)])  # to nobody
    assert second.left == 1
