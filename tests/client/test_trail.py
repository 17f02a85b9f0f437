"""The recording calls: what becomes of the caller's words, whatever they are."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.client import Draft, MemorySink, NullSink, Principal, Trail, classify
from collector.client.compose import SETTERS
from collector.client.sinks import Outlet
from collector.core.ids import parse_id
from collector.errors import InvalidEvent, Rejected
from collector.event import DRAFT_FIELDS, METADATA_MAX, Receipt

NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink(clock=lambda: NOON, new_id=lambda: "01a1f8f3-775d-7a77-8815-53dcda46e8a3")


def test_record_says_everything_a_draft_can_say() -> None:
    """Every field of a draft can be given by its own name, but for `action`."""
    assert set(SETTERS) - {"object"} == set(DRAFT_FIELDS) - {"action"}


def test_clock_and_id_are_the_callers_to_fix(sink: MemorySink) -> None:
    receipt = sink.record("settings.updated")
    event = sink.one()
    assert (event.occurred_at, event.id) == (NOON, receipt.id)
    assert receipt.id == "01a1f8f3-775d-7a77-8815-53dcda46e8a3"


def test_ids_are_uuids_of_version_7_and_differ() -> None:
    sink = MemorySink()
    ids = {sink.record("a.b").id or "" for _ in range(1000)}
    assert len(ids) == 1000
    assert {uuid.UUID(text).version for text in ids} == {7}
    assert all(abs(uuid.UUID(text).int / 2**80 / 1000 - time.time()) < 60 for text in ids)
    assert all(uuid.UUID(text).variant == uuid.RFC_4122 for text in ids)
    assert all(len(parse_id(text)) == 16 for text in ids)


def test_texts_are_trimmed_and_empty_ones_are_absent(sink: MemorySink) -> None:
    sink.record("a.b", channel=" Settings ", message="  ", tenant_id=7, object=(" person ", 7))
    event = sink.one()
    assert (event.channel, event.message, event.tenant_id) == ("settings", None, "7")
    assert (event.object_type, event.object_id) == ("person", "7")


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ("user:7", Principal(type="user", id="7")),
        ("a:b:c", Principal(type="a", id="b:c")),
        ("ada", Principal(name="ada")),
        (("user", 7), Principal(type="user", id="7")),
        (("user", "7", "Ada"), Principal(type="user", id="7", name="Ada")),
        ({"name": " Ada ", "role": "admin"}, Principal(name="Ada", role="admin")),
        (Principal(id="7"), Principal(id="7")),
        (lambda: ("user", "9"), Principal(type="user", id="9")),
        ("", None),
        (("user", 1), Principal(type="user", id="1")),
        (("user", True), Principal(type="user", id="True")),
    ],
)
def test_actor_takes_every_usual_form(sink: MemorySink, who: Any, expected: Principal) -> None:
    sink.record("a.b", actor=who)
    assert sink.one().actor == expected


def test_actor_that_cannot_be_asked_costs_the_actor_not_the_event(sink: MemorySink) -> None:
    def broken() -> str:
        raise RuntimeError("no session")

    receipt = sink.record("a.b", actor=broken)
    assert receipt.ok
    assert receipt.warnings is not None
    assert "RuntimeError" in receipt.warnings[0]


def test_metadata_is_a_copy(sink: MemorySink) -> None:
    class Keep(Outlet):
        drafts: list[Draft] = []  # noqa: RUF012

        def submit(self, drafts: Any, warnings: Any) -> list[Receipt]:
            self.drafts.extend(drafts)
            return [Receipt(ok=True) for _ in drafts]

        dropped = 0

        def refuse(self, code: str) -> None: ...

    given = {"list": [1], "flat": 1}
    Trail(Keep()).record("a.b", metadata=given)
    given["list"].append(2)  # type: ignore[attr-defined]
    given["flat"] = 2
    assert Keep.drafts[0].metadata == {"list": [1], "flat": 1}


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int


class Shape(msgspec.Struct):
    edges: int


class Secretive:
    def __repr__(self) -> str:
        raise AssertionError("nobody asks for a foreign object's text")

    __str__ = __repr__


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOON, "2026-11-20T12:00:00+00:00"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.timedelta(minutes=1), 60.0),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=5), str(uuid.UUID(int=5))),
        (Path("/etc/x"), "/etc/x"),
        (Colour.RED, "red"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (2**63, str(2**63)),
        (-(2**63), -(2**63)),
        (b"secret", "<6 bytes>"),
        ({3, 1, 2}, [1, 2, 3]),
        ((1, "b"), [1, "b"]),
        (Point(1, 2), {"x": 1, "y": 2}),
        (Shape(3), {"edges": 3}),
        ({1: {2: 3}}, {"1": {"2": 3}}),
        (Secretive(), "<Secretive>"),
        (Secretive, "<type>"),
        (ValueError("hunter2"), "<ValueError>"),
        (True, True),
        (None, None),
    ],
)
def test_any_value_becomes_plain(sink: MemorySink, value: Any, expected: Any) -> None:
    assert sink.record("a.b", metadata={"value": value}).ok
    assert sink.one().metadata == {"value": expected}


def test_depth_is_bounded(sink: MemorySink) -> None:
    deep: dict[str, Any] = {}
    deep["again"] = deep
    assert sink.record("a.b", metadata={"deep": deep}).ok
    assert b"again" in msgspec.json.encode(sink.one().metadata)


def test_width_is_bounded_even_where_it_has_no_end(sink: MemorySink) -> None:
    assert sink.record("a.b", metadata={"many": list(range(10**6))}).ok
    assert len(msgspec.json.encode(sink.one().metadata)) <= METADATA_MAX


def test_metadata_over_its_bound_keeps_what_fits_and_says_so(sink: MemorySink) -> None:
    big = {f"text{i}": "x" * 3000 for i in range(40)}
    receipt = sink.record("a.b", metadata={**big, "count": 3})
    metadata = sink.one().metadata
    assert metadata is not None
    assert metadata["count"] == 3
    assert len(msgspec.json.encode(metadata)) <= METADATA_MAX
    assert receipt.warnings is not None
    assert "keys left out" in receipt.warnings[0]


def test_record_over_its_bound_is_left_out_and_says_so(sink: MemorySink) -> None:
    receipt = sink.record("a.b", record={"blob": "x" * 70_000})
    assert receipt.ok
    assert receipt.warnings == ["record: over 65536 bytes, left out"]
    assert sink.one().record is None


def test_long_texts_are_cut_and_long_ids_stay_distinct(sink: MemorySink) -> None:
    for tail in "ab":
        sink.record("a.b", object=("file", "/x" * 200 + tail, "n" * 300), message="m" * 2000)
    first, second = sink.events
    assert first.object_id != second.object_id
    assert len(first.object_id or "") == len(first.object_name or "") == 200
    assert len(first.message or "") == 1000


def test_surrogates_and_nul_are_replaced_not_refused(sink: MemorySink) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert sink.record("a.b", object=("file", name), metadata={"na\0me": [name, "\0"]}).ok
    text = msgspec.json.encode(sink.one()).decode()
    assert "\\u0000" not in text
    assert sink.one().object_id == "caf?"


def test_address_that_is_none_is_left_out_and_said(sink: MemorySink) -> None:
    assert sink.record("a.b", ip="testclient").warnings == ["ip: not an address, left out"]
    sink.clear()
    sink.record("a.b", ip=" ::ffff:10.0.0.1 ")
    assert sink.one().ip == "10.0.0.1"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (NOON, NOON),
        (NOON.timestamp(), NOON),
        ("2026-11-20T12:00:00Z", NOON),
        (NOON.astimezone().replace(tzinfo=None), NOON),
    ],
)
def test_time_is_taken_in_every_usual_form(sink: MemorySink, given: Any, expected: Any) -> None:
    sink.record("a.b", occurred_at=given)
    assert sink.one().occurred_at == expected


def test_unknown_field_is_left_out_and_named_with_the_nearest(sink: MemorySink) -> None:
    receipt = sink.record("a.b", chanel="x")  # type: ignore[call-arg]
    assert receipt.warnings == ["chanel: no such field, left out; did you mean `channel`?"]


REFUSED: list[tuple[Any, dict[str, Any]]] = [
    ("Settings Updated", {}),
    ("", {}),
    (None, {}),
    (5, {}),
    ("a" * 101, {}),
    ("a.b\n", {"outcome": "maybe"}),
    ("a.b", {"severity": "loud"}),
    ("a.b", {"object": ()}),
    ("a.b", {"actor": 5}),
    ("a.b", {"record": 5}),
    ("a.b", {"occurred_at": "yesterday"}),
]


@pytest.mark.parametrize(("action", "fields"), REFUSED)
def test_what_cannot_be_mended_is_refused_by_the_receipt(action: Any, fields: Any) -> None:
    quiet = MemorySink(strict=False)
    receipt = quiet.record(action, **fields)
    assert (receipt.ok, receipt.code, receipt.retry) == (False, "invalid_event", False)
    assert quiet.dropped == 1
    assert not quiet.events


@pytest.mark.parametrize(("action", "fields"), REFUSED)
def test_strict_raises_what_the_receipt_would_say(action: Any, fields: Any) -> None:
    with pytest.raises(InvalidEvent):
        MemorySink().record(action, **fields)


def test_sink_that_fails_costs_a_receipt(sink: MemorySink) -> None:
    class Broken(Outlet):
        dropped = 0

        def submit(self, drafts: Any, warnings: Any) -> list[Receipt]:
            raise OSError("hunter2")

        def refuse(self, code: str) -> None: ...

    receipt = Trail(Broken()).record("a.b")
    assert (receipt.ok, receipt.code, receipt.error) == (False, "failed", "OSError")
    assert [each.ok for each in Trail(Broken()).record_many([{"action": "a.b"}])] == [False]
    with pytest.raises(OSError, match="hunter2"):
        Trail(Broken(), strict=True).record("a.b")


def test_record_many_answers_each_in_order() -> None:
    quiet = MemorySink(strict=False)
    receipts = quiet.record_many(
        [{"action": "a.b"}, {"action": "!"}, Draft(action="c.d"), 5, {}]  # type: ignore[list-item]
    )
    assert [receipt.ok for receipt in receipts] == [True, False, True, False, False]
    assert [event.action for event in quiet.events] == ["a.b", "c.d"]


def test_a_whole_draft_is_taken_and_not_changed(sink: MemorySink) -> None:
    draft = Draft(action="a.b", actor="user:7", object_type="x", metadata={"password": "p"})
    sink.record(draft, channel="c")
    assert sink.one("a.b", actor="user:7", object_type="x", channel="c")
    assert draft == Draft(action="a.b", actor="user:7", object_type="x", metadata={"password": "p"})


# ── outcomes ────────────────────────────────────────────────────────────────────────────────────


def test_success_denial_and_login_have_their_shapes(sink: MemorySink) -> None:
    sink.record_success("a.done")
    sink.record_denied("a.tried", required="admin", actual=["viewer"], metadata={"x": 1})
    sink.record_auth("user.logged_in", outcome="success", actor="user:7")
    sink.record_auth("user.logged_in", outcome="failure", reason="bad_password")
    assert sink.recorded("a.done", outcome="success")
    assert sink.one("a.tried", outcome="denied").metadata == {
        "x": 1, "required": "admin", "actual": ["viewer"],
    }  # fmt: skip
    assert sink.recorded("user.logged_in", category="auth") == 2
    failed = sink.one("user.logged_in", outcome="failure")
    assert failed.metadata == {"error_kind": "code", "error_code": "bad_password"}


def test_failure_side_keys_win_over_the_callers(sink: MemorySink) -> None:
    sink.record_failure(
        "person.deleted",
        "not_found",
        outcome="success",
        metadata={"db_pending": False, "error_kind": "mine", "error_keys": ["x"], "kept": 1},
    )
    event = sink.one("person.deleted", outcome="failure")
    assert event.metadata == {
        "kept": 1, "db_pending": True, "error_kind": "code", "error_code": "not_found",
    }  # fmt: skip


def test_metadata_of_any_kind_survives_a_failure(sink: MemorySink) -> None:
    sink.record_failure("a.b", ValueError("hunter2"), metadata=5)  # type: ignore[arg-type]
    assert sink.one().metadata == {"value": 5, "db_pending": True, **classify(ValueError())}


# ── nothing ever raises ─────────────────────────────────────────────────────────────────────────

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.datetimes() | st.decimals() | st.uuids() | st.builds(Secretive) | st.just(object),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(action=ANYTHING, fields=st.dictionaries(st.sampled_from(sorted(SETTERS)), ANYTHING))
def test_no_call_raises_whatever_it_is_given(action: Any, fields: dict[str, Any]) -> None:
    calls: list[Callable[..., Receipt]] = [
        MemorySink(strict=False).record,
        NullSink().record,
        NullSink().record_denied,
    ]
    for call in calls:
        assert isinstance(call(action, **fields), Receipt)
    assert isinstance(NullSink().record_failure("a.b", action, **fields), Receipt)


@given(fields=st.dictionaries(st.sampled_from(sorted(SETTERS)), ANYTHING))
def test_what_is_accepted_is_what_the_daemon_accepts(fields: dict[str, Any]) -> None:
    sink = MemorySink(strict=False)
    if sink.record("a.b", **fields).ok:
        decoded = msgspec.json.decode(msgspec.json.encode(sink.one()), type=Draft)
        assert decoded == sink.one()


def test_strict_denial_of_a_full_receipt_is_rejected() -> None:
    class Full(Outlet):
        dropped = 0

        def submit(self, drafts: Any, warnings: Any) -> list[Receipt]:
            return [Receipt(ok=False, code="storage_full", error="full", retry=True)]

        def refuse(self, code: str) -> None: ...

    with pytest.raises(Rejected, match="full"):
        Trail(Full(), strict=True).record("a.b")
