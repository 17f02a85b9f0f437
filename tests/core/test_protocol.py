"""Reply lines: what a producer reads is what a caller inside the process gets as receipts."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from collector.core.protocol import (
    Answer,
    command_refusal,
    command_reply,
    receipts,
    refusal,
    replies,
    reply,
)
from collector.errors import CODES, RETRYABLE, Rejected
from collector.event import Draft, Receipt

PREFIX = "0192f1c4-1a2b-7abc-9f3e-"
OWN = "0192f1c4-8c1e-4d6f-9a3e-111111111111"

answers = st.one_of(
    st.integers(1, 1 << 40),
    st.tuples(st.integers(1, 1 << 40), st.uuids().map(str)),
    st.builds(Rejected, st.sampled_from(sorted(CODES)), st.text(max_size=20)),
)
drafts = st.builds(
    Draft,
    action=st.just("a.b"),
    id=st.sampled_from(["", OWN, OWN.upper(), OWN.replace("-", "")]),
)


def lines(encoded: bytes) -> list[dict[str, Any]]:
    assert encoded == b"" or encoded.endswith(b"\n")
    return [json.loads(line) for line in encoded.split(b"\n")[:-1]]


@given(st.lists(st.tuples(answers, drafts), max_size=8), st.booleans())
def test_lines_say_what_receipts_say(pairs: list[tuple[Answer, Draft]], warn: bool) -> None:
    told = [answer for answer, _ in pairs]
    sent = [draft for _, draft in pairs]
    warnings = {seq: ["mind"] for seq in told if isinstance(seq, int)} if warn else {}
    made = receipts(told, sent, PREFIX, warnings)
    found = lines(replies(told, sent, PREFIX, warnings))
    assert len(found) == len(made) == len(pairs)
    for line, receipt in zip(found, made, strict=True):
        assert line["ok"] is receipt.ok
        for key in ("seq", "id", "duplicate", "code", "error", "warnings"):
            default = False if key == "duplicate" else None
            assert line.get(key, default) == getattr(receipt, key)
        assert ("retry" in line) is not receipt.ok


def test_an_id_with_its_dashes_elsewhere_is_told_in_its_canonical_spelling() -> None:
    odd = OWN.replace("-", "")
    odd = f"{odd[:10]}-{odd[10:12]}--{odd[12:]}-"
    assert len(odd) == len(OWN)
    assert receipts([1], [Draft(action="a.b", id=odd)], PREFIX, {})[0].id == OWN


def test_a_new_event_gets_the_id_it_brought_in_its_canonical_spelling_or_the_journals() -> None:
    sent = [Draft(action="a.b", id=OWN.replace("-", "").upper()), Draft(action="a.b")]
    one, two = receipts([7, 8], sent, PREFIX, {})
    assert (one.id, two.id) == (OWN, f"{PREFIX}000000000008")


def test_a_repeated_event_is_told_the_first_ones_seq_and_id() -> None:
    (line,) = lines(replies([(3, OWN)], [Draft(action="a.b", id=OWN.upper())], PREFIX, {}))
    assert line == {"ok": True, "seq": 3, "id": OWN, "duplicate": True}


def test_an_id_that_is_none_is_not_repeated_to_its_sender() -> None:
    for id_ in ("x" * 36, "not a uuid"):
        refused = [Rejected("invalid_event", "?")]
        (line,) = lines(replies(refused, [Draft(action="a.b", id=id_)], PREFIX, {}))
        assert line == {"ok": False, "code": "invalid_event", "error": "?", "retry": False}


def test_a_refusal_says_whether_to_try_again() -> None:
    for code in CODES:
        error = Rejected(code, "why")  # type: ignore[arg-type]
        (line,) = lines(reply(refusal(error, OWN)))
        assert line == {
            "ok": False,
            "id": OWN,
            "code": code,
            "error": "why",
            "retry": code in RETRYABLE,
        }


def test_a_receipt_is_said_as_it_is() -> None:
    (line,) = lines(reply(Receipt(True, seq=4, id=OWN)))
    assert line == {"ok": True, "seq": 4, "id": OWN}


def test_a_command_is_answered_with_its_fields_and_a_refused_one_with_its_facts() -> None:
    assert lines(command_reply({"pong": True})) == [{"ok": True, "pong": True}]
    facts = {"mistakes": [{"path": "log.level"}], "ok": True}
    (line,) = lines(command_refusal(Rejected("failed", "wrong", facts)))
    assert line == {"ok": False, "code": "failed", "error": "wrong", "retry": False,
                    "mistakes": [{"path": "log.level"}]}  # fmt: skip
