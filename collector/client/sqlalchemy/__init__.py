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

    audit        the listeners of a session, its commits and rollbacks
    objects      what its unit of work writes
    statements   what its statements change in bulk
    ledger       what it has flushed and not committed
    models       the mapped classes, and how their rows are read
"""

from collector.client.sqlalchemy.audit import SessionAudit, audit_session
from collector.client.sqlalchemy.models import BULK_MAX
from collector.client.sqlalchemy.statements import UnauditedStatement

__all__ = ["BULK_MAX", "SessionAudit", "UnauditedStatement", "audit_session"]
