"""Admission: validate, enrich, redact. A draft becomes a row of the log, or is refused with a reason.

The common event pays little here, and for one reason: **what repeats is checked once**. The eight
texts of a kind are looked up as one tuple; a tuple that is found has passed every pattern and closed
set before. Principals, scopes and addresses likewise. `numbering` keeps what was found, `validation`
holds the checks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from collector.core.ids import format_id, parse_id
from collector.core.numbering import CACHE_MAX, Books, Numbers
from collector.core.redaction import Redactor
from collector.core.validation import address, check_texts, fits, microseconds, record_size
from collector.errors import Rejected
from collector.event import CATEGORIES, METADATA_MAX, Draft

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
_NOTHING: Final[Mapping[str, bytes]] = {}


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
    """The rules of one journal: closed sets, redaction, and the numbers of what it has met before."""

    def __init__(self, books: Books, redactor: Redactor, categories: Iterable[str] = ()) -> None:
        self._redactor = redactor
        self._numbers = Numbers(books, frozenset((*CATEGORIES, *categories)))
        self._addresses: dict[str, str] = {}

    def forget(self) -> None:
        """Drop every cached number: the books were rolled back or cleaned."""
        self._numbers.forget()

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
        numbers, redactor = self._numbers, self._redactor
        kinds = numbers.kinds.setdefault(origin.source, {})
        principals, closing = numbers.principals, numbers.closing
        producer, pid, default_actor = origin.producer, origin.pid, origin.actor
        rows, answers, ids = admitted.rows, admitted.answers, admitted.ids
        seq = admitted.end
        short = True
        for draft in drafts:
            try:
                if not checked:
                    check_texts(draft)
                raw: bytes | bytearray | str = ""
                if text_id := draft.id:
                    id_ = parsed.get(text_id) or parse_id(text_id)
                    first = ids.get(id_) or (known.get(id_) if known else None)
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
                    kind = numbers.new_kind(draft, origin.source, key)
                who = draft.actor
                if who is None:
                    actor = default_actor
                else:
                    actor = principals.get(who) or numbers.new_principal(who, "actor")
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
        numbers, behalf, target = self._numbers, draft.on_behalf_of, draft.target
        known, scopes = numbers.principals, numbers.scopes
        scope = (draft.tenant_id, draft.org_id)
        return (
            0
            if behalf is None
            else known.get(behalf) or numbers.new_principal(behalf, "on_behalf_of"),
            0 if target is None else known.get(target) or numbers.new_principal(target, "target"),
            scopes[scope] if scope in scopes else numbers.new_scope(*scope),
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

    def _address(self, text: str) -> str:
        known = self._addresses.get(text)
        if known is None:
            if len(self._addresses) >= CACHE_MAX:
                self._addresses.clear()
            known = self._addresses[text] = address(text)
        return known

    def _redacted(self, fields: dict[str, Any], size: int) -> str:
        fits(size, "metadata", METADATA_MAX)
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
