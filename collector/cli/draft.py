"""The arguments of `emit` as one line of JSON for the socket."""

from __future__ import annotations

import json
from typing import Any, Final

from collector.cli.quick import Values
from collector.errors import InvalidEvent, Rejected

PLAIN: Final = {
    "id": "id",
    "category": "category",
    "outcome": "outcome",
    "severity": "severity",
    "channel": "channel",
    "mode": "mode",
    "message": "message",
    "correlation": "correlation_id",
    "causation": "causation_id",
    "tenant": "tenant_id",
    "org": "org_id",
    "ip": "ip",
    "object_name": "object_name",
}
"""Options that are one field each."""


class WrongArgument(Exception):
    """An argument that click should explain; `option` is its flag."""

    def __init__(self, option: str, message: str) -> None:
        self.option = option
        super().__init__(message)


def draft(values: Values) -> dict[str, Any]:
    """The event. Raises WrongArgument; what only the daemon knows to be wrong, it will say."""
    event: dict[str, Any] = {"action": values["action"]}
    for option, field in PLAIN.items():
        if values[option] is not None:
            event[field] = values[option]
    if values["object"] is not None:
        kind, colon, id_ = values["object"].partition(":")
        event["object_type"] = kind
        if colon:
            event["object_id"] = id_
    for name in ("actor", "target"):
        who = _principal(name, values[name], values[f"{name}_name"])
        if who:
            event[name] = who
    if values["at"] is not None:
        event["occurred_at"] = _moment(values["at"])
    if values["data"]:
        event["metadata"] = dict(map(_datum, values["data"]))
    return event


def line(event: dict[str, Any]) -> bytes:
    """One line of compact JSON in UTF-8. Raises InvalidEvent where the text is not Unicode."""
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    except UnicodeEncodeError:
        raise InvalidEvent("an argument is not UTF-8 text") from None


def refused_locally(text: bytes) -> Rejected | None:
    """Why a line must not be sent as an event; None for nearly every line, at hardly any cost.

    An object with the key `op` is a command to the daemon. Events come from who knows where, and
    must not be able to prune or reload.
    """
    if b'"op"' not in text and b"\\u" not in text:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None  # the daemon will say what is wrong
    if isinstance(found, dict) and "op" in found:
        return InvalidEvent('the key "op" makes it a command, not an event')
    return None


def _principal(option: str, text: str | None, name: str | None) -> dict[str, str]:
    who: dict[str, str] = {}
    if text is not None:
        kind, colon, id_ = text.partition(":")
        if not kind or not colon or not id_:
            raise WrongArgument(f"--{option}", f"{text!r} is not TYPE:ID, such as user:ada")
        who = {"type": kind, "id": id_}
    if name is not None:
        who["name"] = name
    return who


def _moment(text: str) -> str:
    import datetime as dt

    from collector.cli.clock import now, zone
    from collector.core.moments import local, parse

    return local(parse(text, now=now(), zone=zone(), field="--at"), dt.UTC).isoformat()


def _datum(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise WrongArgument("-d", f"{text!r} is not KEY=VALUE")
    try:
        return key, json.loads(value, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        return key, value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("JSON has no infinity")
    return value
