"""Sinks for tests: one that remembers and answers questions, one that forgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from collector.client.ids import new_id
from collector.client.sinks import Counting, Null
from collector.client.trail import Clock, Trail, utc_now
from collector.client.wire import Redaction, Wire
from collector.event import DRAFT_FIELDS, Draft, Principal, Receipt


class NullSink(Trail):
    """Records nothing; every receipt is ok."""

    def __init__(self) -> None:
        super().__init__(Null())


class MemorySink(Trail):
    """Keeps what would have been sent: redacted, cut and checked as a `Client` would.

        sink = MemorySink()
        configure(sink)
        …
        assert sink.recorded("settings.updated", object_id="global")
        event = sink.one("person.deleted", outcome="failure")

    A question is an action (`"device.*"` is every action below) and any fields of a draft; `actor`,
    `on_behalf_of` and `target` may be `"type:id"`; `metadata` is a part of it. `strict` raises at
    the call where a receipt would say that the event is refused.
    """

    def __init__(
        self,
        *,
        strict: bool = True,
        redaction: Redaction | bool = True,
        clock: Clock = utc_now,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        rules = redaction if isinstance(redaction, Redaction) else None
        self._kept = _Kept(Wire(rules or (Redaction() if redaction else None)))
        super().__init__(self._kept, strict=strict, clock=clock, new_id=new_id)

    @property
    def events(self) -> list[Draft]:
        """What was recorded, oldest first."""
        return list(self._kept.events)

    def recorded(self, action: str | None = None, /, **expected: Any) -> Recorded:
        """The matching events: true where there are any, and equal to their number."""
        matching = [event for event in self._kept.events if _matches(event, action, expected)]
        return Recorded(matching, self._kept.events)

    def one(self, action: str | None = None, /, **expected: Any) -> Draft:
        """The only matching event. Raises AssertionError where there is none or several."""
        found = self.recorded(action, **expected)
        if len(found) != 1:
            raise AssertionError(f"expected one event, found {len(found)}: {found!r}")
        only: Draft = found[0]
        return only

    def clear(self) -> None:
        """Forget what was recorded."""
        self._kept.events.clear()


class Recorded(Sequence[Draft]):
    """The events that match a question. Its repr, which pytest prints, tells what there was."""

    def __init__(self, matching: list[Draft], everything: list[Draft]) -> None:
        self._matching = matching
        self._everything = list(everything)

    def __len__(self) -> int:
        return len(self._matching)

    def __iter__(self) -> Iterator[Draft]:
        return iter(self._matching)

    def __getitem__(self, index: Any) -> Any:
        return self._matching[index]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return len(self._matching) == other
        return isinstance(other, Recorded) and self._matching == other._matching

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        lines = [f"  {_line(event)}" for event in self._everything[-20:]]
        recorded = "\n".join(["recorded were:", *lines]) if lines else "nothing was recorded"
        return f"<{len(self._matching)} matching events; {recorded}>"


class _Kept(Counting):
    """The outlet: through the wire and back, so that a test sees what a daemon would get."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self.events: list[Draft] = []

    def submit(self, drafts: Sequence[Draft], warnings: Sequence[list[str]]) -> list[Receipt]:
        receipts = []
        for draft, notes in zip(drafts, warnings, strict=True):
            event = self._wire.bounded(draft, notes)
            self.events.append(event)
            seq = len(self.events)
            receipts.append(Receipt(ok=True, seq=seq, id=event.id, warnings=notes or None))
        return receipts


def _matches(event: Draft, action: str | None, expected: dict[str, Any]) -> bool:
    if action is not None and not _is_action(event.action, action):
        return False
    return all(_is(event, name, value) for name, value in expected.items())


def _is_action(actual: str, asked: str) -> bool:
    return actual.startswith(asked[:-1]) if asked.endswith(".*") else actual == asked


def _is(event: Draft, name: str, value: Any) -> bool:
    if name == "object":
        parts = (event.object_type, event.object_id, event.object_name)
        wanted = value.split(":", 1) if isinstance(value, str) else value
        return [str(part) for part in wanted] == [str(part) for part in parts[: len(wanted)]]
    if name not in DRAFT_FIELDS:
        raise TypeError(f"an event has no field {name!r}")
    actual = getattr(event, name)
    if name == "outcome":
        actual = actual or "success"
    if name == "metadata":
        return actual is not None and value.items() <= actual.items()
    if isinstance(actual, Principal) and isinstance(value, str):
        return value in (f"{actual.type}:{actual.id}", actual.id, actual.name)
    return bool(actual == value)


def _line(event: Draft) -> str:
    said = msgspec.json.encode(
        {
            name: value
            for name in DRAFT_FIELDS
            if name not in ("action", "id", "occurred_at")
            and (value := getattr(event, name)) is not None
        }
    ).decode()
    return f"{event.action} {said}"
