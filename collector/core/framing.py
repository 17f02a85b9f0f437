"""Newline-delimited frames: bytes in, complete lines out, however the bytes were split.

A frame is what stands before a newline. The framer holds at most one unfinished frame; what is
complete is handed on in one piece, newlines included, since one decode of many lines is what makes
a flood cheap. A frame over the limit is fatal for the stream: its end cannot be trusted any more.
"""

from __future__ import annotations


class FrameTooLarge(Exception):
    """A frame has outgrown the limit. `complete` holds the frames that came whole before it."""

    def __init__(self, complete: bytes, limit: int) -> None:
        self.complete = complete
        super().__init__(f"a line may have at most {limit} bytes; send less, or split the event")


class Framer:
    """Collects bytes into whole lines of at most `limit` bytes, the newline not counted."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rest = bytearray()

    @property
    def unfinished(self) -> int:
        """Bytes of the frame that has begun and not ended."""
        return len(self._rest)

    def feed(self, data: bytes) -> bytes:
        """The complete lines so far, each with its newline. Raises `FrameTooLarge`."""
        if not self._rest and data.endswith(b"\n") and len(data) <= self.limit:
            return data
        end = data.rfind(b"\n") + 1
        if not end:
            self._rest += data
            if len(self._rest) > self.limit:
                raise FrameTooLarge(b"", self.limit)
            return b""
        complete = bytes(self._rest) + data[:end] if self._rest else data[:end]
        self._rest = bytearray(data[end:])
        if len(complete) > self.limit or len(self._rest) > self.limit:
            self._check(complete)
        return complete

    def _check(self, complete: bytes) -> None:
        start = 0
        while (end := complete.find(b"\n", start)) >= 0:
            if end - start > self.limit:
                raise FrameTooLarge(complete[:start], self.limit)
            start = end + 1
        if len(self._rest) > self.limit:
            raise FrameTooLarge(complete, self.limit)
