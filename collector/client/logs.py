"""A `logging.Handler`: what a program logs becomes events, its structured extras their metadata."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any, Final

from collector.client.fields import Fields
from collector.client.functions import default
from collector.client.reasons import classify
from collector.client.trail import Trail
from collector.event import RESERVED_METADATA

EXTRAS_MAX: Final = 64
"""Extras of one record that are kept, the first in order."""
OWN: Final = "collector"
"""Loggers of this name and below are left alone: what the library says about its own delivery must
not become something to deliver."""
_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "stack_info", "exc_text"}
)
_EVENT: Final = frozenset(Fields.__annotations__) - {"metadata", "severity", "message"}
"""Extras that name a field of the event are that field."""
_inside: ContextVar[bool] = ContextVar("collector_logging", default=False)


class AuditHandler(logging.Handler):
    """Records each log record as one event through `trail` (by default what `configure` chose).

        logger.info("restored", extra={"action": "backup.restored", "object": ("backup", "nightly"),
                                       "bytes": 4096})

    The action is the extra `action`, else `action` given here. Level WARNING and ERROR set the
    severity; a traceback makes a failure, of which only the class is kept. The logger's name is in
    the metadata as `logger`. Never raises, and never records what it causes itself.
    """

    def __init__(
        self,
        trail: Trail | None = None,
        *,
        action: str = "log.written",
        level: int = logging.NOTSET,
    ) -> None:
        super().__init__(level)
        self._trail = trail
        self._action = action

    def emit(self, record: logging.LogRecord) -> None:
        """Record one log record."""
        if _inside.get() or record.name == OWN or record.name.startswith(f"{OWN}."):
            return
        token = _inside.set(True)
        try:
            action, fields = self._event(record)
            (self._trail or default()).record(action, **fields)
        except Exception:  # a broken format string, a strict sink
            self.handleError(record)
        finally:
            _inside.reset(token)

    def _event(self, record: logging.LogRecord) -> tuple[str, Any]:
        extras = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        action = extras.pop("action", None) or self._action
        fields: dict[str, Any] = {key: extras.pop(key) for key in _EVENT & extras.keys()}
        metadata: dict[str, Any] = {"logger": record.name}
        for key in list(extras)[:EXTRAS_MAX]:
            if key not in RESERVED_METADATA:
                metadata[key] = extras[key]
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            metadata.update(classify(error))
            fields.setdefault("outcome", "failure")
        fields.setdefault("occurred_at", record.created)
        return action, {
            **fields,
            "severity": _severity(record.levelno),
            "message": record.getMessage().partition("\n")[0],
            "metadata": metadata,
        }


def _severity(level: int) -> str:
    if level >= logging.ERROR:
        return "error"
    return "warning" if level >= logging.WARNING else "info"
