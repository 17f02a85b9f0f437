"""Every committed change of mapped classes becomes an event, with the object's whole new state.

    from collector.client.sqlalchemy import audit_session

    audit_session(Session, [Person, Category])    # a sessionmaker, a Session class, an AsyncSession

A change is collected when it is flushed and recorded when the transaction commits; what is rolled
back, to a savepoint too, never was. Statements in bulk through the session are included: the rows
they touch are read before and after. What cannot be included raises `UnauditedStatement` before it
runs, so that it is found in development: inserts in bulk whose keys only the database knows, more
than `BULK_MAX` rows, and what goes past the session's own execution (`bulk_save_objects`, statements
on its connection). `execution_options(audited=False)` lets one through unseen. Textual SQL, triggers
and cascades inside the database, and connections that belong to no audited session are out of sight.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, Final, TypeVar, Unpack

from sqlalchemy import event, inspect, select, tuple_
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, object_session
from sqlalchemy.sql.dml import UpdateBase

from collector.client import notices
from collector.client.fields import Deed
from collector.client.functions import default
from collector.client.rows import Change, object_type
from collector.client.rows import record as record_changes
from collector.client.trail import Trail
from collector.errors import CollectorError

BULK_MAX: Final = 10_000
"""Rows of one statement that are read before and after it."""
KEYS_A_QUERY: Final = 500
"""Primary keys in one statement; databases limit the parameters, older SQLite to 999."""
F = TypeVar("F", bound=Callable[..., Any])
Row = dict[str, Any]
Key = tuple[Any, ...]


class UnauditedStatement(Exception):
    """A statement would change audited rows unseen. The message says what to do instead."""


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


def _quiet(listener: F) -> F:
    """Auditing never breaks a transaction, but where it says so on purpose."""

    @wraps(listener)
    def call(*args: Any) -> Any:
        try:
            return listener(*args)
        except (UnauditedStatement, CollectorError):
            raise
        except Exception as error:
            notices.refused("failed", f"a change could not be collected: {type(error).__name__}")

    return call  # type: ignore[return-value]


class _Model:
    """A mapped class: the attributes that are recorded, and its key."""

    def __init__(self, mapper: Mapper[Any], kind: str, ignore: frozenset[str]) -> None:
        self.kind = kind
        recorded = [
            attribute
            for attribute in mapper.column_attrs
            if attribute.key not in ignore and not attribute.deferred
        ]
        self.names = [attribute.key for attribute in recorded]
        entity = mapper.class_
        self._selected = [getattr(entity, name) for name in self.names]
        keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        self.key_names = keys
        self._keys = [getattr(entity, name) for name in keys]

    def rows(self, execute: Callable[[Any], Any], keys: Sequence[Key]) -> dict[Key, Row]:
        """The rows with these keys, by key."""
        found: dict[Key, Row] = {}
        for start in range(0, len(keys), KEYS_A_QUERY):
            some = keys[start : start + KEYS_A_QUERY]
            if len(self._keys) == 1:
                condition = self._keys[0].in_([key[0] for key in some])
            else:
                condition = tuple_(*self._keys).in_(some)
            found.update(self.where(execute, condition))
        return found

    def where(self, execute: Callable[[Any], Any], condition: Any) -> dict[Key, Row]:
        """The rows that meet a condition, one more than `BULK_MAX` at most."""
        query = select(*self._keys, *self._selected).limit(BULK_MAX + 1)
        if condition is not None:
            query = query.where(condition)
        width = len(self._keys)
        return {
            tuple(row[:width]): dict(zip(self.names, row[width:], strict=True))
            for row in execute(query)
        }


class _Pending:
    """What one session has flushed and not committed: changes, each with its (sub)transaction."""

    def __init__(self) -> None:
        self.changes: list[tuple[Any, Change]] = []
        self.flushing = False
        self.executing = 0
        self.old: dict[Any, tuple[Key, Row]] = {}


class SessionAudit:
    """The listeners that `audit_session` set up."""

    def __init__(
        self,
        target: Any,
        models: Mapping[type, str],
        trail: Trail | None,
        ignore: frozenset[str],
        fields: Mapping[str, Any],
    ) -> None:
        self._trail = trail
        self._fields = fields
        self._models: dict[Mapper[Any], _Model] = {}
        self._tables: dict[Any, _Model] = {}
        for model, kind in models.items():
            mappers: Iterable[Mapper[Any]] = inspect(model).self_and_descendants
            for mapper in mappers:
                self._models[mapper] = known = _Model(mapper, kind, ignore)
                self._tables.update((table, known) for table in mapper.tables)
        self._sessions: weakref.WeakKeyDictionary[Session, _Pending] = weakref.WeakKeyDictionary()
        self._connections: weakref.WeakKeyDictionary[Connection, _Pending] = (
            weakref.WeakKeyDictionary()
        )
        self._listening: list[tuple[Any, str, Callable[..., Any], bool]] = []
        self._listen(_sync(target), models)

    def _listen(self, target: Any, models: Iterable[type]) -> None:
        for name in (
            "after_begin", "before_flush", "after_flush", "after_commit", "after_soft_rollback",
            "do_orm_execute",
        ):  # fmt: skip
            self._listening.append((target, name, getattr(self, f"_{name}"), False))
        for model in models:
            for name in (
                "before_update", "before_delete", "after_insert", "after_update", "after_delete",
            ):  # fmt: skip
                self._listening.append((model, name, getattr(self, f"_{name}"), True))
        for where, name, listener, propagate in self._listening:
            event.listen(where, name, listener, **({"propagate": True} if propagate else {}))

    def remove(self) -> None:
        """Record nothing more."""
        for where, name, listener, _ in self._listening:
            event.remove(where, name, listener)
        self._listening.clear()

    # ── the transaction ─────────────────────────────────────────────────────────────────────────

    def _after_begin(self, session: Session, transaction: Any, connection: Connection) -> None:
        pending = self._sessions.setdefault(session, _Pending())
        if connection not in self._connections:
            event.listen(connection, "before_execute", self._before_execute)
        self._connections[connection] = pending

    @_quiet
    def _after_commit(self, session: Session) -> None:
        pending = self._sessions.get(session)
        if pending is None or session.get_nested_transaction() is not None:
            return  # a savepoint was released; what it holds is not committed yet
        changes, pending.changes = pending.changes, []
        record_changes(self._trail or default(), (each for _, each in changes), self._fields)

    @_quiet
    def _after_soft_rollback(self, session: Session, previous: Any) -> None:
        pending = self._sessions.get(session)
        if pending is None:
            return
        pending.flushing = False
        pending.old.clear()
        pending.changes = [
            (made_in, change)
            for made_in, change in pending.changes
            if not _within(made_in, previous)
        ]

    def _add(self, session: Session, changes: Iterable[Change]) -> None:
        made_in = session.get_nested_transaction() or session.get_transaction()
        self._sessions[session].changes += [(made_in, change) for change in changes]

    # ── objects, by the unit of work ────────────────────────────────────────────────────────────

    def _before_flush(self, session: Session, context: Any, instances: Any) -> None:
        self._sessions.setdefault(session, _Pending()).flushing = True

    def _after_flush(self, session: Session, context: Any) -> None:
        self._sessions[session].flushing = False

    @_quiet
    def _before_update(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        pending = self._of(target)
        if pending is not None and object_session(target).is_modified(target):  # type: ignore[union-attr]
            self._remember(pending, mapper, connection, target)

    @_quiet
    def _before_delete(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        pending = self._of(target)
        if pending is not None:
            self._remember(pending, mapper, connection, target)

    @_quiet
    def _after_insert(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        session, model = object_session(target), self._models.get(mapper)
        if session is None or model is None or session not in self._sessions:
            return
        key = tuple(inspect(target).mapper.primary_key_from_instance(target))
        row = self._state(model, connection, target, key)
        self._add(session, [Change(model.kind, key, None, row, created=True)])

    @_quiet
    def _after_update(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        pending, model = self._of(target), self._models[mapper]
        known = pending.old.pop(inspect(target), None) if pending is not None else None
        if known is None:
            return
        old_key, old = known
        key = tuple(mapper.primary_key_from_instance(target))
        row = self._state(model, connection, target, key)
        if key == old_key:
            changes = [Change(model.kind, key, old, row)]
        else:
            gone = Change(model.kind, old_key, old, None)
            changes = [gone, Change(model.kind, key, None, row, created=True)]
        self._add(object_session(target), changes)  # type: ignore[arg-type]

    @_quiet
    def _after_delete(self, mapper: Mapper[Any], connection: Connection, target: Any) -> None:
        pending, model = self._of(target), self._models[mapper]
        known = pending.old.pop(inspect(target), None) if pending is not None else None
        if known is not None:
            self._add(object_session(target), [Change(model.kind, known[0], known[1], None)])  # type: ignore[arg-type]

    def _of(self, target: Any) -> _Pending | None:
        session = object_session(target)
        return self._sessions.get(session) if session is not None else None

    def _remember(
        self, pending: _Pending, mapper: Mapper[Any], connection: Connection, target: Any
    ) -> None:
        """The row as the database has it, asked for only where the object does not know it."""
        model, state = self._models[mapper], inspect(target)
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

    def _state(self, model: _Model, connection: Connection, target: Any, key: Key) -> Row:
        """The object after the flush; what the database computed is read back."""
        known = inspect(target).dict
        if all(name in known and not _expression(known[name]) for name in model.names):
            return {name: known[name] for name in model.names}
        return model.rows(connection.execute, [key]).get(key, {})

    # ── statements ──────────────────────────────────────────────────────────────────────────────

    def _do_orm_execute(self, state: ORMExecuteState) -> Any:
        model = self._touched(state)
        if model is None:
            return None
        session = state.session
        if session.autoflush:
            session.flush()
        keys = self._affected(state, model)
        pending = self._sessions.setdefault(session, _Pending())
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

    @_quiet
    def _collect(
        self,
        session: Session,
        model: _Model,
        keys: Iterable[Key],
        before: Mapping[Key, Row],
        after: Mapping[Key, Row],
    ) -> None:
        self._add(
            session,
            [
                Change(model.kind, key, before.get(key), after.get(key), created=key not in before)
                for key in keys
            ],
        )

    def _touched(self, state: ORMExecuteState) -> _Model | None:
        if not (state.is_update or state.is_delete or state.is_insert):
            return None
        if state.execution_options.get("audited") is False:
            return None
        mapper = state.bind_mapper
        if mapper is not None and mapper in self._models:
            return self._models[mapper]
        return self._tables.get(getattr(state.statement, "table", None))

    def _affected(self, state: ORMExecuteState, model: _Model) -> dict[Key, Row] | list[Key]:
        """The rows that a statement will touch, or the keys it names."""
        statement, parameters = state.statement, state.parameters
        several = list(parameters) if isinstance(parameters, list | tuple) else None
        if state.is_insert or (several is not None and state.is_update):
            if several is None:
                given: Any = parameters or {}
                several = [{**_values(statement), **given}]
            keys = [tuple(each.get(name) for name in model.key_names) for each in several]
            if any(part is None for key in keys for part in key):
                raise UnauditedStatement(
                    f"this {'insert' if state.is_insert else 'update'} into {model.kind} does not"
                    " name its primary keys: use session.add_all, give the keys, or say"
                    " execution_options(audited=False) and record it yourself"
                )
            return keys
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

    def _before_execute(
        self,
        connection: Connection,
        clause: Any,
        multiparams: Any,
        params: Any,
        execution_options: Mapping[str, Any],
    ) -> None:
        """What reaches the session's connection past the session itself."""
        if not isinstance(clause, UpdateBase) or execution_options.get("audited") is False:
            return
        pending = self._connections.get(connection)
        model = self._tables.get(clause.table)
        if model is None or pending is None or pending.flushing or pending.executing:
            return
        raise UnauditedStatement(
            f"this statement changes {model.kind} past the session: use session.execute or"
            " session.add_all, or say execution_options(audited=False) and record it yourself"
        )


def _values(statement: Any) -> dict[str, Any]:
    """The values of `insert(…).values(…)`; several rows at once have none that can be told."""
    compiled = statement.compile()
    return dict(compiled.params)


def _within(transaction: Any, ancestor: Any) -> bool:
    while transaction is not None:
        if transaction is ancestor:
            return True
        transaction = transaction.parent
    return False


def _expression(value: Any) -> bool:
    return hasattr(value, "__clause_element__") or hasattr(value, "compile")


def _sync(target: Any) -> Any:
    """What listens to an asynchronous session is its synchronous inside."""
    if isinstance(target, AsyncSession):
        return target.sync_session
    if isinstance(target, async_sessionmaker):
        return target.class_.sync_session_class
    if isinstance(target, type) and issubclass(target, AsyncSession):
        return target.sync_session_class
    return target
