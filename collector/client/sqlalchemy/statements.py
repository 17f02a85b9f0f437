"""Statements that change rows in bulk: read before and after, or refused before they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.sql.dml import UpdateBase

from collector.client.quiet import Meant, quiet
from collector.client.rows import Change
from collector.client.sqlalchemy.ledger import Ledger
from collector.client.sqlalchemy.models import BULK_MAX, Key, Model, Models, Row


class UnauditedStatement(Meant):
    """A statement would change audited rows unseen. The message says what to do instead."""


class Statements:
    """Listens to a session's execution, and to its connections for what goes past it."""

    def __init__(self, models: Models, ledger: Ledger) -> None:
        self._models, self._ledger = models, ledger

    def do_orm_execute(self, state: ORMExecuteState) -> Any:
        """Run a statement that changes audited rows, and note what it changed."""
        model = self._touched(state)
        if model is None:
            return None
        session = state.session
        if session.autoflush:
            session.flush()
        keys = self._affected(state, model)
        pending = self._ledger.open(session)
        pending.executing += 1
        try:
            with session.no_autoflush:
                before = keys if isinstance(keys, dict) else model.rows(session.execute, keys)
                result = state.invoke_statement()
                after = model.rows(session.execute, list(keys))
        finally:
            pending.executing -= 1
        self._collect(session, model, list(keys), before, after)
        return result

    @quiet
    def _collect(
        self,
        session: Session,
        model: Model,
        keys: Iterable[Key],
        before: Mapping[Key, Row],
        after: Mapping[Key, Row],
    ) -> None:
        self._ledger.add(
            session,
            [
                Change(model.kind, key, before.get(key), after.get(key), created=key not in before)
                for key in keys
            ],
        )

    def _touched(self, state: ORMExecuteState) -> Model | None:
        if not (state.is_update or state.is_delete or state.is_insert):
            return None
        if state.execution_options.get("audited") is False:
            return None
        return self._models.of_mapper(state.bind_mapper) or self._models.of_table(
            getattr(state.statement, "table", None)
        )

    def _affected(self, state: ORMExecuteState, model: Model) -> dict[Key, Row] | list[Key]:
        """The rows that a statement will touch, or the keys it names."""
        statement, parameters = state.statement, state.parameters
        several = list(parameters) if isinstance(parameters, list | tuple) else None
        if state.is_insert or (several is not None and state.is_update):
            if several is None:
                given: Any = parameters or {}
                several = [{**_values(statement), **given}]
            return _named_keys(several, model, "insert" if state.is_insert else "update")
        with state.session.no_autoflush:
            rows = model.where(
                lambda query: state.session.execute(query, parameters or {}),
                getattr(statement, "whereclause", None),
            )
        if len(rows) > BULK_MAX:
            raise UnauditedStatement(
                f"this statement touches more than {BULK_MAX} rows of {model.kind}: make it"
                " smaller, or say execution_options(audited=False) and record it yourself"
            )
        return rows

    def before_execute(
        self,
        connection: Connection,
        clause: Any,
        multiparams: Any,
        params: Any,
        execution_options: Mapping[str, Any],
    ) -> None:
        """Refuse what reaches the session's connection past the session itself."""
        if not isinstance(clause, UpdateBase) or execution_options.get("audited") is False:
            return
        pending = self._ledger.of_connection(connection)
        model = self._models.of_table(clause.table)
        if model is None or pending is None or pending.flushing or pending.executing:
            return
        raise UnauditedStatement(
            f"this statement changes {model.kind} past the session: use session.execute or"
            " session.add_all, or say execution_options(audited=False) and record it yourself"
        )


def _named_keys(rows: list[dict[str, Any]], model: Model, verb: str) -> list[Key]:
    """The primary keys that the parameters of a statement name. Raises `UnauditedStatement`."""
    keys = [tuple(each.get(name) for name in model.key_names) for each in rows]
    if any(part is None for key in keys for part in key):
        raise UnauditedStatement(
            f"this {verb} into {model.kind} does not name its primary keys: use session.add_all,"
            " give the keys, or say execution_options(audited=False) and record it yourself"
        )
    return keys


def _values(statement: Any) -> dict[str, Any]:
    """The values of `insert(…).values(…)`; several rows at once have none that can be told."""
    compiled = statement.compile()
    return dict(compiled.params)
