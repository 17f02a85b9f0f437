"""API keys at rest: labels, roles, and hashes of secrets that are shown once and never stored.

A secret is 32 random bytes, so a plain SHA-256 is as good as it gets: there is nothing to guess that
a slow hash would protect.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import secrets
from typing import Final

import msgspec
from msgspec import Struct

from collector.core.control import Key, Role
from collector.errors import InvalidEvent, Rejected
from collector.journal.reader import Reader
from collector.journal.writer import Journal

PREFIX: Final = "ck_"
"""What every secret begins with, so that scanners for leaked secrets know it."""
_FACT: Final = "key."
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")


class _Stored(Struct):
    digest: str
    role: Role
    created_at: str
    tenant_id: str | None = None


def every(journal: Journal) -> list[Key]:
    """Every key, sorted by label."""
    return [
        Key(label, stored.role, stored.created_at, stored.tenant_id)
        for label, stored in _stored(journal)
    ]


async def counted(reader: Reader) -> int:
    """How many keys there are, for those who only read the file."""
    [(count,)] = await reader.fetch("SELECT count(*) FROM facts WHERE name GLOB 'key.*'")
    number: int = count
    return number


def find(journal: Journal, secret: str) -> Key | None:
    """The key that a secret belongs to; every key is compared, each in constant time."""
    digest, found = _digest(secret), None
    for label, stored in _stored(journal):
        if hmac.compare_digest(digest, stored.digest):
            found = Key(label, stored.role, stored.created_at, stored.tenant_id)
    return found


def add(journal: Journal, label: str, role: Role, tenant_id: str | None, now: float) -> str:
    """Make a key; returns its secret. Raises `InvalidEvent`, `Rejected` where the label is taken."""
    if not _LABEL.fullmatch(label):
        raise InvalidEvent(
            'a label is 1 to 64 letters, digits and any of ". _ @ -", and begins with a letter or'
            f" a digit; got {label[:70]!r}"
        )
    if journal.fact(_FACT + label) is not None:
        raise Rejected("failed", f"there is a key {label!r} already; revoke it first")
    secret = PREFIX + secrets.token_urlsafe(32)
    created = dt.datetime.fromtimestamp(now, dt.UTC).isoformat(timespec="seconds")
    stored = _Stored(_digest(secret), role, created.replace("+00:00", "Z"), tenant_id)
    with journal.transaction():
        journal.set_fact(_FACT + label, msgspec.json.encode(stored).decode())
    return secret


def revoke(journal: Journal, label: str) -> None:
    """Remove a key. Raises `LookupError`."""
    if journal.fact(_FACT + label) is None:
        raise LookupError(label)
    with journal.transaction():
        journal.delete_fact(_FACT + label)


def _stored(journal: Journal) -> list[tuple[str, _Stored]]:
    rows = journal.connection.execute(
        "SELECT name, value FROM facts WHERE name GLOB 'key.*' ORDER BY name"
    )
    return [
        (name.removeprefix(_FACT), msgspec.json.decode(value, type=_Stored)) for name, value in rows
    ]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
