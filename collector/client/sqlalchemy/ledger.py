"""What each session has flushed and not committed: changes, each with its (sub)transaction."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, object_session

from collector.client.rows import Change
from collector.client.sqlalchemy.models import Key, Row


class Pending:
    """One session's changes, and what it is about just now."""

    def __init__(self) -> None:
        self.changes: list[tuple[Any, Change]] = []
        self.flushing = False
        self.executing = 0
        self.old: dict[Any, tuple[Key, Row]] = {}


class Ledger:
    """The pending changes of every audited session; sessions and connections are held weakly."""

    def __init__(self) -> None:
        self._sessions: weakref.WeakKeyDictionary[Session, Pending] = weakref.WeakKeyDictionary()
        self._connections: weakref.WeakKeyDictionary[Connection, Pending] = (
            weakref.WeakKeyDictionary()
        )

    def open(self, session: Session) -> Pending:
        """The session's page, a new one where it has none."""
        return self._sessions.setdefault(session, Pending())

    def known(self, session: Session | None) -> Pending | None:
        """The session's page, if it has one."""
        return self._sessions.get(session) if session is not None else None

    def of_object(self, target: Any) -> Pending | None:
        """The page of the session that an object is in."""
        return self.known(object_session(target))

    def connect(self, session: Session, connection: Connection) -> bool:
        """The session works over this connection; whether it is one not seen before."""
        new = connection not in self._connections
        self._connections[connection] = self.open(session)
        return new

    def of_connection(self, connection: Connection) -> Pending | None:
        """The page of the session that works over a connection."""
        return self._connections.get(connection)

    def add(self, session: Session, changes: Iterable[Change]) -> None:
        """Note what the session has just changed."""
        made_in = session.get_nested_transaction() or session.get_transaction()
        self._sessions[session].changes += [(made_in, change) for change in changes]

    def take(self, session: Session) -> list[Change]:
        """What the session has committed; nothing where it only released a savepoint."""
        pending = self.known(session)
        if pending is None or session.get_nested_transaction() is not None:
            return []
        changes, pending.changes = pending.changes, []
        return [change for _, change in changes]

    def forget(self, session: Session, transaction: Any) -> None:
        """`transaction` was rolled back, and with it what was changed within."""
        pending = self.known(session)
        if pending is None:
            return
        pending.flushing = False
        pending.old.clear()
        pending.changes = [
            (made_in, change)
            for made_in, change in pending.changes
            if not _within(made_in, transaction)
        ]


def _within(transaction: Any, ancestor: Any) -> bool:
    while transaction is not None:
        if transaction is ancestor:
            return True
        transaction = transaction.parent
    return False
