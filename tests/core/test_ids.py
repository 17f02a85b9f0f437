"""Ids: every usual spelling reads as the same 16 bytes; an assigned id names its own row."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.ids import assigned_id, assigned_seq, format_id, parse_id
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
