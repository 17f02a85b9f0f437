"""The arguments of `emit` become the event they say, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.cli import quick
from collector.cli.draft import WrongArgument, draft, line, refused_locally
from collector.errors import InvalidEvent, QueryError


def event(*words: str) -> dict[str, Any]:
    values = quick.parse(list(words))
    assert values is not None
    return draft(values)


def test_every_option_ends_in_its_field() -> None:
    told = event(
        "member.added", "--object", "user:b:1", "--object-name", "Bob", "--target", "group:admins",
        "--target-name", "Admins", "--actor", "user:7", "--actor-name", "Ada", "-c", "auth",
        "--outcome", "denied", "--severity", "error", "--channel", "web", "--mode", "manual",
        "-m", "hi", "--id", "i", "--correlation", "c", "--causation", "d", "--tenant", "t",
        "--org", "o", "--ip", "10.0.0.1", "--at", "2026-11-20T10:00:00Z", "-d", "n=1",
    )  # fmt: skip
    assert told == {
        "action": "member.added",
        "object_type": "user",
        "object_id": "b:1",
        "object_name": "Bob",
        "target": {"type": "group", "id": "admins", "name": "Admins"},
        "actor": {"type": "user", "id": "7", "name": "Ada"},
        "category": "auth",
        "outcome": "denied",
        "severity": "error",
        "channel": "web",
        "mode": "manual",
        "message": "hi",
        "id": "i",
        "correlation_id": "c",
        "causation_id": "d",
        "tenant_id": "t",
        "org_id": "o",
        "ip": "10.0.0.1",
        "occurred_at": "2026-11-20T10:00:00+00:00",
        "metadata": {"n": 1},
    }


def test_what_is_not_given_is_not_sent() -> None:
    assert event("x.y") == {"action": "x.y"}
    assert event("x.y", "--object", "backup") == {"action": "x.y", "object_type": "backup"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1.5e3", -1500.0),
        ("true", True),
        ("null", None),
        ('"1"', "1"),
        ('{"a": [1]}', {"a": [1]}),
        ("", ""),
        ("hello", "hello"),
        ("2026-11-20", "2026-11-20"),
        ("007", "007"),
        ("a=b", "a=b"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("1e999", "1e999"),
        ("[1,", "[1,"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_data_is_json_where_it_parses_and_else_text(text: str, value: Any) -> None:
    assert event("x.y", "-d", f"k={text}")["metadata"] == {"k": value}


@pytest.mark.parametrize(
    "words",
    [
        ["--actor", "ada"],
        ["--actor", ":7"],
        ["--target", "group:"],
        ["-d", "novalue"],
        ["-d", "=v"],
    ],
)
def test_a_malformed_argument_is_named(words: list[str]) -> None:
    with pytest.raises(WrongArgument) as caught:
        event("x.y", *words)
    assert caught.value.option == words[0]


def test_a_time_that_is_none_is_an_error_of_its_option() -> None:
    with pytest.raises(QueryError, match="--at"):
        event("x.y", "--at", "soon")


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(InvalidEvent):
        line({"action": "x.y", "message": "\udcff"})


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=4))
def test_no_object_with_an_op_is_sent_as_an_event(fields: dict[str, Any]) -> None:
    for ensure_ascii in (True, False):
        text = json.dumps(fields, ensure_ascii=ensure_ascii).encode("utf-8", "surrogatepass")
        assert (refused_locally(text) is not None) == ("op" in fields)


@pytest.mark.parametrize("key", [b'"op"', rb'"\u006fp"', rb'"o\u0070"'])
def test_an_op_in_any_spelling_is_refused(key: bytes) -> None:
    assert refused_locally(b'{"action":"x.y",' + key + b':"prune"}') is not None
    assert refused_locally(b'{"action":"x.y","metadata":{' + key + b":1}}") is None
