"""`POST /events`: a draft, an array of drafts, or NDJSON, acknowledged after the commit.

NDJSON goes to the intake as it came, exactly as from the socket. A single draft that is refused is
an error of the request; in a batch each event has its own reply, and only where nothing was stored
because nothing can be stored now is the request an error.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import Request, Response, post
from litestar.enums import MediaType

from collector.core.decoding import Request as Item
from collector.core.protocol import refusal, reply
from collector.errors import Rejected
from collector.event import Receipt
from collector.intake import Intake, Sender
from collector.web import batches
from collector.web.access import may_record
from collector.web.batches import Batch, no_command
from collector.web.bodies import media_type
from collector.web.problems import Refused
from collector.web.services import Given, Who

BODY_MAX: Final = 16 * 1024 * 1024
"""Bytes of one request's body."""
NDJSON: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines"}
)
_receipt: Final = msgspec.json.Decoder(Receipt)


class Recorded(msgspec.Struct):
    """How many were stored now, were stored before, were refused; one reply each, in order."""

    accepted: int
    duplicates: int
    rejected: int
    replies: list[Receipt]


class Replies:
    """The intake's `Sink` for one request: collects reply lines until all are there."""

    def __init__(self, intake: Intake, sender: Sender, expected: int) -> None:
        self.lines = bytearray()
        self.done = asyncio.get_running_loop().create_future()
        self._intake, self._sender, self._missing = intake, sender, expected

    def reply(self, lines: bytes) -> None:
        """See `intake.Sink`."""
        self.lines += lines
        self._missing -= lines.count(b"\n")
        if self._missing <= 0 and not self.done.done():
            self.done.set_result(None)

    def command(self, command: dict[str, Any], rest: list[Item]) -> None:
        """Commands are for the socket; over HTTP each has a path of its own."""
        self.reply(reply(refusal(no_command())))
        if rest:
            self._intake.submit(rest, self._sender, self)


@post(
    "/events",
    guards=[may_record],
    tags=["events"],
    operation_id="recordEvents",
    status_code=200,
    request_max_body_size=BODY_MAX,
)
async def record_events(
    request: Request[Any, Any, Any], services: Given, who: Who
) -> Response[bytes]:
    """Record events; the answer comes when they are on the disk."""
    intake = services.intake
    if intake.congested:
        raise Rejected("busy", "more is arriving than the disk takes; try again")
    kind = media_type(request)
    body = await request.body()
    sender = Sender("http", who.producer, who.actor)
    if kind in NDJSON:
        batch = await batches.lines(body, who.tenant_id)
    elif kind == "application/json":
        batch = await batches.document(body, who.tenant_id)
    else:
        known = "application/json or application/x-ndjson"
        raise Refused("unsupported_media_type", f"the Content-Type must be {known}")
    replies = Replies(intake, sender, batch.count)
    if batch.count:
        await _submit(intake, batch, sender, replies)
        await replies.done
    return _answer(bytes(replies.lines), batch.count, batch.single)


async def _submit(intake: Intake, batch: Batch, sender: Sender, replies: Replies) -> None:
    """Hand in a piece at a time, and no faster than the disk takes them."""
    for piece in batch.pieces:
        while intake.congested:
            relieved = asyncio.Event()
            intake.when_relieved(relieved.set)
            await relieved.wait()
        intake.submit(piece, sender, replies)
        await asyncio.sleep(0)


def _answer(lines: bytes, count: int, single: bool) -> Response[bytes]:
    failed = lines.count(b'{"ok":false')
    if failed and failed == count:
        first = _receipt.decode(lines.partition(b"\n")[0])
        code: Any = first.code
        if single or first.retry:
            raise Rejected(code, first.error or "refused")
    duplicates = lines.count(b'"duplicate":true}\n')
    accepted = count - failed - duplicates
    head = f'{{"accepted":{accepted},"duplicates":{duplicates},"rejected":{failed},"replies":['
    body = head.encode() + lines[:-1].replace(b"\n", b",") + b"]}"
    return Response(body, media_type=MediaType.JSON)


HANDLERS: Final[list[Any]] = [record_events]
