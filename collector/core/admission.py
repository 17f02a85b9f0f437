"""Admission: validate, enrich, redact. A draft becomes a row of the log, or is refused with a reason.

The common event pays little here, and for one reason: **what repeats is checked once**. The eight
texts of a kind are looked up as one tuple; a tuple that is found has passed every pattern and closed
set before. Principals, scopes and addresses likewise. The numbers they are stored under come from
the `Books` (the journal's dictionaries), which forget them when the transaction that brought them
is rolled back. The caches are bounded: a producer that invents texts empties them, nothing more.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from collector.core.changeset import is_deletion
from collector.core.ids import format_id, parse_id
from collector.core.redaction import Redactor
from collector.errors import InvalidEvent, Rejected
from collector.event import (
    ACTION_MAX,
    ACTION_PATTERN,
    CATEGORIES,
    CHANNEL_MAX,
    METADATA_MAX,
    MODE_MAX,
    OBJECT_TYPE_MAX,
    OUTCOMES,
    RECORD_MAX,
    SEVERITIES,
    Draft,
    Principal,
)

EARLIEST: Final = -62_135_596_800_000_000
LATEST: Final = 253_402_300_799_999_999
"""The first and last microsecond of the years 1 to 9999 in UTC."""
CACHE_MAX: Final = 8192
"""Entries of each cache; past that it is emptied and fills again from the dictionaries."""

Kind = tuple[str, str, str, str, str, str, str, str]
"""action, category, outcome, severity, source, channel, mode, object_type; '' where absent."""

Row = tuple[Any, ...]
"""The columns of `log` in the order of `journal/schema.sql`, or `COMMON` of them where the others
are empty. The id is a `bytearray`, '' where the daemon assigns it: sqlite3 binds both without asking
whether they want to be adapted, which `bytes` costs more than the rest of the row."""

COMMON: Final = 13
"""Columns of a short row: all but on_behalf_of, target, scope, ip and causation_id."""
_RARE: Final = (0, 0, 0, "", "")
SCANNED: Final = 32
"""Events whose texts are looked at together for what might hold a secret."""

_encode: Final = msgspec.json.Encoder(order=None).encode
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_action: Final = re.compile(ACTION_PATTERN)
_NOTHING: Final[Mapping[str, bytes]] = {}


class Books(Protocol):
    """The journal's dictionaries: the number of a text, new or known, within the transaction."""

    def kind(self, kind: Kind) -> int: ...
    def principal(self, principal: Principal) -> int: ...
    def scope(self, tenant_id: str, org_id: str) -> int: ...


class Origin(Struct, eq=False):
    """Where drafts come from, resolved to numbers once: source, producer, and the default actor."""

    source: str
    producer: int
    pid: int
    actor: int


Run = tuple[Sequence[Draft], Origin, bool]
"""Drafts of one origin, and whether every text is known to be free of NUL and lone surrogates."""


class Admitted(Struct):
    """The outcome for some runs of drafts, one after the other.

    `rows` are ready for the log, all of one length. `answers` has one item a draft, in order: the
    row's seq, or `(seq, id)` for a duplicate of a stored or just admitted event, or `Rejected`.
    `ids` maps the ids that producers chose to the seqs of these rows. `records` holds `(seq, draft)`
    of the rows that may make a version: the draft carries a `record`, or its action ends in `.deleted`.
    """

    rows: list[Row]
    answers: list[int | tuple[int, str] | Rejected]
    ids: dict[bytes, int]
    records: list[tuple[int, Draft]]
    end: int


