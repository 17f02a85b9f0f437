"""The one way in. What arrives in one turn of the loop is admitted and committed together.

Sources hand in chunks of lines (or drafts) with a `Sink` for the replies; the first submission of a
turn schedules one flush, which runs after every other callback of that turn, or some turns later
while more and more senders hand in a little. A flush takes what is
pending in groups of at most 5,000 events or 4 MiB, commits each group in one transaction, and only
then answers. Between the commit and the publication to subscribers nothing is awaited.

`submissions` is what waits and how it becomes groups, `intake` says when a group's time has come,
`committing` stores it, `answering` tells its senders, and `failing` is for a disk that does not take
what it is given.
"""

from __future__ import annotations

from collector.intake.failing import GIVE_UP_AFTER, RETRY_MOST, rejection
from collector.intake.intake import Intake
from collector.intake.submissions import (
    BACKLOG_BYTES,
    ReceiptSink,
    Sender,
    Sink,
    default_actor,
    validated,
)

__all__ = [
    "BACKLOG_BYTES",
    "GIVE_UP_AFTER",
    "RETRY_MOST",
    "Intake",
    "ReceiptSink",
    "Sender",
    "Sink",
    "default_actor",
    "rejection",
    "validated",
]
