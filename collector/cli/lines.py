"""The lines of a file of events, as they come: numbered, and each with why it must not be sent."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

from collector.cli.draft import line as to_line
from collector.cli.draft import refused_locally
from collector.errors import Rejected

CHUNK: Final = 256 * 1024
LINE_MAX: Final = 16 << 20
"""Bytes of a line; the largest frame that a daemon can be configured to take."""


class Line(NamedTuple):
    """A line: its number from 1, its bytes without the newline, and why it is not sent, if so."""

    number: int
    text: bytes
    refusal: Rejected | None = None


class Source:
    """Lines of a file descriptor, blank ones left out. Never more than one line is kept."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        self._number = 0
        self._parts: list[bytes] = []
        self._size = 0

    def read(self) -> Iterator[Line]:
        """The lines completed by one read; the last may lack its newline."""
        chunk = os.read(self.descriptor, CHUNK)
        self.ended = not chunk
        *complete, rest = chunk.split(b"\n")
        for text in complete:
            yield from self._line(text)
        self._keep(rest)
        if self.ended and self._size:
            yield from self._line(b"")

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size <= LINE_MAX:
            self._parts.append(part)
        else:
            self._parts.clear()

    def _line(self, end: bytes) -> Iterator[Line]:
        self._number += 1
        self._keep(end)
        long = self._size > LINE_MAX
        text = b"".join(self._parts)
        self._parts, self._size = [], 0
        if long:
            refusal = Rejected("too_large", f"more than {LINE_MAX >> 20} MiB without a newline")
            yield Line(self._number, b"", refusal)
        elif text.strip():
            yield Line(self._number, text, refused_locally(text))


def opened(name: str) -> IO[bytes] | None:
    """The file `name` with one event a line, None for stdin (`-`). Raises OSError.

    A file that holds one document instead (an event over several lines, or an array of them) is
    opened as if each of its events stood on a line.
    """
    if name == "-":
        return None
    stream: io.FileIO = open(name, "rb", buffering=0)  # noqa: SIM115 - read until the process ends
    events = _document(stream) if os.path.isfile(name) else None
    if events is None:
        return stream
    stream.close()
    spread = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - as above
    for event in events:
        spread.write(to_line(event))
    spread.seek(0)
    return spread


def _document(stream: IO[bytes]) -> list[Any] | None:
    """The events of a file that is one JSON document and not one a line; then it is rewound."""
    head = stream.read(CHUNK)
    first = head.lstrip().split(b"\n", 1)[0]
    content = None
    if len(head) == CHUNK or _parsed(first) is None or first.startswith(b"["):
        content = _parsed(_rest(stream, head))
    stream.seek(0)
    if isinstance(content, dict):
        return [content]
    return content if isinstance(content, list) else None


def _rest(stream: IO[bytes], head: bytes) -> bytes:
    parts = [head]
    size = len(head)
    while size <= LINE_MAX and (chunk := stream.read(CHUNK)):
        parts.append(chunk)
        size += len(chunk)
    return b"".join(parts) if size <= LINE_MAX else b""


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