class Admission:
    """The rules of one journal: closed sets, redaction, and the caches in front of its books."""

    def __init__(self, books: Books, redactor: Redactor, categories: Iterable[str] = ()) -> None:
        self._books = books
        self._redactor = redactor
        self._categories = frozenset((*CATEGORIES, *categories))
        self._kinds: dict[str, dict[tuple[str | None, ...], int]] = {}
        self._principals: dict[str | Principal, int] = {}
        self._scopes: dict[tuple[str | None, str | None], int] = {(None, None): 0}
        self._addresses: dict[str, str] = {}
        self._closing: set[int] = set()

    def forget(self) -> None:
        """Drop every cached number: the books were rolled back or cleaned."""
        self._kinds.clear()
        self._closing.clear()
        self._principals.clear()
        self._scopes = {(None, None): 0}

    def admit(
        self,
        runs: Iterable[Run],
        *,
        seq: int,
        now: int,
        known: Mapping[bytes, int],
        parsed: Mapping[str, bytes] = _NOTHING,
    ) -> Admitted:
        """Rows for the drafts of all runs, numbered from `seq` on.

        `now` is the time of recording in µs, `known` holds ids that are stored already, and `parsed`
        may hold ids that `parse_id` has read.
        """
        admitted = Admitted([], [], {}, [], seq)
        texts: list[str] = []
        short = True
        for run in runs:
            short = self._admit(run, admitted, texts, now, known, parsed) and short
        self._hide_secrets(admitted.rows, texts)
        if not short:
            rows = admitted.rows
            rows[:] = [row if len(row) > COMMON else widened(row) for row in rows]
        return admitted

    def _admit(
        self,
        run: Run,
        admitted: Admitted,
        texts: list[str],
        now: int,
        known: Mapping[bytes, int],
        parsed: Mapping[str, bytes],
    ) -> bool:
        """Add one run, and to `texts` the metadata and message of its rows; whether all are short."""
        drafts, origin, checked = run
        kinds = self._kinds.setdefault(origin.source, {})
        principals, redactor = self._principals, self._redactor
        closing = self._closing
        producer, pid, default_actor = origin.producer, origin.pid, origin.actor
        rows, answers, ids = admitted.rows, admitted.answers, admitted.ids
        seq = admitted.end
        short = True
        for draft in drafts:
            try:
                if not checked:
                    check_texts(draft)
                raw: bytes | bytearray | str = ""
                if draft.id:
                    id_ = parsed.get(draft.id) or parse_id(draft.id)
                    first = ids.get(id_) or known.get(id_)
                    if first is not None:
                        answers.append((first, format_id(id_)))
                        continue
                    raw = bytearray(id_)
                key = (
                    draft.action,
                    draft.category,
                    draft.outcome,
                    draft.severity,
                    draft.channel,
                    draft.mode,
                    draft.object_type,
                )
                kind = kinds.get(key)
                if kind is None:
                    kind = self._new_kind(draft, origin.source, key)
                who = draft.actor
                if who is None:
                    actor = default_actor
                else:
                    actor = principals.get(who) or self._new_principal(who, "actor")
                metadata = to_scan = ""
                if fields := draft.metadata:
                    text = _encode(fields)
                    if (
                        text.find(b"{", 1) > 0
                        or b"[" in text
                        or len(text) > METADATA_MAX
                        or not redactor.is_safe_flat(fields)
                    ):
                        metadata = self._redacted(fields, len(text))
                    else:
                        metadata = to_scan = text.decode()
                if draft.record is not None:
                    record_size(draft.record)
                rare = None
                if (
                    draft.on_behalf_of is not None
                    or draft.target is not None
                    or draft.tenant_id
                    or draft.org_id
                    or draft.ip
                    or draft.causation_id
                ):
                    rare = self._rare(draft)
                when = draft.occurred_at
                occurred_at = now if when is None else microseconds(when)
                message = draft.message or ""
                row = (
                    seq,
                    raw,
                    occurred_at,
                    now - occurred_at,
                    kind,
                    producer,
                    pid,
                    actor,
                    draft.object_id or "",
                    draft.object_name or "",
                    draft.correlation_id or "",
                    message,
                    metadata,
                )
            except Rejected as error:
                answers.append(error)
                continue
            if raw:
                ids[id_] = seq
            if draft.record is not None or kind in closing:
                admitted.records.append((seq, draft))
            if rare is not None:
                row = widened(row, rare)
                short = False
            rows.append(row)
            texts.append(to_scan)
            texts.append(message)
            answers.append(seq)
            seq += 1
        admitted.end = seq
        return short

    def _rare(self, draft: Draft) -> Row:
        """The columns that a short row has not."""
        known, behalf, target = self._principals, draft.on_behalf_of, draft.target
        scope = (draft.tenant_id, draft.org_id)
        return (
            0
            if behalf is None
            else known.get(behalf) or self._new_principal(behalf, "on_behalf_of"),
            0 if target is None else known.get(target) or self._new_principal(target, "target"),
            self._scopes[scope] if scope in self._scopes else self._new_scope(*scope),
            "" if draft.ip is None else self._address(draft.ip),
            draft.causation_id or "",
        )

    def _hide_secrets(self, rows: list[Row], texts: list[str]) -> None:
        """Redact messages and metadata where they might hold a secret.

        `texts` are the metadata (where it is flat and not redacted yet) and the message of each
        row, one after the other; most show no sign of a secret, so many are looked at together.
        """
        suspicious = self._redactor.needs_text_scan
        for start in range(0, len(rows), SCANNED):
            if not suspicious("\n".join(texts[2 * start : 2 * (start + SCANNED)])):
                continue
            for index in range(start, min(start + SCANNED, len(rows))):
                metadata, message = texts[2 * index], texts[2 * index + 1]
                row = rows[index]
                if message and suspicious(message):
                    row = (*row[:-2], self._redactor.text(message), row[-1])
                if metadata and suspicious(metadata):
                    row = (*row[:-1], _encode(self._redactor.mapping(_decode(metadata))).decode())
                rows[index] = row

    def _new_kind(self, draft: Draft, source: str, key: tuple[str | None, ...]) -> int:
        outcome = draft.outcome or "success"
        failed = outcome in ("failure", "denied")
        kind = (
            _word(draft.action, "action", ACTION_MAX, _action),
            _member(draft.category or "system", "category", self._categories),
            _member(outcome, "outcome", OUTCOMES),
            _member(draft.severity or ("warning" if failed else "info"), "severity", SEVERITIES),
            source,
            _lower(draft.channel or "", "channel", CHANNEL_MAX),
            _short(draft.mode or "", "mode", MODE_MAX),
            _short(draft.object_type or "", "object_type", OBJECT_TYPE_MAX),
        )
        number = self._books.kind(kind)
        cache = self._kinds[source]
        if len(cache) >= CACHE_MAX:
            cache.clear()
            self._closing.clear()
        cache[key] = number
        if is_deletion(kind[0]):
            self._closing.add(number)
        return number

    def _new_principal(self, who: str | Principal, field: str) -> int:
        number = self._books.principal(principal(who, field))
        if len(self._principals) >= CACHE_MAX:
            self._principals.clear()
        self._principals[who] = number
        return number

    def _new_scope(self, tenant_id: str | None, org_id: str | None) -> int:
        number = self._books.scope(tenant_id or "", org_id or "") if tenant_id or org_id else 0
        if len(self._scopes) >= CACHE_MAX:
            self._scopes.clear()
        self._scopes[tenant_id, org_id] = number
        return number

    def _address(self, text: str) -> str:
        known = self._addresses.get(text)
        if known is None:
            if len(self._addresses) >= CACHE_MAX:
                self._addresses.clear()
            known = self._addresses[text] = address(text)
        return known

    def _redacted(self, fields: dict[str, Any], size: int) -> str:
        _fits(size, "metadata", METADATA_MAX)
        return _encode(self._redactor.mapping(fields)).decode()


