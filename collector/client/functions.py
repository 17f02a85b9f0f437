"""The recording calls as plain functions: over one default sink, which `configure` replaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import RLock
from typing import TYPE_CHECKING, Any, Unpack

from collector.client.fields import Deed, Fields
from collector.client.sinks import Ended, Sink, Through
from collector.client.trail import Trail
from collector.event import Draft, Receipt

if TYPE_CHECKING:
    from collector.client.block import Audit

_lock = RLock()
_current: Trail | None = None


def configure(sink: Sink | Any) -> Trail:
    """Record into `sink` from now on: a `Client`, a `Collector` in this process, `MemorySink()`,
    `NullSink()`, or anything with a sink's `record`. Returns what records there."""
    global _current
    trail = over(sink)
    with _lock:
        _current = trail
    return trail


def over(sink: Sink | Any) -> Trail:
    """The recording calls over any sink."""
    if isinstance(sink, Trail):
        return sink
    if hasattr(sink, "record_threadsafe"):
        from collector.client.embedded import Embedded

        return Trail(Embedded(sink))
    if not callable(getattr(sink, "record", None)):
        raise TypeError(f"a sink has a method `record(draft)`; {type(sink).__name__} has none")
    return Trail(Through(sink))


def default() -> Trail:
    """What the functions below record into: a background `Client` if nothing was configured."""
    global _current
    if _current is None:
        with _lock:
            if _current is None:
                try:
                    from collector.client.client import Client
                except ImportError:  # the interpreter has ended, and `close` was called before
                    return Trail(Ended())
                _current = Client()
    return _current


def record(action: str | Draft, /, **fields: Unpack[Fields]) -> Receipt:
    """See `Trail.record`."""
    return default().record(action, **fields)


def record_many(events: Iterable[Draft | Mapping[str, Any]], /) -> list[Receipt]:
    """See `Trail.record_many`."""
    return default().record_many(events)


def record_success(action: str, /, **fields: Unpack[Fields]) -> Receipt:
    """See `Trail.record_success`."""
    return default().record_success(action, **fields)


def record_denied(
    action: str, /, *, required: Any = None, actual: Any = None, **fields: Unpack[Fields]
) -> Receipt:
    """See `Trail.record_denied`."""
    return default().record_denied(action, required=required, actual=actual, **fields)


def record_auth(
    action: str, /, *, outcome: str, reason: Any = None, **fields: Unpack[Deed]
) -> Receipt:
    """See `Trail.record_auth`."""
    return default().record_auth(action, outcome=outcome, reason=reason, **fields)


def record_failure(action: str, reason: Any, /, **fields: Unpack[Fields]) -> Receipt:
    """See `Trail.record_failure`."""
    return default().record_failure(action, reason, **fields)


def audit(action: str, /, **fields: Unpack[Fields]) -> Audit:
    """See `Trail.audit`."""
    return default().audit(action, **fields)


def audited(action: str, /, **fields: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """See `Trail.audited`; records into what is configured when the function is called."""
    from collector.client.decorator import audited as decorated

    return decorated(default, action, fields)


def flush(timeout: float | None = None) -> bool:
    """See `Trail.flush`."""
    return default().flush(timeout)


def close(timeout: float | None = None) -> bool:
    """See `Trail.close`; the next call opens a new default client."""
    global _current
    with _lock:
        trail, _current = _current, None
    return trail.close(timeout) if trail is not None else True


def dropped() -> int:
    """See `Trail.dropped`."""
    return default().dropped
