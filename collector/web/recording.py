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
from collector.core.decoding import decode_line
from collector.core.protocol import refusal, reply
from collector.errors import InvalidEvent, InvalidJSON, Rejected
from collector.event import Draft, Receipt
from collector.intake import Intake, Sender
from collector.web.access import may_record
from collector.web.bodies import media_type
from collector.web.identity import Identity
from collector.web.problems import Refused
from collector.web.services import Given, Who

BODY_MAX: Final = 16 * 1024 * 1024
"""Bytes of one request's body."""
NDJSON: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/json-lines"}
)
_raw_array: Final = msgspec.json.Decoder(list[msgspec.Raw])
_drafts: Final = msgspec.json.Decoder(list[Draft])
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
        self.reply(reply(refusal(_no_command())))
        if rest:
            self._intake.submit(rest, self._sender, self)


def _no_command() -> Rejected:
    return InvalidEvent("`op` is for the socket; over HTTP there is a path for it")


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
        content, count, single = _lines(body, who)
    elif kind == "application/json":
        content, count, single = _json(body, who)
    else:
        known = "application/json or application/x-ndjson"
        raise Refused("unsupported_media_type", f"the Content-Type must be {known}")
    replies = Replies(intake, sender, count)
    if count:
        intake.submit(content, sender, replies)
        await replies.done
    return _answer(bytes(replies.lines), count, single)


def _lines(body: bytes, who: Identity) -> tuple[bytes | list[Item], int, bool]:
    if body and not body.endswith(b"\n"):
        body += b"\n"
    lines = [line for line in body.split(b"\n") if line.strip()]
    if who.tenant_id is None:
        return body, len(lines), False
    return [_bound(decode_line(line), who.tenant_id) for line in lines], len(lines), False


def _json(body: bytes, who: Identity) -> tuple[list[Item], int, bool]:
    single = body.lstrip()[:1] != b"["
    items: list[Item] = [decode_line(body)] if single else _array(body)
    items = [_no_command() if isinstance(item, dict) else item for item in items]
    if who.tenant_id is not None:
        items = [_bound(item, who.tenant_id) for item in items]
    return items, len(items), single


def _array(body: bytes) -> list[Item]:
    try:
        return list(_drafts.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # one by one, so that each element has its own answer
    try:
        elements = _raw_array.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJSON(f"not a JSON array: {error}") from None
    return [decode_line(bytes(element)) for element in elements]


def _bound(item: Item, tenant: str) -> Item:
    """A key of one tenant writes only that tenant's events."""
    if not isinstance(item, Draft):
        return item
    if item.tenant_id and item.tenant_id != tenant:
        return Rejected("denied", f"this key is bound to the tenant {tenant!r}")
    return msgspec.structs.replace(item, tenant_id=tenant)


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