def widened(row: Row, rare: Row = _RARE) -> Row:
    """A short row with every column of the log."""
    behalf, target, scope, ip, causation = rare
    *head, correlation, message, metadata = row
    object_id, object_name = head[-2:]
    return (
        *head[:-2], behalf, object_id, object_name, target, scope, ip,
        correlation, causation, message, metadata,
    )  # fmt: skip


def microseconds(when: dt.datetime) -> int:
    """A time in µs since the epoch. Raises `InvalidEvent` where no reader could show it in UTC."""
    value = round(when.timestamp() * 1e6)
    if not EARLIEST <= value <= LATEST:
        raise InvalidEvent("Expected a time from the years 1 to 9999 in UTC - at `$.occurred_at`")
    return value


def principal(who: str | Principal, field: str) -> Principal:
    """A principal from its object or its short form `type:id`. Raises `InvalidEvent`."""
    if isinstance(who, str):
        kind, colon, name = who.partition(":")
        if not colon or not kind or not name:
            raise InvalidEvent(
                f"Expected an object or `type:id`, got {who[:50]!r} - at `$.{field}`"
            )
        if len(kind) > 200 or len(name) > 200:
            raise InvalidEvent(f"Expected at most 200 characters a part - at `$.{field}`")
        return Principal(type=kind, id=name)
    if not (who.type or who.id or who.name or who.role or who.email):
        raise InvalidEvent(f"Expected one of type, id, name, role, email - at `$.{field}`")
    return who


def address(text: str) -> str:
    """An IP address in its canonical spelling; '' for ''. Raises `InvalidEvent`."""
    if not text:
        return ""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise InvalidEvent("Expected an IPv4 or IPv6 address - at `$.ip`") from None


def record_size(record: dict[str, Any]) -> int:
    """Bytes of a record in compact JSON. Raises `InvalidEvent` over the bound."""
    size = len(_encode(record))
    _fits(size, "record", RECORD_MAX)
    return size


def check_texts(draft: Draft) -> None:
    """Refuse NUL and lone surrogates, which neither SQLite's nor any reader's text can hold."""
    for name in draft.__struct_fields__:
        _check_text(getattr(draft, name), name)


def _check_text(value: object, name: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidEvent(f"Expected text without NUL - at `$.{name}`")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidEvent(f"Expected valid UTF-8 - at `$.{name}`") from None
    elif isinstance(value, Principal):
        for part in value.__struct_fields__:
            _check_text(getattr(value, part), f"{name}.{part}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, f"{name}[...]")
            _check_text(item, f"{name}[...]")
    elif isinstance(value, list):
        for item in value:
            _check_text(item, f"{name}[...]")


def _fits(size: int, field: str, limit: int) -> None:
    if size > limit:
        raise InvalidEvent(
            f"Expected at most {limit} bytes of compact JSON, got {size} - at `$.{field}`"
        )


def _word(text: str, field: str, limit: int, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text):
        raise InvalidEvent(
            f"Expected lower-case words joined by dots, such as `settings.updated` - at `$.{field}`"
        )
    return _short(text, field, limit)


def _short(text: str, field: str, limit: int) -> str:
    if len(text) > limit:
        raise InvalidEvent(f"Expected `str` of length <= {limit} - at `$.{field}`")
    return text


def _lower(text: str, field: str, limit: int) -> str:
    if text != text.lower():
        raise InvalidEvent(f"Expected lower case, such as `{text.lower()[:50]}` - at `$.{field}`")
    return _short(text, field, limit)


def _member(text: str, field: str, allowed: Iterable[str]) -> str:
    if text not in allowed:
        known = ", ".join(sorted(allowed))
        raise InvalidEvent(f"Expected one of {known} - at `$.{field}`, got {text[:50]!r}")
    return text
