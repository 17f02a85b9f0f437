"""The kinds of value a key can hold: what text they are read from, and what is refused.

A kind is an ordinary type that carries, as `Meta.extra`, how the reader makes it of a TOML value
(`parse`, which raises ValueError with the allowed values), how it is written back (`format`), and
in words what is expected (`expected`). Bounds are msgspec's own, added where a key is declared.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta

from collector.config import units

_WORD: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SLUG: Final = re.compile(r"[a-z][a-z0-9-]*")
_MODE: Final = re.compile(r"(?:0o?)?[0-7]{3}")
_HOST: Final = re.compile(
    r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?\]?"
)
_SERVICE: Final = re.compile(
    r"(?:[A-Za-z0-9_-]{1,63}\._sub\.)?_[A-Za-z0-9_-]{1,63}\._(?:tcp|udp)(?:\.local\.?)?",
    re.IGNORECASE,
)


def text(value: Any) -> str:
    """Text that is there: not empty, without NUL or line breaks."""
    if not isinstance(value, str):
        raise ValueError("expected text")
    if not value.strip():
        raise ValueError("expected text that is not empty; leave the key out instead")
    if any(ord(character) < 32 for character in value):
        raise ValueError("expected text without control characters")
    return value


def path(value: Any) -> str:
    """The path of a file; `~` and what it is relative to are settled when it is read."""
    if text(value).endswith("/"):
        raise ValueError("expected the path of a file; this one names a directory")
    return str(value)


def mode(value: Any) -> int:
    """Permission bits. Only as text: the TOML number 660 would be read as decimal."""
    if isinstance(value, str) and _MODE.fullmatch(value):
        return int(value[-3:], 8)
    raise ValueError('expected permissions as octal text, such as "0660"')


def word(value: Any) -> str:
    """The name of a category."""
    if isinstance(value, str) and len(value) <= 50 and _WORD.fullmatch(value):
        return value
    raise ValueError('expected a word of a-z, 0-9, "_" and "-", at most 50 characters')


def slug(value: Any) -> str:
    """A word that can stand in an URL and, with `_` for `-`, in the name of an SQL view."""
    if isinstance(value, str) and len(value) <= 50 and _SLUG.fullmatch(value):
        return value
    raise ValueError('expected a word of a-z, 0-9 and "-" that begins with a letter')


def host(value: Any) -> str:
    """A host name or address, without scheme, port or path."""
    if isinstance(value, str) and len(value) <= 253 and _HOST.fullmatch(value):
        return value.strip("[]")
    raise ValueError('expected a host name or address, without "http://" and without a port')


def service_type(value: Any) -> str:
    """An mDNS service type, or `*` for every type found."""
    if value == "*" or (isinstance(value, str) and _SERVICE.fullmatch(value)):
        return str(value)
    raise ValueError('expected "*" or a service type such as "_http._tcp"')


def pattern(value: Any) -> str:
    """A regular expression that compiles and does not match the empty text."""
    if not isinstance(value, str):
        raise ValueError("expected a regular expression as text")
    try:
        compiled = re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if compiled.fullmatch(""):
        raise ValueError("this regular expression matches the empty text, and so everything")
    return value


def check(value: Any) -> str:
    """`tcp://host:port`, `http://…` or `https://…`, without user and password."""
    from urllib.parse import urlsplit  # only who lists a device pays for it

    wanted = 'expected "tcp://host:port", "http://…" or "https://…"'
    if not isinstance(value, str) or any(ord(c) <= 32 for c in value):
        raise ValueError(wanted)
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(wanted + " with a port from 1 to 65535") from None
    if parts.scheme not in ("tcp", "http", "https") or not parts.hostname:
        raise ValueError(wanted)
    if parts.username is not None or parts.password is not None:
        raise ValueError("a check carries no user and no password: devices show it to readers")
    if port == 0 or (parts.scheme == "tcp" and port is None):
        raise ValueError(wanted + " with a port from 1 to 65535")
    if parts.scheme == "tcp" and (parts.path or parts.query or parts.fragment):
        raise ValueError('expected "tcp://host:port" with nothing after the port')
    return value


def network(value: Any) -> str:
    """An address, or a network such as `10.0.0.0/8`."""
    from ipaddress import ip_network

    try:
        return str(ip_network(value)) if isinstance(value, str) else _refuse_network()
    except ValueError:
        return _refuse_network()


def _refuse_network() -> str:
    raise ValueError('expected an address or a network such as "10.0.0.0/8"') from None


def nats_url(value: Any) -> str:
    """One or more servers, separated by commas."""
    servers = text(value).split(",")
    schemes = ("nats://", "tls://", "ws://", "wss://")
    if not all(server.strip().startswith(schemes) for server in servers):
        raise ValueError('expected "nats://host:4222", "tls://…", "ws://…" or "wss://…"')
    return ",".join(server.strip() for server in servers)


def subject(value: Any) -> str:
    """A NATS subject without wildcards."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", value):
        return value
    raise ValueError('expected words joined by dots, such as "collector" or "home.log"')


def stream(value: Any) -> str:
    """The name of a JetStream stream."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,255}", value):
        return value
    raise ValueError('expected a name of letters, digits, "_" and "-", such as "COLLECTOR"')


def without_password(url: str) -> str:
    """`url` with what stands between `://` and `@` masked, for every server in it."""
    return re.sub(r"://[^@/,]*@", "://[redacted]@", url)


Seconds: TypeAlias = Annotated[
    float,
    Meta(
        extra={
            "parse": units.duration,
            "format": units.format_duration,
            "expected": units.DURATION_HELP,
        }
    ),
]
Bytes: TypeAlias = Annotated[
    int,
    Meta(extra={"parse": units.size, "format": units.format_size, "expected": units.SIZE_HELP}),
]
Mode: TypeAlias = Annotated[int, Meta(extra={"parse": mode, "format": "{:04o}".format})]
Text: TypeAlias = Annotated[str, Meta(extra={"parse": text})]
Path: TypeAlias = Annotated[str, Meta(extra={"parse": path, "path": True})]
Word: TypeAlias = Annotated[str, Meta(extra={"parse": word})]
Slug: TypeAlias = Annotated[str, Meta(extra={"parse": slug})]
Host: TypeAlias = Annotated[str, Meta(extra={"parse": host})]
ServiceType: TypeAlias = Annotated[str, Meta(extra={"parse": service_type})]
Pattern: TypeAlias = Annotated[str, Meta(extra={"parse": pattern})]
Check: TypeAlias = Annotated[str, Meta(extra={"parse": check})]
Network: TypeAlias = Annotated[str, Meta(extra={"parse": network})]
NatsUrl: TypeAlias = Annotated[str, Meta(extra={"parse": nats_url, "format": without_password})]
Subject: TypeAlias = Annotated[str, Meta(extra={"parse": subject})]
Stream: TypeAlias = Annotated[str, Meta(extra={"parse": stream})]
