"""Differences are exact, redacted on both sides, and the same from redacted or raw states."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.changeset import change_type, difference, same, stated_before
from collector.core.redaction import Redactor
from collector.event import Change

REDACTOR = Redactor(keys=["password"], patterns=[], emails="hash", key=b"k")
NOTHING: frozenset[str] = frozenset()
STATES = st.dictionaries(
    st.sampled_from(["a", "b", "password", "mail", "n"]),
    st.none()
    | st.booleans()
    | st.integers(0, 2)
    | st.sampled_from(["x", "ada@a.org"])
    | st.lists(st.integers(0, 1), max_size=2),
)


def test_fields_are_compared_and_sorted() -> None:
    old = {"title": "a", "size": 1, "gone": True, "kept": [1]}
    new = {"title": "b", "size": 1, "added": {"x": 1}, "kept": [1]}
    assert difference(old, new, NOTHING, REDACTOR) == [
        Change("added", None, {"x": 1}),
        Change("gone", True, None),
        Change("title", "a", "b"),
    ]


def test_a_first_state_adds_every_field_and_a_deletion_takes_every_field() -> None:
    assert difference(None, {"a": 1}, NOTHING, REDACTOR) == [Change("a", None, 1)]
    assert difference({"a": 1}, None, NOTHING, REDACTOR) == [Change("a", 1, None)]
    assert difference(None, None, NOTHING, REDACTOR) == []


def test_ignored_fields_never_show() -> None:
    assert difference({"at": 1, "a": 1}, {"at": 2, "a": 1}, frozenset({"at"}), REDACTOR) == []


def test_an_absent_field_is_a_null_one() -> None:
    assert difference({}, {"a": None}, NOTHING, REDACTOR) == []


def test_a_changed_secret_shows_and_the_secrets_do_not() -> None:
    [change] = difference({"password": "one"}, {"password": "two"}, NOTHING, REDACTOR)
    assert change.old != change.new
    assert "one" not in repr(change)
    assert "two" not in repr(change)


def test_true_is_not_one() -> None:
    assert not same({"a": [True]}, {"a": [1]})
    assert same({"a": [1.0]}, {"a": [1]})


@given(STATES)
def test_equal_states_have_no_difference_even_when_one_is_redacted(state: dict[str, Any]) -> None:
    assert difference(state, dict(state), NOTHING, REDACTOR) == []
    assert difference(REDACTOR.mapping(state), state, NOTHING, REDACTOR) == []


@given(STATES, STATES)
def test_a_difference_from_the_stored_state_is_that_from_the_raw_one(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    raw = difference(old, new, NOTHING, REDACTOR)
    assert raw == difference(REDACTOR.mapping(old), new, NOTHING, REDACTOR)
    clean = REDACTOR.mapping(new)
    assert all(same(change.new, clean.get(change.field)) for change in raw)
    changed = {change.field for change in raw}
    assert all(same(old.get(f), new.get(f)) for f in (old.keys() | new.keys()) - changed)


@pytest.mark.parametrize(
    ("old", "new", "action", "expected"),
    [
        (None, {"a": 1}, "x.updated", "create"),
        ({"a": 1}, {"a": 2}, "x.created", "update"),
        ({"a": 1}, None, "x.deleted", "delete"),
        ({"a": 1}, {"a": 1}, "x.deleted", "delete"),
        (None, None, "deleted", "delete"),
        ({"a": 1}, {"a": 2}, "x.undeleted", "update"),
        ({"a": 1}, None, "x.updated", None),
    ],
)
def test_the_type_of_a_change(
    old: dict[str, Any] | None, new: dict[str, Any] | None, action: str, expected: str | None
) -> None:
    assert change_type(old, new, action) == expected


def test_the_state_before_is_the_new_one_with_each_changed_field_as_it_was() -> None:
    metadata = {"changes": {"a": {"from": 1, "to": 2}, "gone": {"from": "x", "to": None}}}
    after = {"a": 2, "kept": True}
    assert stated_before(after, metadata, "t.updated") == {"a": 1, "gone": "x", "kept": True}
    assert after == {"a": 2, "kept": True}
    assert stated_before(None, metadata, "t.deleted") == {"a": 1, "gone": "x"}


def test_of_a_secret_that_changed_the_mark_is_what_was_before() -> None:
    mark = "[redacted:1a2b3c4d]"
    before = stated_before(
        {"password": "[redacted:00000000]"}, {"changes": {"password": mark}}, "t.updated"
    )
    assert before == {"password": mark}


@pytest.mark.parametrize(
    ("metadata", "action"),
    [
        (None, "t.updated"),
        ({}, "t.updated"),
        ({"changes": {}}, "t.updated"),
        ({"changes": ["a", "b"]}, "t.updated"),
        ({"changes": {"a": "b"}}, "t.updated"),
        ({"changes": {"a": {"from": 1}}}, "t.updated"),
        ({"changes": {"a": {"from": 1, "to": 2, "why": 3}}}, "t.updated"),
        ({"changes": {"a": {"from": None, "to": 2}}}, "t.created"),
    ],
)
def test_no_state_before_is_made_up(metadata: dict[str, Any] | None, action: str) -> None:
    assert stated_before({"a": 2}, metadata, action) is None
