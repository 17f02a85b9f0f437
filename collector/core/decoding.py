"""Lines to drafts. A chunk of nothing but drafts is decoded in one go; any other with reasons.

What is one request and what is not never depends on how the bytes were split: either way each line
is decoded by itself.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from collector.errors import InvalidEvent, InvalidJSON, Rejected
from collector.event import DRAFT_FIELDS, Draft

_drafts: Final = msgspec.json.Decoder(Draft)
_any: Final = msgspec.json.Decoder()
_UNKNOWN: Final = re.compile(r"unknown field `(.*)`(.*)", re.DOTALL)

Request = Draft | dict[str, Any] | Rejected
"""One line: an event's draft, a command (an object with the key `op`), or why it is neither."""


def decode_chunk(chunk: bytes) -> list[Draft] | None:
    """The drafts of a chunk of whole lines; None where one of them is something else."""
    *lines, rest = chunk.split(b"\n")
    decode = _drafts.decode
    try:
        return None if rest else [decode(line) for line in lines]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def decode_line(line: bytes) -> Request:
    """One line without its newline, as what it is."""
    try:
        return _drafts.decode(line)
    except msgspec.ValidationError as error:
        command = _command(line)
        return command if command is not None else InvalidEvent(explain(str(error)))
    except UnicodeDecodeError as error:
        return InvalidJSON(f"not UTF-8 at byte {error.start}")
    except RecursionError:
        return InvalidJSON("nested too deeply")
    except msgspec.MsgspecError as error:
        return InvalidJSON(f"not one JSON object: {error}")


def decode_lines(chunk: bytes) -> list[Request]:
    """Every line that is not blank, each as what it is."""
    return [decode_line(line) for line in chunk.split(b"\n") if line.strip()]


def explain(message: str) -> str:
    """msgspec's message with the nearest known key added where a field is unknown."""
    match = _UNKNOWN.search(message)
    if match is None:
        return message
    import difflib  # rarely needed, and slow to import

    where = match[2] or " - at `$`"
    known: tuple[str, ...] = DRAFT_FIELDS
    if "$." in where:
        known = ("type", "id", "name", "role", "email")
    near = difflib.get_close_matches(match[1], known, 1, 0.6)
    hint = f"; did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}"
    return f"Object contains unknown field `{match[1][:100]}`{where}{hint}"


def _command(line: bytes) -> dict[str, Any] | None:
    try:
        value = _any.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) and "op" in value else None
