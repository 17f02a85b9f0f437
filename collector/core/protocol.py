"""The socket's replies: one line a request, in order. The events' own replies are built in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from collector.core.ids import format_id, parse_id
from collector.errors import InvalidEvent, Rejected
from collector.event import Draft, Receipt

_encode: Final = msgspec.json.Encoder().encode

Answer = int | tuple[int, str] | Rejected
"""A draft's fate: its new seq, `(seq, id)` of the entry it repeats, or why it is refused."""


def canonical_id(text: str) -> str | None:
    """The canonical spelling of an id that a producer sent; None where it is not a UUID."""
    try:
        return format_id(parse_id(text))
    except InvalidEvent:
        return None


def _accepted_id(text: str) -> str | None:
    """The same of an id that was stored, and so is one: most are spelled canonically already."""
    if len(text) == 36 and text[8] == text[13] == text[18] == text[23] == "-":
        return text.lower()
    return canonical_id(text)


def receipts(
    answers: Sequence[Answer],
    drafts: Sequence[Draft],
    prefix: str,
    warnings: Mapping[int, list[str]],
) -> list[Receipt]:
    """One receipt a draft. `prefix` begins the ids assigned in this commit (see `core.ids`)."""
    made = []
    for answer, draft in zip(answers, drafts, strict=True):
        if isinstance(answer, int):
            id_ = (draft.id and _accepted_id(draft.id)) or f"{prefix}{answer:012x}"
            made.append(Receipt(True, seq=answer, id=id_, warnings=warnings.get(answer)))
        elif isinstance(answer, tuple):
            made.append(Receipt(True, seq=answer[0], id=answer[1], duplicate=True))
        else:
            made.append(refusal(answer, (draft.id and canonical_id(draft.id)) or None))
    return made


def refusal(error: Rejected, id_: str | None = None) -> Receipt:
    """The receipt of a draft that was not stored."""
    return Receipt(False, id=id_, code=error.code, error=str(error), retry=error.retry)


def replies(
    answers: Sequence[Answer],
    drafts: Sequence[Draft],
    prefix: str,
    warnings: Mapping[int, list[str]],
) -> bytes:
    """The reply lines of a committed run of drafts."""
    if warnings:
        return b"".join(map(reply, receipts(answers, drafts, prefix, warnings)))
    if len(answers) == 1 and type(answers[0]) is int and not drafts[0].id:
        return b'{"ok":true,"seq":%d,"id":"%s%012x"}\n' % (answers[0], prefix.encode(), answers[0])
    lines = []
    for answer, draft in zip(answers, drafts, strict=True):
        if type(answer) is int:
            if not draft.id:
                lines.append(f'{{"ok":true,"seq":{answer},"id":"{prefix}{answer:012x}"}}\n')
            else:
                lines.append(f'{{"ok":true,"seq":{answer},"id":"{_accepted_id(draft.id)}"}}\n')
        else:
            lines.append(reply(receipts((answer,), (draft,), prefix, {})[0]).decode())
    return "".join(lines).encode()


def reply(receipt: Receipt) -> bytes:
    """One reply line for a receipt; a refusal always says whether to try again."""
    fields: dict[str, Any] = msgspec.to_builtins(receipt)
    if not receipt.ok:
        fields["retry"] = receipt.retry
    return _encode(fields) + b"\n"


def command_refusal(error: Rejected) -> bytes:
    """One reply line for a command that was refused, with what its error has to say beyond words."""
    refused = {"ok": False, "code": error.code, "error": str(error), "retry": error.retry}
    return _encode({**error.facts, **refused}) + b"\n"


def command_reply(fields: Mapping[str, Any]) -> bytes:
    """One reply line for a command that was carried out."""
    return _encode({"ok": True, **fields}) + b"\n"
