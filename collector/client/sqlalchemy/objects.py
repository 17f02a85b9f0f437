"""What a session's unit of work inserts, updates and deletes: each object before and after."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import inspect
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapper, object_session

from collector.client.quiet import quiet
from collector.client.rows import Change
from collector.client.sqlalchemy.ledger import Ledger, Pending
from collector.client.sqlalchemy.models import Key, Model, Models, Row

EVENTS: Final = (
    "before_update", "before_delete", "after_insert", "after_update", "after_delete",
)  # fmt: skip
"""The mapper's events, each with a method of that name."""


class Objects:
    """Listens to the mappers of the audited classes."""

    def __init__(self, models: Models, ledger: Ledger) -> None:
        self._models, self._ledger = models, ledger

    @quiet
    def before_update(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        """Remember the row, if the flush is going to write it."""
        pending = self._ledger.of_object(target)
        if pending is not None and object_session(target).is_modified(target):  # type: ignore[union-attr]
            self._remember(pending, mapper, connection, target)

    @quiet
    def before_delete(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        """Remember the row."""
        pending = self._ledger.of_object(target)
        if pending is not None:
            self._remember(pending, mapper, connection, target)

    @quiet
    def after_insert(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        """Note the new object."""
        session, model = object_session(target), self._models.of_mapper(mapper)
        if session is None or model is None or self._ledger.known(session) is None:
            return
        key = tuple(inspect(target).mapper.primary_key_from_instance(target))
        row = self._state(model, connection, target, key)
        self._ledger.add(session, [Change(model.kind, key, None, row, created=True)])

    @quiet
    def after_update(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        """Note what became of the object; a new key is one object gone and another made."""
        model, known = self._models.of_mapper(mapper), self._recalled(target)
        if model is None or known is None:
            return
        old_key, old = known
        key = tuple(mapper.primary_key_from_instance(target))
        row = self._state(model, connection, target, key)
        if key == old_key:
            changes = [Change(model.kind, key, old, row)]
        else:
            gone = Change(model.kind, old_key, old, None)
            changes = [gone, Change(model.kind, key, None, row, created=True)]
        self._ledger.add(object_session(target), changes)  # type: ignore[arg-type]

    @quiet
    def after_delete(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        """Note that the object is gone."""
        model, known = self._models.of_mapper(mapper), self._recalled(target)
        if model is not None and known is not None:
            gone = Change(model.kind, known[0], known[1], None)
            self._ledger.add(object_session(target), [gone])  # type: ignore[arg-type]

    def _remember(
        self, pending: Pending, mapper: Mapper[Any], connection: Connection, target: Any
    ) -> None:
        """The row as the database has it, asked for only where the object does not know it."""
        model, state = self._models.of_mapper(mapper), inspect(target)
        if model is None:
            return
        old: Row = {}
        for name in model.names:
            history = state.attrs[name].history
            if history.deleted:
                old[name] = history.deleted[0]
            elif name in state.dict and not history.added:
                old[name] = state.dict[name]
            else:
                old = model.rows(connection.execute, [state.identity]).get(state.identity, {})
                break
        pending.old[state] = (tuple(state.identity), old)

    def _recalled(self, target: Any) -> tuple[Key, Row] | None:
        pending = self._ledger.of_object(target)
        return pending.old.pop(inspect(target), None) if pending is not None else None

    def _state(self, model: Model, connection: Connection, target: Any, key: Key) -> Row:
        """The object after the flush; what the database computed is read back."""
        known = inspect(target).dict
        if all(name in known and not _expression(known[name]) for name in model.names):
            return {name: known[name] for name in model.names}
        return model.rows(connection.execute, [key]).get(key, {})


def _expression(value: Any) -> bool:
    return hasattr(value, "__clause_element__") or hasattr(value, "compile")
