"""What other programs import to record what they did.

    from collector.client import record, audit, audited, actor_context

Every name is loaded when it is first used, so that the import costs little and a program that needs
one thing pays for that one. Only the hooks for forks and for the end of a process are there at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from collector.client import lifetime as lifetime

if TYPE_CHECKING:
    from collector.client.aio import AsyncClient
    from collector.client.asgi import AuditMiddleware
    from collector.client.block import Audit
    from collector.client.client import Client
    from collector.client.connection import Connection
    from collector.client.context import actor_context, in_context
    from collector.client.functions import (
        audit,
        audited,
        close,
        configure,
        default,
        dropped,
        flush,
        record,
        record_auth,
        record_denied,
        record_failure,
        record_many,
        record_success,
    )
    from collector.client.logs import AuditHandler
    from collector.client.memory import MemorySink, NullSink
    from collector.client.reasons import classify
    from collector.client.sinks import Sink
    from collector.client.trail import Trail
    from collector.client.wire import Redaction
    from collector.client.wsgi import AuditWSGIMiddleware
    from collector.event import Draft, Principal, Receipt

__all__ = [
    "AsyncClient",
    "Audit",
    "AuditHandler",
    "AuditMiddleware",
    "AuditWSGIMiddleware",
    "Client",
    "Connection",
    "Draft",
    "MemorySink",
    "NullSink",
    "Principal",
    "Receipt",
    "Redaction",
    "Sink",
    "Trail",
    "actor_context",
    "audit",
    "audited",
    "classify",
    "close",
    "configure",
    "default",
    "dropped",
    "flush",
    "in_context",
    "record",
    "record_auth",
    "record_denied",
    "record_failure",
    "record_many",
    "record_success",
]

_DEFAULT: Final = (
    "audit", "audited", "close", "configure", "default", "dropped", "flush", "record",
    "record_auth", "record_denied", "record_failure", "record_many", "record_success",
)  # fmt: skip
_HOMES: Final = {
    **dict.fromkeys(_DEFAULT, "collector.client.functions"),
    **dict.fromkeys(("Draft", "Principal", "Receipt"), "collector.event"),
    "AsyncClient": "collector.client.aio",
    "Audit": "collector.client.block",
    "AuditHandler": "collector.client.logs",
    "AuditMiddleware": "collector.client.asgi",
    "AuditWSGIMiddleware": "collector.client.wsgi",
    "Client": "collector.client.client",
    "Connection": "collector.client.connection",
    "MemorySink": "collector.client.memory",
    "NullSink": "collector.client.memory",
    "Redaction": "collector.client.wire",
    "Sink": "collector.client.sinks",
    "Trail": "collector.client.trail",
    "actor_context": "collector.client.context",
    "classify": "collector.client.reasons",
    "in_context": "collector.client.context",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
