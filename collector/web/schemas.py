"""JSON schemas written by hand, for what handlers read and write as bytes."""

from __future__ import annotations

from typing import Any, Final

from collector.config import DAYS_MAX, ENTRIES_MAX
from collector.config.schema import BYTES_MAX, MAX_BYTES_LEAST
from collector.event import ACTION_PATTERN, DEPTH_MAX, OUTCOMES, SEVERITIES
from collector.web.identity import ROLES
from collector.web.patterns import LABEL
from collector.web.problems import STATUS_OF_CODE

Json = dict[str, Any]


def _problem() -> Json:
    text: Json = {"type": "string"}
    return {
        "type": "object",
        "description": "What went wrong (RFC 9457).",
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "code": {"type": "string", "enum": sorted(STATUS_OF_CODE)},
            "detail": text,
            "retry": {"type": "boolean"},
        },
        "required": ["type", "title", "status", "code", "detail", "retry"],
    }


def _recorded() -> Json:
    number: Json = {"type": "integer", "minimum": 0}
    receipt: Json = {
        "type": "object",
        "properties": {
            "ok": {"type": "boolean"},
            "seq": {"type": "integer"},
            "id": {"type": "string"},
            "duplicate": {"type": "boolean"},
            "code": {"type": "string"},
            "error": {"type": "string"},
            "retry": {"type": "boolean"},
            "warnings": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["ok"],
    }
    return {
        "type": "object",
        "properties": {
            "accepted": number,
            "duplicates": number,
            "rejected": number,
            "replies": {"type": "array", "items": receipt},
        },
        "required": ["accepted", "duplicates", "rejected", "replies"],
    }


def _draft(categories: tuple[str, ...]) -> dict[str, Json]:
    """The draft with its bounds; sizes and depth, which JSON schema cannot say, in words."""

    def text(limit: int) -> Json:
        return {"type": ["string", "null"], "maxLength": limit, "pattern": "^[^\\u0000]*$"}

    parts = {name: text(200) for name in ("type", "id", "name", "role", "email")}
    some = [
        {"required": [name], "properties": {name: {"type": "string", "minLength": 1}}}
        for name in parts
    ]
    who: Json = {
        "anyOf": [
            {"type": "null"},
            {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,50}:[A-Za-z0-9_-]{1,50}$"},
            {"$ref": "#/components/schemas/PrincipalInput"},
        ]
    }
    free: Json = {
        "type": ["object", "null"],
        "additionalProperties": {"type": ["string", "boolean", "null", "integer"]},
        "description": f"Depth at most {DEPTH_MAX}; metadata 16 KiB, record 64 KiB of compact JSON.",
    }
    principal = {
        "type": "object",
        "properties": parts,
        "additionalProperties": False,
        "anyOf": some,
    }
    properties = {
        "action": {"type": "string", "pattern": ACTION_PATTERN, "maxLength": 100},
        "id": {
            "anyOf": [
                {"type": "null"},
                {"type": "string", "const": ""},
                {"type": "string", "format": "uuid"},
            ]
        },
        "occurred_at": {"type": ["string", "null"], "format": "date-time"},
        "category": {"enum": [*categories, "", None]},
        "outcome": {"enum": [*OUTCOMES, "", None]},
        "severity": {"enum": [*SEVERITIES, "", None]},
        "actor": who,
        "on_behalf_of": who,
        "object_type": text(100),
        "object_id": text(200),
        "object_name": text(200),
        "target": who,
        "channel": {"type": ["string", "null"], "maxLength": 50, "pattern": "^[^\\u0000A-Z]*$"},
        "mode": text(20),
        "tenant_id": text(64),
        "org_id": text(64),
        "ip": {
            "anyOf": [
                {"type": "null"},
                {"type": "string", "const": ""},
                {"type": "string", "format": "ipv4"},
                {"type": "string", "format": "ipv6"},
            ]
        },
        "correlation_id": text(100),
        "causation_id": text(100),
        "message": text(1000),
        "metadata": free,
        "record": free,
    }
    draft = {
        "type": "object",
        "properties": properties,
        "required": ["action"],
        "additionalProperties": False,
        "description": "What a producer sends; secrets are redacted before they are stored.",
    }
    return {"Draft": draft, "PrincipalInput": principal}


def _bodies(categories: tuple[str, ...]) -> dict[str, Json]:
    """The bodies whose bounds Litestar does not infer through optional fields."""
    days: Json = {"type": "integer", "minimum": 0, "maximum": DAYS_MAX}
    own: Json = {"type": "object", "properties": {"max_days": days}, "required": ["max_days"]}
    some: Json = {"type": "integer", "minimum": MAX_BYTES_LEAST, "maximum": BYTES_MAX}
    retention: Json = {
        "enabled": {"type": "boolean"},
        "max_days": days,
        "max_entries": {"type": "integer", "minimum": 0, "maximum": ENTRIES_MAX},
        "max_bytes": {"anyOf": [{"type": "integer", "const": 0}, some]},
        "categories": {
            "type": "object",
            "properties": {name: {**own, "additionalProperties": False} for name in categories},
            "additionalProperties": False,
        },
    }
    device: Json = {
        "name": {"type": ["string", "null"], "maxLength": 200},
        "ignored": {"type": "boolean"},
        "maintenance_until": {"type": ["string", "null"], "format": "date-time"},
    }
    key: Json = {
        "label": {"type": "string", "pattern": LABEL},
        "role": {"type": "string", "enum": [*ROLES]},
        "tenant_id": {"type": ["string", "null"], "minLength": 1, "maxLength": 64},
    }
    login: Json = {"key": {"type": "string", "minLength": 1, "maxLength": 200}}
    return {
        "RetentionChange": _closed(retention),
        "DeviceChange": _closed(device),
        "NewKey": _closed(key, "label", "role"),
        "Login": _closed(login, "key"),
    }


def _closed(properties: Json, *required: str) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": [*required],
        "additionalProperties": False,
    }


BODIES: Final[dict[str, str]] = {
    "putRetention": "RetentionChange",
    "previewRetention": "RetentionChange",
    "patchDevice": "DeviceChange",
    "addKey": "NewKey",
    "login": "Login",
}
"""The body of each operation that has one, but for `recordEvents`."""

BOUNDS: Final[dict[str, Json]] = {
    "before_seq": {"minimum": 0, "maximum": 2**53},
    "after_seq": {"minimum": 0, "maximum": 2**53},
    "object_id": {"minLength": 1, "maxLength": 200},
}
"""Bounds of query parameters that are lost where a parameter may be absent."""


def written(categories: tuple[str, ...]) -> dict[str, Json]:
    """The schemas by the names under which the OpenAPI document has them."""
    return {
        "Problem": _problem(),
        "Recorded": _recorded(),
        **_draft(categories),
        **_bodies(categories),
    }
