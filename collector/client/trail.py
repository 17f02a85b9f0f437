"""The recording calls: what every sink offers, whatever becomes of the events.

    Trail(outlet).record("settings.updated", object=("settings", "global"), …) -> Receipt

No call raises because of the daemon, the socket or the event's content: the receipt says what
happened. `strict=True` raises, for tests.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

import msgspec

from collector.client import notices
from collector.client.compose import compose
from collector.client.context import ambient
from collector.client.fields import Deed, Fields
from collector.client.ids import new_id
from collector.client.sinks import Outlet
from collector.errors import CODES, CollectorError, Rejected
from collector.event import RESERVED_METADATA, Draft, Receipt

if TYPE_CHECKING:
    from collector.client.block import Audit

Clock = Callable[[], dt.datetime]
_now, _UTC = dt.datetime.now, dt.UTC
Made = tuple[Draft, list[str]] | Receipt


def utc_now() -> dt.datetime:
    """The time of day, aware."""
    return _now(_UTC)


class Trail:
    """Recording over one outlet. `clock` and `new_id` can be fixed for tests.

    `timeout` (s) is how long `flush` and `close` take when they are not told.
    """

    _receipts: type[Receipt] = Receipt

    def __init__(
        self,
        outlet: Outlet,
        *,
        strict: bool = False,
        timeout: float = 5.0,
        clock: Clock = utc_now,
        new_id: Callable[[], str] = new_id,
    ) -> None:
        self._outlet = outlet
        self._strict = strict
        self._timeout = timeout
        self.clock = clock
        self.new_id = new_id

    # ── recording ───────────────────────────────────────────────────────────────────────────────

    def record(self, action: str | Draft, /, **fields: Unpack[Fields]) -> Receipt:
        """Record one event. `action` may be a whole Draft, which makes a Trail a `Sink`."""
        notes: list[str] = []
        try:
            draft = self._draft(action, fields, notes)
        except Exception as error:  # the caller never pays for auditing
            return self._refused(error, fields.get("id"))
        try:
            receipt = self._outlet.submit_one(draft, notes)
        except Exception as error:  # nor for a sink of theirs
            return self._refused(error, draft.id)
        if self._strict and not receipt.ok:
            _raise(receipt)
        return receipt

    def record_many(self, events: Iterable[Draft | Mapping[str, Any]], /) -> list[Receipt]:
        """Record several, each a Draft or a mapping of `action` and `record`'s arguments.

        One receipt each, in order; delivered together, which is quicker than one at a time.
        """
        made = [self._compose(*parts(event)) for event in events]
        ready = [one for one in made if not isinstance(one, Receipt)]
        try:
            answers = self._outlet.submit(
                [draft for draft, _ in ready], [notes for _, notes in ready]
            )
        except Exception as error:  # as in `record`
            answers = [self._refused(error, draft.id) for draft, _ in ready]
        return self._answered(made, answers)

    def record_success(self, action: str, /, **fields: Unpack[Fields]) -> Receipt:
        """It was done."""
        fields["outcome"] = "success"
        return self.record(action, **fields)

    def record_denied(
        self, action: str, /, *, required: Any = None, actual: Any = None, **fields: Unpack[Fields]
    ) -> Receipt:
        """It was not allowed: `required` and `actual` are roles, permissions or lists of them."""
        facts = {"required": required, "actual": actual}
        return self.record(action, **_with(fields, facts, outcome="denied"))

    def record_auth(
        self, action: str, /, *, outcome: str, reason: Any = None, **fields: Unpack[Deed]
    ) -> Receipt:
        """A login, a logout, a failed login; a `reason` is classified as `record_failure` does."""
        facts = _classified(reason) if reason is not None else {}
        fields.setdefault("category", "auth")
        return self.record(action, **_with(fields, facts, outcome=outcome))

    def record_failure(self, action: str, reason: Any, /, **fields: Unpack[Fields]) -> Receipt:
        """It was attempted and not completed. Of `reason` only what cannot leak a value is kept."""
        return self.record(action, **failure(fields, reason))

    def audit(self, action: str, /, **fields: Unpack[Fields]) -> Audit:
        """`with` (or `async with`) a block: exactly one event, of its success or its failure."""
        from collector.client.block import Audit

        return Audit(self, action, fields)

    def audited(
        self, action: str, /, **fields: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate a function, coroutine function or generator: each call is one event.

        A field's value may be a function: it gets the call's arguments and returns the value.
        """
        from collector.client.decorator import audited

        return audited(lambda: self, action, fields)

    def record_block(self, action: str, fields: Fields) -> Receipt:
        """Record the event of an audited block that ends in ordinary code."""
        return self.record(action, **fields)

    async def record_block_async(self, action: str, fields: Fields) -> Receipt:
        """Record the event of an audited block that ends in a coroutine."""
        return self.record(action, **fields)

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    @property
    def dropped(self) -> int:
        """Events that could not be delivered or were refused, so far."""
        return self._outlet.dropped

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was recorded is delivered; False where `timeout` (s) was too short."""
        return self._outlet.flush(self._timeout if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what can be delivered within `timeout` (s) and let go; False if some is left."""
        return self._outlet.close(self._timeout if timeout is None else timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _compose(self, action: Any, fields: Mapping[str, Any]) -> Made:
        """A draft and what was mended in it, or the receipt that says why there is none."""
        notes: list[str] = []
        try:
            return self._draft(action, fields, notes), notes
        except Exception as error:  # the caller never pays for auditing
            return self._refused(error, fields.get("id"))

    def _answered(self, made: Sequence[Made], answers: Sequence[Receipt]) -> list[Receipt]:
        """The outlet's receipts and those of what never got there, in the caller's order."""
        rest = iter(answers)
        receipts = [one if isinstance(one, Receipt) else next(rest) for one in made]
        for receipt in receipts:
            if self._strict and not receipt.ok:
                _raise(receipt)
        return receipts

    def _draft(self, action: Any, fields: Mapping[str, Any], notes: list[str]) -> Draft:
        if isinstance(action, Draft):
            fields = {**_said(action), **fields}
            action = action.action
        around = ambient()
        if around:
            fields = _merged(around, fields)
        draft = compose(action, fields, notes)
        if draft.id is None:
            draft.id = self.new_id()
        if draft.occurred_at is None:
            draft.occurred_at = self.clock()
        return draft

    def _refused(self, error: Exception, given: Any) -> Receipt:
        code = error.code if isinstance(error, Rejected) else "failed"
        if self._strict:
            raise error
        # The text of a foreign exception may hold a value; ours name only the field.
        text = str(error) if isinstance(error, CollectorError) else type(error).__name__
        try:
            self._outlet.refuse(code)
            notices.refused(code, text)
        except Exception:  # a sink of theirs that cannot even count, or the interpreter's end
            pass
        event_id = given if isinstance(given, str) else None
        return self._receipts(ok=False, id=event_id, code=code, error=text)


def failure(fields: Mapping[str, Any], reason: Any) -> Any:
    """The fields of a failure-side event: its four reserved keys win over the caller's."""
    return _with(fields, {"db_pending": True, **_classified(reason)}, outcome="failure")


def _classified(reason: Any) -> dict[str, Any]:
    from collector.client.reasons import classify  # its patterns, for those who fail

    return classify(reason)


def _with(fields: Mapping[str, Any], facts: Mapping[str, Any], outcome: str) -> Any:
    given = fields.get("metadata") or {}
    if not isinstance(given, Mapping):
        given = {"value": given}
    kept = {key: value for key, value in given.items() if key not in RESERVED_METADATA}
    kept.update((key, value) for key, value in facts.items() if value is not None)
    return {**fields, "outcome": outcome, "metadata": kept}


def _merged(around: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**around, **{name: value for name, value in fields.items() if value is not None}}
    inner, outer = fields.get("metadata"), around.get("metadata")
    if isinstance(outer, Mapping) and (inner is None or isinstance(inner, Mapping)):
        merged["metadata"] = {**outer, **(inner or {})}
    return merged


def _said(draft: Draft) -> dict[str, Any]:
    values = msgspec.structs.asdict(draft)
    del values["action"]
    return {name: value for name, value in values.items() if value is not None}


def parts(event: Draft | Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """An event of `record_many` as `record`'s arguments."""
    if isinstance(event, Draft):
        return event, {}
    if not isinstance(event, Mapping):
        return event, {}  # refused like any other action that is none
    return event.get("action"), {name: event[name] for name in event if name != "action"}


def _raise(receipt: Receipt) -> None:
    code: Any = receipt.code if receipt.code in CODES else "failed"
    raise Rejected(code, receipt.error or "refused")
