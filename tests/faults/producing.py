"""A producer that goes on whatever a failing call does to it, and knows what it was told."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.daemon.harness import Line
from tests.faults.calls import REFUSALS

BATCH: Final = 10
"""Events sent together: a few commits are enough to meet every call."""
PATIENCE: Final = 15.0
"""Seconds after which a daemon that does not take an event is one that hangs."""


class Ended(Exception):
    """The daemon ended while a producer was talking to it."""


class Hangs(Exception):
    """Something did not come to an end within its deadline; the text says what."""


class Producer:
    """What was sent, what was acknowledged under which seq, and what should not have been said."""

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.acknowledged: dict[str, int] = {}
        self.ids: dict[str, str] = {}
        """The id of each event that may be sent again, its producer's or the daemon's."""
        self.wrong: list[str] = []
        self.refused: dict[str, int] = {}
        self.on_refusal: Callable[[], None] = lambda: None
        """Called after an answer that says: later."""

    def record(self, path: Path, alive: Callable[[], bool], names: list[str], *, ids: bool) -> None:
        """Send events, in batches, until each is answered with yes; those that were cut off without
        an id are left open. Raises `Ended`, `Hangs`."""
        if ids:
            self.ids |= {name: str(uuid.uuid4()) for name in names}
        self.converse(path, alive, names)

    def converse(self, path: Path, alive: Callable[[], bool], names: list[str]) -> None:
        """Send these events until each is answered, or cut off without an id."""
        deadline = time.monotonic() + PATIENCE
        waiting = list(names)
        while waiting:
            try:
                with Line(path, timeout=PATIENCE) as line:
                    while waiting:
                        self._batch(line, waiting)
                        _still(deadline, alive, f"{waiting[:3]} are not taken: {self.refused}")
            except TimeoutError:
                raise Hangs(f"no answer to {waiting[:3]} within {PATIENCE:g} s") from None
            except (OSError, EOFError):
                waiting = [name for name in waiting if name in self.ids or name not in self.sent]
                _still(deadline, alive, f"no connection lasts; open: {waiting[:3]}")

    def _batch(self, line: Line, waiting: list[str]) -> None:
        """One batch of what waits: what is taken leaves it, as does what is wrong."""
        batch = waiting[:BATCH]
        self.sent.update(batch)
        line.send(*(self._event(name) for name in batch))
        later = False
        for name in batch:
            later |= self._told(name, line.reply(), waiting)
        if later:
            self.on_refusal()
            time.sleep(0.02)

    def _event(self, name: str) -> dict[str, Any]:
        event: dict[str, Any] = {"action": "fault.tried", "object_type": "thing", "object_id": name}
        if name in self.ids:
            event["id"] = self.ids[name]
        if int(name.rpartition("-")[2]) % 10 == 0:
            event["record"] = {"name": name, "text": "x" * 2000}
        return event

    def _told(self, name: str, answer: dict[str, Any], waiting: list[str]) -> bool:
        """Take one answer over; whether it says: later."""
        if answer["ok"]:
            waiting.remove(name)
            before = self.acknowledged.setdefault(name, answer["seq"])
            if before != answer["seq"]:
                self.wrong.append(f"{name} was acknowledged as {before}, then as {answer['seq']}")
            return False
        code = answer["code"]
        self.refused[code] = self.refused.get(code, 0) + 1
        if code not in REFUSALS:
            self.wrong.append(f"{name} was refused: {answer}")
            waiting.remove(name)
        if "id" in answer:
            self.ids[name] = answer["id"]
        return True

    def ask(
        self, path: Path, alive: Callable[[], bool], command: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The answer to a command, which is not sent again where its connection ends: None then."""
        try:
            with Line(path, timeout=PATIENCE) as line:
                return line.ask(command)
        except TimeoutError:
            raise Hangs(f"no answer to {command} within {PATIENCE:g} s") from None
        except (OSError, EOFError):
            if not alive():
                raise Ended from None
            return None


def _still(deadline: float, alive: Callable[[], bool], why: str) -> None:
    if not alive():
        raise Ended
    if time.monotonic() > deadline:
        raise Hangs(why)
