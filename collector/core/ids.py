"""Ids: what a producer may send, and the UUIDv7 that the daemon makes from an entry's address.

An assigned id is `recorded_at` in milliseconds (48 bits), version 7, the microseconds within that
millisecond (12 bits), the variant, the journal's tag (14 bits) and the entry's `seq` (48 bits): it
sorts by time, needs no index since it names its own row, and takes no room in the log. A later
event can get the same id only at the same microsecond under the same `seq`; the writer never hands
out a microsecond again under which a commit failed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from uuid import UUID

from collector.errors import InvalidEvent

_SPELLED: Final = re.compile(r"(?:urn:uuid:)?\{?[0-9A-Fa-f-]+\}?")
"""Python's UUID takes more: underscores, signs, spaces, digits of other scripts."""
SEQ_MASK: Final = (1 << 48) - 1
TAG_BITS: Final = 14
ASSIGNED_VERSION: Final = 7
"""The UUID version of assigned ids: the upper half of their seventh byte."""


def parse_id(text: str) -> bytes:
    """The 16 bytes of a UUID in any of its usual spellings. Raises `InvalidEvent`."""
    if len(text) == 36 and text[8] == text[13] == text[18] == text[23] == "-":
        try:
            raw = bytes.fromhex(text.replace("-", ""))
        except ValueError:
            raw = b""
        if len(raw) == 16:
            return raw
    try:
        if _SPELLED.fullmatch(text):
            return UUID(text).bytes
    except ValueError:
        pass
    raise InvalidEvent("Expected a UUID, or no `id` at all - at `$.id`")


def parse_ids(texts: Collection[str]) -> dict[str, bytes]:
    """The 16 bytes of each text that is a UUID; the others are left out.

    As many as a producer sends at once are parsed together: it takes a third of the time.
    """
    count, joined = len(texts), "".join(texts)
    dashes = "-" * count
    if set(map(len, texts)) == {36} and all(joined[n::36] == dashes for n in (8, 13, 18, 23)):
        try:
            raw = bytes.fromhex(joined.replace("-", ""))
        except ValueError:
            raw = b""
        if len(raw) == 16 * count:
            parts = [raw[n : n + 16] for n in range(0, 16 * count, 16)]
            return dict(zip(texts, parts, strict=True))
    parsed: dict[str, bytes] = {}
    for text in texts:
        try:
            parsed[text] = parse_id(text)
        except InvalidEvent:
            continue
    return parsed


def format_id(raw: bytes) -> str:
    """The canonical spelling of 16 bytes."""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def assigned_prefix(recorded_at: int, tag: int) -> str:
    """The first 24 characters of every id assigned at `recorded_at` (µs); `seq` in hex follows."""
    milliseconds, microseconds = divmod(recorded_at, 1000)
    return (
        f"{milliseconds >> 16 & 0xFFFFFFFF:08x}-{milliseconds & 0xFFFF:04x}-7{microseconds:03x}"
        f"-{0x8000 | tag:04x}-"
    )


def assigned_id(recorded_at: int, tag: int, seq: int) -> str:
    """The id of the entry `seq` recorded at `recorded_at` (µs), where its producer sent none."""
    return f"{assigned_prefix(recorded_at, tag)}{seq:012x}"


def assigned_seq(raw: bytes, tag: int) -> int | None:
    """The `seq` that an id names if this journal assigned it; the row there must still agree."""
    value = int.from_bytes(raw)
    if value >> 76 & 0xF != ASSIGNED_VERSION or value >> 48 & 0xFFFF != 0x8000 | tag:
        return None
    return value & SEQ_MASK
