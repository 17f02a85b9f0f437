"""Ids: every usual spelling reads as the same 16 bytes; an assigned id names its own row."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.ids import assigned_id, assigned_seq, format_id, parse_id, parse_ids
from collector.errors import InvalidEvent


@given(st.uuids())
def test_spellings_of_one_id_are_one(id_: UUID) -> None:
    for text in (str(id_), str(id_).upper(), id_.hex, id_.urn, f"{{{id_}}}"):
        assert parse_id(text) == id_.bytes
    assert format_id(id_.bytes) == str(id_)


@pytest.mark.parametrize("text", ["", "x", "0" * 36, "g" * 8 + "-0000-0000-0000-" + "0" * 12])
def test_what_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_id(text)


@given(st.integers(0, 2**47 * 1000), st.integers(0, 2**14 - 1), st.integers(1, 2**48 - 1))
def test_an_assigned_id_is_a_v7_that_names_its_seq(at: int, tag: int, seq: int) -> None:
    id_ = UUID(assigned_id(at, tag, seq))
    assert id_.version == 7
    assert id_.variant == "specified in RFC 4122"
    assert id_.int >> 80 == at // 1000
    assert assigned_seq(id_.bytes, tag) == seq
    assert assigned_seq(id_.bytes, tag ^ 1) is None


@given(st.integers(0, 2**50), st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_assigned_ids_sort_by_time(at: int, later: int, seq: int, other: int) -> None:
    assert assigned_id(at, 5, seq) < assigned_id(at + later, 5, other)


_ODD = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda id_: str(id_).upper()),
    st.uuids().map(lambda id_: id_.hex),
    st.uuids().map(lambda id_: str(id_)[:35]),
    st.uuids().map(lambda id_: str(id_).replace("-", " ")),
    st.uuids().map(lambda id_: str(id_)[:10] + "-" + str(id_)[11:]),
    st.text(min_size=36, max_size=36),
)


@given(st.lists(st.uuids().map(str)), st.lists(_ODD, max_size=3))
def test_many_ids_are_parsed_as_each_alone_would_be(usual: list[str], odd: list[str]) -> None:
    texts = [*usual, *odd]
    alone = {}
    for text in texts:
        with suppress(InvalidEvent):
            alone[text] = parse_id(text)
    assert parse_ids(texts) == alone


def test_two_ids_with_a_dash_too_many_are_none() -> None:
    """Together they have a whole number of bytes."""
    odd = ["-1234567-1234-1234-1234-123456789abc", "12345678-1234-1234-1234-123456789ab-"]
    usual = "12345678-1234-1234-1234-123456789abc"
    assert list(parse_ids([usual, *odd])) == [usual]


@pytest.mark.parametrize(
    "text",
    [
        "0192f1c4_0000_7000_8000_0000_0000abcd",
        "+192f1c4-0000-7000-8000-00000000abcd",
        " 192f1c4-0000-7000-8000-00000000abcd",
        "0192f1c4-0000-7000-8000-00000000abc\u0663",
        "0192f1c4-0000-7000-8000-00000000abcd\n",
        "{{0192f1c4-0000-7000-8000-00000000abcd}}",
    ],
)
def test_what_is_only_nearly_a_uuid_is_refused(text: str) -> None:
    with pytest.raises(InvalidEvent):
        parse_id(text)
    assert parse_ids([text]) == {}
