"""The audit of a session: its listeners, and what happens when it commits or rolls back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from collector.client.fields import Deed
from collector.client.functions import default
from collector.client.quiet import quiet
from collector.client.rows import object_type
from collector.client.rows import record as record_changes
from collector.client.sqlalchemy.ledger import Ledger
from collector.client.sqlalchemy.models import Models
from collector.client.sqlalchemy.objects import EVENTS, Objects
from collector.client.sqlalchemy.statements import Statements
from collector.client.trail import Trail


def audit_session(
    target: Any,
    models: Iterable[type] | Mapping[type, str],
    /,
    *,
    trail: Trail | None = None,
    ignore: Iterable[str] = (),
    **fields: Unpack[Deed],
) -> SessionAudit:
    """Record the committed changes of `models`, and of their subclasses, made through `target`.

    `target` is a sessionmaker, a Session class or instance, or one of their asynchronous twins. A
    mapping of `models` gives their object types; else `OrderLine` is `order_line`. `ignore` names
    attributes that are never recorded; deferred columns are not either. `trail` is by default what
    `configure` chose, `fields` hold for every event. Listeners last until `remove`.
    """
    kinds = models if isinstance(models, Mapping) else {each: object_type(each) for each in models}
    return SessionAudit(target, kinds, trail, frozenset(ignore), fields)


class SessionAudit:
    """The listeners that `audit_session` set up."""

    def __init__(
        self,
        target: Any,
        kinds: Mapping[type, str],
        trail: Trail | None,
        ignore: frozenset[str],
        fields: Mapping[str, Any],
    ) -> None:
        self._trail = trail
        self._fields = fields
        self._ledger = Ledger()
        models = Models(kinds, ignore)
        self._objects = Objects(models, self._ledger)
        self._statements = Statements(models, self._ledger)
        self._listening: list[tuple[Any, str, Callable[..., Any]]] = []
        self._listen(_sync(target), kinds)

    def _listen(self, target: Any, models: Iterable[type]) -> None:
        for name in ("after_begin", "before_flush", "after_flush", "after_commit",
                     "after_soft_rollback"):  # fmt: skip
            self._hear(target, name, getattr(self, f"_{name}"))
        self._hear(target, "do_orm_execute", self._statements.do_orm_execute)
        for model in models:
            for name in EVENTS:
                self._hear(model, name, getattr(self._objects, name), propagate=True)

    def _hear(self, target: Any, name: str, listener: Callable[..., Any], **how: bool) -> None:
        event.listen(target, name, listener, **how)
        self._listening.append((target, name, listener))

    def remove(self) -> None:
        """Record nothing more."""
        for target, name, listener in self._listening:
            event.remove(target, name, listener)
        self._listening.clear()

    def _after_begin(self, session: Session, transaction: Any, connection: Connection) -> None:
        if self._ledger.connect(session, connection):
            event.listen(connection, "before_execute", self._statements.before_execute)

    def _before_flush(self, session: Session, context: Any, instances: Any) -> None:
        self._ledger.open(session).flushing = True

    def _after_flush(self, session: Session, context: Any) -> None:
        self._ledger.open(session).flushing = False

    @quiet
    def _after_commit(self, session: Session) -> None:
        changes = self._ledger.take(session)
        if changes:
            record_changes(self._trail or default(), changes, self._fields)

    @quiet
    def _after_soft_rollback(self, session: Session, previous: Any) -> None:
        self._ledger.forget(session, previous)


def _sync(target: Any) -> Any:
    """What listens to an asynchronous session is its synchronous inside.

    Who has one has imported that module; importing it here would need greenlet of everybody.
    """
    twins = sys.modules.get("sqlalchemy.ext.asyncio")
    if twins is None:
        return target
    if isinstance(target, twins.AsyncSession):
        return target.sync_session
    kind = target.class_ if isinstance(target, twins.async_sessionmaker) else target
    return getattr(kind, "sync_session_class", target)
