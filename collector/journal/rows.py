"""Rows of the log, joined with its dictionaries, to entries as readers get them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from collector.core.ids import assigned_id, format_id
from collector.core.rfc3339 import to_rfc3339
from collector.event import Change, Entry, Principal, Producer

FROM: Final = """
FROM log
JOIN kinds USING (kind)
JOIN producers USING (producer)
LEFT JOIN principals AS actor ON actor.principal = log.actor
LEFT JOIN principals AS behalf ON behalf.principal = log.on_behalf_of
LEFT JOIN principals AS target ON target.principal = log.target
LEFT JOIN scopes USING (scope)
LEFT JOIN versions USING (seq)
"""

SELECT: Final = (
    """
SELECT
  log.seq, log.id, log.occurred_at, log.occurred_at + log.delay,
  kinds.action, kinds.category, kinds.outcome, kinds.severity, kinds.source,
  producers.body, log.pid,
  actor.type, actor.id, actor.name, actor.role, actor.email,
  behalf.type, behalf.id, behalf.name, behalf.role, behalf.email,
  kinds.object_type, log.object_id, log.object_name,
  target.type, target.id, target.name, target.role, target.email,
  kinds.channel, kinds.mode, scopes.tenant_id, scopes.org_id,
  log.ip, log.correlation_id, log.causation_id, log.message, log.metadata,
  versions.changes, versions.change_type
"""
    + FROM
)
"""Everything an entry shows; append a WHERE clause."""

_producer: Final = msgspec.json.Decoder(Producer)
_metadata: Final = msgspec.json.Decoder(dict[str, Any])
_changes: Final = msgspec.json.Decoder(list[Change])


def entry(row: tuple[Any, ...], tag: int) -> Entry:
    """One row of `SELECT` as an entry; `tag` is the journal's, for ids it assigned."""
    (
        seq, id_, occurred, recorded, action, category, outcome, severity, source,
        producer, pid,
        a_type, a_id, a_name, a_role, a_email,
        b_type, b_id, b_name, b_role, b_email,
        object_type, object_id, object_name,
        t_type, t_id, t_name, t_role, t_email,
        channel, mode, tenant_id, org_id,
        ip, correlation_id, causation_id, message, metadata,
        changes, change_type,
    ) = row  # fmt: skip
    made_by = _producer.decode(producer)
    return Entry(
        seq=seq,
        id=format_id(id_) if id_ else assigned_id(recorded, tag, seq),
        occurred_at=to_rfc3339(occurred),
        recorded_at=to_rfc3339(recorded),
        action=action,
        category=category,
        outcome=outcome,
        severity=severity,
        source=source,
        producer=msgspec.structs.replace(made_by, pid=pid) if pid else made_by,
        actor=_principal(a_type, a_id, a_name, a_role, a_email),
        on_behalf_of=_principal(b_type, b_id, b_name, b_role, b_email),
        object_type=object_type or None,
        object_id=object_id or None,
        object_name=object_name or None,
        target=_principal(t_type, t_id, t_name, t_role, t_email),
        channel=channel or None,
        mode=mode or None,
        tenant_id=tenant_id or None,
        org_id=org_id or None,
        ip=ip or None,
        correlation_id=correlation_id or None,
        causation_id=causation_id or None,
        message=message or None,
        metadata=_metadata.decode(metadata) if metadata else {},
        changes=None if changes is None else _changes.decode(changes),
        change_type=change_type,
    )


def _principal(
    type_: str | None, id_: str | None, name: str | None, role: str | None, email: str | None
) -> Principal | None:
    if type_ is None:
        return None
    return Principal(type_ or None, id_ or None, name or None, role or None, email or None)
