"""The Unix source on a real journal and a real socket, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collector.config import UnixLimits
from collector.core.admission import Admission
from collector.core.control import Caller, PruneRequest, PruneResult
from collector.core.redaction import Redactor
from collector.hub import Hub
from collector.intake import Intake
from collector.journal.versions import Versions
from collector.journal.writer import Journal
from collector.sources.socket_file import SocketFile
from collector.sources.unix import UnixSource

GOOD = {"action": "thing.done"}


def recording(journal: Journal) -> Intake:
    """An intake on this journal and the running loop."""
    redactor = Redactor(keys=("password",), patterns=(), emails="hash", key=journal.hmac_key)
    return Intake(
        journal,
        Admission(journal.books, redactor),
        Versions(journal.connection, (), redactor),
        Hub(journal.entries),
        wall=time.time,
        monotonic=time.monotonic,
        call_soon=asyncio.get_running_loop().call_soon,
    )


class Orders:
    """What commands ask of the daemon; `gate` holds a prune until it is set."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[Caller] = []

    def status(self) -> dict[str, Any]:
        return {"state": "recording"}

    async def prune(self, request: PruneRequest, caller: Caller) -> PruneResult:
        self.asked.append(caller)
        await self.gate.wait()
        if request.max_entries == 666:
            raise ZeroDivisionError("a fault of ours")
        return PruneResult(request.max_entries or 0)


@dataclass
class Served:
    """A source that serves; `lost` counts what it turned away."""

    path: Path
    journal: Journal
    intake: Intake
    source: UnixSource
    orders: Orders
    lost: Counter[str]
    lines: list[Line] = field(default_factory=list)

    async def line(self, limit: int = 1 << 16) -> Line:
        """A connection, closed at the end of the test; receives ahead no more than `limit` bytes."""
        self.lines.append(Line(*await asyncio.open_unix_connection(self.path, limit=limit)))
        return self.lines[-1]

    def stored(self) -> int:
        """Entries in the journal, by another connection's eyes."""
        row = self.journal.connection.execute("SELECT count(*) FROM log").fetchone()
        return int(row[0])


class Line:
    """One connection of a producer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *requests: dict[str, Any] | bytes) -> None:
        """Send lines: objects are encoded, bytes get their newline."""
        self.raw(b"".join(encoded(request) for request in requests))

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def reply(self, within: float = 20.0) -> dict[str, Any]:
        """The next reply. Raises `EOFError` where the source has closed."""
        line = await asyncio.wait_for(self.reader.readline(), within)
        if not line:
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def replies(self, count: int) -> list[dict[str, Any]]:
        """So many replies."""
        return [await self.reply() for _ in range(count)]

    async def ask(self, request: dict[str, Any] | bytes) -> dict[str, Any]:
        """Send one, and its reply."""
        self.send(request)
        return await self.reply()

    async def rest(self) -> list[dict[str, Any]]:
        """Every reply until the source closes."""
        answers = []
        try:
            while True:
                answers.append(await self.reply())
        except (EOFError, ConnectionResetError):
            return answers


def encoded(request: dict[str, Any] | bytes) -> bytes:
    """One request as its line."""
    return (request if isinstance(request, bytes) else json.dumps(request).encode()) + b"\n"


@contextlib.asynccontextmanager
async def served(folder: Path, **limits: Any) -> AsyncIterator[Served]:
    """Serve on `folder`'s socket until the block ends."""
    journal = Journal.open(folder / "events.db")
    intake, orders, lost = recording(journal), Orders(), Counter[str]()
    file = SocketFile(str(folder / "s"), 0o666, None)
    source = UnixSource(
        file.listener,
        intake,
        orders,  # type: ignore[arg-type]
        UnixLimits(**limits),
        (),
        lambda cause, count: lost.update({cause: count}),
    )
    source.start()
    made = Served(Path(file.path), journal, intake, source, orders, lost)
    try:
        yield made
    finally:
        for line in made.lines:
            line.writer.close()
        await source.stop()
        file.close()
        journal.close()
