"""The vocabulary of the recording calls: their keyword arguments, as types."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypedDict

from collector.event import Principal

Who: TypeAlias = str | tuple[Any, ...] | Mapping[str, Any] | Principal | None
"""`"type:id"`, `(type, id)`, `(type, id, name)`, a Principal, or a mapping of its keys."""


class Circumstances(TypedDict, total=False):
    """Every field but actor and outcome; meanings and bounds are those of `docs/event.md`."""

    id: str | None
    occurred_at: dt.datetime | float | str | None
    category: str | None
    severity: str | None
    on_behalf_of: Who
    object: tuple[Any, ...] | str | None
    object_type: str | None
    object_id: Any
    object_name: str | None
    target: Who
    channel: str | None
    mode: str | None
    tenant_id: Any
    org_id: Any
    ip: str | None
    correlation_id: str | None
    causation_id: str | None
    message: str | None
    metadata: Mapping[str, Any] | None
    record: Any


class Deed(Circumstances, total=False):
    """With the actor; one that is a function is asked when the event is recorded."""

    actor: Who | Callable[[], Who]


class Fields(Deed, total=False):
    """The keyword arguments of `record`."""

    outcome: str | None
