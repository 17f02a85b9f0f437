"""`with audit("backup.restored") as event:` – exactly one event about a block of code.

The block behaves as it would without: its exception goes through untouched, nothing of ours
is raised into it, and what it records inside names this event as its cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from collector.client.context import ambient, enter, leave
from collector.client.ids import new_id
from collector.client.plain import fields_of
from collector.event import Receipt

if TYPE_CHECKING:
    from collector.client.trail import Trail


class Audit:
    """The event to be. Set what is known only inside the block: `event.metadata["bytes"] = 7`,
    `event.object = ("person", 7)`; any field of a draft is an attribute.

    `id` is the event's from the start; `receipt` is there when the block has ended.
    """

    action: str
    id: str
    metadata: dict[str, Any]
    receipt: Receipt | None

    def __init__(self, trail: Trail, action: str, fields: Mapping[str, Any]) -> None:
        own = self.__dict__
        own["_trail"] = trail
        own["action"] = action
        own["_reason"] = None
        own["_token"] = None
        own["receipt"] = None
        own["_fields"] = kept = dict(fields)
        kept["metadata"] = _own(kept.get("metadata"))
        kept["id"] = kept.get("id") or _id(trail)

    def __setattr__(self, name: str, value: Any) -> None:
        self._fields[name] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._fields.get(name)

    def fail(self, reason: Any) -> None:
        """The block ends normally, yet what it was to do failed."""
        self.__dict__["_reason"] = reason
        self._fields["outcome"] = "failure"

    def deny(self, *, required: Any = None, actual: Any = None) -> None:
        """What the block was to do was not allowed."""
        facts = {"required": required, "actual": actual}
        said = {key: value for key, value in facts.items() if value is not None}
        self._fields["metadata"] = {**_own(self._fields.get("metadata")), **said}
        self._fields["outcome"] = "denied"

    def __enter__(self) -> Self:
        self.__dict__["_token"] = self.step_in()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.step_out(self._token)
        self.finish(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.step_out(self._token)
        await self.finish_async(error)

    def step_in(self) -> Token[Mapping[str, Any]]:
        """What is recorded from here on was caused by this event."""
        return enter({**ambient(), "causation_id": self.id})

    def step_out(self, token: Token[Mapping[str, Any]]) -> None:
        """Until here."""
        leave(token)

    def finish(self, error: BaseException | None) -> None:
        """Record the event, once; `error` is what ended the block."""
        if self.receipt is None:
            try:
                told = self._trail.record_block(self.action, self.outcome(error))
            except Exception as refusal:  # of a strict sink
                told = self._unsaid(error, refusal)
            self.__dict__["receipt"] = told

    async def finish_async(self, error: BaseException | None) -> None:
        """The same from a coroutine, whose event loop goes on meanwhile."""
        if self.receipt is None:
            try:
                told = await self._trail.record_block_async(self.action, self.outcome(error))
            except Exception as refusal:  # of a strict sink
                told = self._unsaid(error, refusal)
            self.__dict__["receipt"] = told

    def _unsaid(self, error: BaseException | None, refusal: Exception) -> Receipt:
        """A block's own exception is never hidden behind a refusal."""
        if error is None:
            raise refusal
        return Receipt(ok=False, id=self.id, code="failed", error=type(refusal).__name__)

    def outcome(self, error: BaseException | None) -> Any:
        """What to record: the fields as they stand, with the failure's facts where it failed."""
        from collector.client.trail import failure

        reason = error if error is not None else self._reason
        fields = {**self._fields, "metadata": _own(self._fields.get("metadata"))}
        if reason is not None or fields.get("outcome") == "failure":
            fields = failure(fields, reason)
        return fields


def _own(metadata: Any) -> dict[str, Any]:
    """A copy of what the caller calls metadata, whatever it is; never raises."""
    try:
        return dict(metadata) if isinstance(metadata, Mapping) else fields_of(metadata) or {}
    except Exception:  # an iterator of theirs
        return {}


def _id(trail: Trail) -> str:
    try:
        return trail.new_id()
    except Exception:  # a generator of ids of theirs
        return new_id()
