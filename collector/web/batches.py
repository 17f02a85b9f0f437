"""A request's body as events to submit, in pieces of bounded cost.

Sixteen megabytes may be one event, a hundred thousand, or brackets without end. Nothing here, and
nothing that a piece costs the intake, holds the event loop for longer than a short turn: who records
over the socket meanwhile waits for one piece at most.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec

from collector.core.decoding import Request as Item
from collector.core.decoding import decode_chunk, decode_each, decode_line
from collector.core.json_array import Span, spans
from collector.errors import InvalidEvent, Rejected
from collector.event import Draft

EVENT_BYTES_MAX: Final = 256 * 1024
"""Bytes of one event, as of one line over the socket."""
EVENTS_MAX: Final = 100_000
"""Events of one request: their answers are kept until the last is there."""
PIECE_BYTES: Final = 64 * 1024
"""Bytes of whole events that are worked on at once."""
PIECE_EVENTS: Final = 1_000

Piece = bytes | list[Item]
"""Whole lines as they came, or requests that are decoded already."""


class Batch(msgspec.Struct):
    """The pieces of a request, how many events they are, and whether it was one alone."""

    pieces: list[Piece]
    count: int
    single: bool = False


async def lines(body: bytes, tenant: str | None) -> Batch:
    """NDJSON. `tenant` is what the sender is bound to. Raises `Rejected` for too many events."""
    batch = Batch([], 0)
    for piece in _cut(body):
        if len(piece) > EVENT_BYTES_MAX:  # only a line that is too long by itself
            batch.count += 1
            batch.pieces.append([_too_long()])
        else:
            present = [line for line in piece.split(b"\n") if line.strip()]
            batch.count += len(present)
            batch.pieces.append(
                piece if tenant is None else _bound_each(decode_each(present), tenant)
            )
        if batch.count > EVENTS_MAX:
            raise _too_many()
        await asyncio.sleep(0)
    return batch


def _cut(body: bytes) -> Iterable[bytes]:
    """Whole lines, `PIECE_BYTES` at most where no line is longer, each piece with its last newline."""
    start = 0
    while start < len(body):
        end = body.rfind(b"\n", start, start + PIECE_BYTES) + 1
        if not end:
            end = body.find(b"\n", start) + 1 or len(body)
        piece = body[start:end]
        yield piece if piece.endswith(b"\n") else piece + b"\n"
        start = end


async def document(body: bytes, tenant: str | None) -> Batch:
    """JSON: one draft, or an array of drafts. Raises `InvalidJSON` for what is neither, `Rejected`."""
    if body.lstrip()[:1] != b"[":
        return Batch([_plain([_decoded_alone(body)], tenant)], 1, single=True)
    places = await _places(body)
    batch = Batch([], len(places))
    for piece in _grouped(places):
        elements = [body[start:end] for start, end in piece]
        batch.pieces.append(_plain(_decoded(elements), tenant))
        await asyncio.sleep(0)
    return batch


async def _places(body: bytes) -> list[Span]:
    places: list[Span] = []
    for place in spans(body):
        if place is None:
            await asyncio.sleep(0)
            continue
        places.append(place)
        if len(places) > EVENTS_MAX:
            raise _too_many()
    return places


def _grouped(places: list[Span]) -> Iterable[list[Span]]:
    start = 0
    for number in range(1, len(places) + 1):
        span = places[number - 1][1] - places[start][0]
        full = number - start >= PIECE_EVENTS or span >= PIECE_BYTES
        if full or number == len(places):
            yield places[start:number]
            start = number


def _decoded(elements: list[bytes]) -> list[Item]:
    if max(map(len, elements)) > EVENT_BYTES_MAX:
        return [_decoded_alone(element) for element in elements]
    joined = b"\n".join(elements) + b"\n"
    if joined.count(b"\n") == len(elements) and (drafts := decode_chunk(joined)) is not None:
        return list(drafts)
    return decode_each(elements)


def _decoded_alone(event: bytes) -> Item:
    return decode_line(event) if len(event) <= EVENT_BYTES_MAX else _too_long()


def _plain(items: list[Item], tenant: str | None) -> list[Item]:
    """Commands are for the socket; over HTTP each has a path of its own."""
    events: list[Item] = [no_command() if isinstance(item, dict) else item for item in items]
    return events if tenant is None else _bound_each(events, tenant)


def _bound_each(items: list[Item], tenant: str) -> list[Item]:
    return [_bound(item, tenant) for item in items]


def _bound(item: Item, tenant: str) -> Item:
    """A key of one tenant writes only that tenant's events."""
    if not isinstance(item, Draft):
        return item
    if item.tenant_id and item.tenant_id != tenant:
        return Rejected("denied", f"this key is bound to the tenant {tenant!r}")
    return msgspec.structs.replace(item, tenant_id=tenant)


def no_command() -> Rejected:
    """The answer to a command among events."""
    return InvalidEvent("`op` is for the socket; over HTTP there is a path for it")


def _too_long() -> Rejected:
    return Rejected("too_large", f"an event may have at most {EVENT_BYTES_MAX} bytes; send less")


def _too_many() -> Rejected:
    return Rejected("too_large", f"a request may have at most {EVENTS_MAX:,} events; send several")
