"""Lines to drafts. A chunk of nothing but drafts is decoded in one go; any other with reasons.

What is one request and what is not never depends on how the bytes were split: either way each line
is decoded by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from collector.errors import InvalidEvent, InvalidJSON, Rejected
from collector.event import DRAFT_FIELDS, Draft

_drafts: Final = msgspec.json.Decoder(Draft)
_any: Final = msgspec.json.Decoder()
_UNKNOWN: Final = re.compile(r"unknown field `(.*)`(.*)", re.DOTALL)

HINTS_MAX: Final = 20
"""Mistakes in one chunk for which the nearest known key is looked for; that costs up to 0.1 ms each."""
NAME_MAX: Final = 40
"""Characters of an unknown key that is compared with the known ones: those have at most 14."""

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


def decode_line(line: bytes, *, hint: bool = True) -> Request:
    """One line without its newline, as what it is; with `hint` an unknown key's nearest is named."""
    try:
        return _drafts.decode(line)
    except msgspec.ValidationError as error:
        command = _command(line)
        return command if command is not None else InvalidEvent(explain(str(error), hint=hint))
    except UnicodeDecodeError as error:
        return InvalidJSON(f"not UTF-8 at byte {error.start}")
    except RecursionError:
        return InvalidJSON("nested too deeply")
    except msgspec.MsgspecError as error:
        return InvalidJSON(f"not one JSON object: {error}")


def decode_lines(chunk: bytes) -> list[Request]:
    """Every line that is not blank, each as what it is."""
    return decode_each(line for line in chunk.split(b"\n") if line.strip())


def decode_each(lines: Iterable[bytes]) -> list[Request]:
    """Each line as what it is; for the first `HINTS_MAX` mistakes the nearest known key is named."""
    requests: list[Request] = []
    mistakes = 0
    for line in lines:
        request = decode_line(line, hint=mistakes < HINTS_MAX)
        mistakes += isinstance(request, InvalidEvent)
        requests.append(request)
    return requests


def explain(message: str, *, hint: bool = True) -> str:
    """msgspec's message with the known keys added where a field is unknown, or with the nearest."""
    match = _UNKNOWN.search(message)
    if match is None:
        return message
    where = match[2] or " - at `$`"
    known: tuple[str, ...] = DRAFT_FIELDS
    if "$." in where:
        known = ("type", "id", "name", "role", "email")
    near = _nearest(match[1], known) if hint else None
    advice = f"; did you mean `{near}`?" if near else f"; known are {', '.join(known)}"
    return f"Object contains unknown field `{match[1][:100]}`{where}{advice}"


def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    if len(name) > NAME_MAX:
        return None
    import difflib  # rarely needed, and slow to import

    return next(iter(difflib.get_close_matches(name, known, 1, 0.6)), None)


def _command(line: bytes) -> dict[str, Any] | None:
    try:
        value = _any.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) and "op" in value else None
