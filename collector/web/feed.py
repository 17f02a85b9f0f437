"""The live feed: server-sent events, resumed after any seq without a gap.

A stream first reads the journal up to the newest entry, then listens to the hub. A reader that
falls behind is told so and sent back to the journal for what it missed: nothing is skipped, nothing
comes twice, because every entry that is sent has a greater seq than the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from litestar import get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from collector.core.matching import Predicate, matcher
from collector.core.query import Filter
from collector.event import Entry
from collector.hub import Lagged
from collector.web.access import may_read
from collector.web.events import Wanted, shown
from collector.web.identity import Identity
from collector.web.patterns import LAST_EVENT_ID
from collector.web.services import Given, Services, Who

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment keeps proxies from closing the stream."""
RETRY: Final = 2000
"""Milliseconds after which a browser comes back."""
PAGE: Final = 200
_encode: Final = msgspec.json.Encoder().encode


@get("/events/stream", guards=[may_read], tags=["events"], operation_id="streamEvents")
async def stream(
    services: Given,
    who: Who,
    wanted: Wanted,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", pattern=LAST_EVENT_ID, max_length=15)
    ] = None,
    after_seq: Annotated[int | None, QueryParameter(ge=0, le=2**53)] = None,
) -> Stream:
    """Entries as they are recorded: events `activity_logged`, whose id is the seq.

    `Last-Event-ID` (or `after_seq`, for a first connection) resumes after that seq; 0 starts with
    the oldest entry. `journal` comes first and says whose seqs these are, `lagged` that the reader
    was slow and is being caught up, `reset` that the cursor is of another journal.
    """
    cursor = int(last_event_id) if last_event_id else after_seq
    return Stream(
        Feed(services, who, wanted).lines(cursor),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class Feed:
    """One stream. `lines` is what is sent."""

    def __init__(self, services: Services, who: Identity, wanted: Filter) -> None:
        self._services, self._who, self._wanted = services, who, wanted
        self._passes: Predicate = matcher(wanted)
        self._sent = 0

    async def lines(self, cursor: int | None) -> AsyncIterator[bytes]:
        """The stream's bytes; ends when the hub closes."""
        journal = self._services.intake.journal
        last = journal.last_seq
        about = {"journal_id": journal.id, "last_seq": last}
        yield b"retry: %d\n" % RETRY + _event("journal", about, None)
        if cursor is not None and cursor > last:
            yield _event("reset", about, last)
            cursor = last
        self._sent = last if cursor is None else cursor
        async for chunk in self._missed():
            yield chunk
        async for chunk in self._live():
            yield chunk

    async def _missed(self) -> AsyncIterator[bytes]:
        """From the journal: everything after what was sent, up to now."""
        while self._sent < self._services.intake.journal.last_seq:
            reached = self._services.intake.journal.last_seq
            page = await self._services.reader.page(self._wanted, after=self._sent, limit=PAGE)
            if page.entries:
                yield b"".join(self._line(entry) for entry in page.entries)
            if not page.has_more:
                self._sent = max(self._sent, reached)

    async def _live(self) -> AsyncIterator[bytes]:
        subscription = self._services.hub.subscribe(
            self._passes, self._services.intake.journal.last_seq
        )
        try:
            async for chunk in self._missed():
                yield chunk
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        entry = await subscription.get()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                except Lagged as lagged:
                    self._sent = max(self._sent, lagged.after_seq)
                    yield _event("lagged", {"after_seq": self._sent}, None)
                    async for chunk in self._missed():
                        yield chunk
                    continue
                if entry is None:
                    return
                if entry.seq > self._sent:
                    yield self._line(entry)
        finally:
            subscription.close()

    def _line(self, entry: Entry) -> bytes:
        self._sent = entry.seq
        data = _encode(shown(entry, self._who))
        return b"id: %d\nevent: activity_logged\ndata: %s\n\n" % (entry.seq, data)


def _event(name: str, data: dict[str, Any], seq: int | None) -> bytes:
    lead = b"" if seq is None else b"id: %d\n" % seq
    return b"%sevent: %s\ndata: %s\n\n" % (lead, name.encode(), _encode(data))


HANDLERS: Final[list[Any]] = [stream]
