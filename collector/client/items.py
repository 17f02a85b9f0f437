"""What travels: an event's line, the receipt its caller holds, and when it was taken."""

from __future__ import annotations

from time import time
from typing import Any

from msgspec import Struct

from collector.event import Receipt


class Item(Struct, frozen=True, eq=False, gc=False):
    """One event on its way. The receipt is filled in when the daemon has answered; `at` is when it
    was recorded, in seconds since the epoch; `place` is the backlog's own.

    Nothing here ever points back at an item, so the garbage collector need not look at ten
    thousand of them while somebody records.
    """

    frame: bytes
    receipt: Receipt
    at: float
    place: Any = None


def item(
    frame: bytes, event_id: str | None, warnings: list[str], kind: type[Receipt] = Receipt
) -> Item:
    """An event that is taken now; `kind` is the class of its receipt."""
    return Item(frame, kind(ok=True, id=event_id, warnings=warnings or None), time())


def answer(receipt: Receipt, reply: Receipt) -> None:
    """Write the daemon's reply into the receipt that the caller holds."""
    receipt.ok = reply.ok
    receipt.seq = reply.seq
    receipt.id = reply.id or receipt.id
    receipt.duplicate = reply.duplicate
    receipt.code = reply.code
    receipt.error = reply.error
    receipt.retry = reply.retry
    if reply.warnings:
        receipt.warnings = [*(receipt.warnings or ()), *reply.warnings]


def fail(receipt: Receipt, code: str, error: str, *, retry: bool) -> None:
    """Write into the receipt why the event was not delivered."""
    receipt.ok = False
    receipt.code = code
    receipt.error = error
    receipt.retry = retry
