"""Decoding: a chunk at once is each of its lines by itself; hostile bytes end in a reason."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from collector.core.decoding import decode_chunk, decode_line, decode_lines
from collector.errors import InvalidEvent, InvalidJSON, Rejected
from collector.event import Draft

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
drafts = st.fixed_dictionaries(
    {"action": st.sampled_from(["a", "b.c"])},
    optional={"message": st.text(max_size=5), "metadata": st.dictionaries(st.text(), values)},
)
good = drafts.map(lambda draft: json.dumps(draft).encode())
other = st.one_of(
    st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"")),
    st.sampled_from([b"", b" ", b'{"op":"ping"}', b"[1]", b"NaN", b'{"action":"a"}{"action":"b"}']),
    values.map(lambda value: json.dumps(value).encode()),
)


@given(st.lists(good | other, max_size=6))
def test_a_chunk_at_once_equals_line_by_line(lines: list[bytes]) -> None:
    chunk = b"".join(line + b"\n" for line in lines)
    apart = [decode_line(line) for line in lines if line.strip()]
    assert [_told(item) for item in decode_lines(chunk)] == [_told(item) for item in apart]
    at_once = decode_chunk(chunk)
    if at_once is not None:
        assert at_once == apart
    elif lines and all(line.strip() for line in lines):
        assert not all(isinstance(item, Draft) for item in apart)


@given(st.lists(good, max_size=6))
def test_a_chunk_of_drafts_is_decoded_at_once(lines: list[bytes]) -> None:
    found = decode_chunk(b"".join(line + b"\n" for line in lines))
    assert found is not None
    assert len(found) == len(lines)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_reason(data: bytes) -> None:
    assert isinstance(decode_line(data), Draft | dict | Rejected)


def test_reasons_name_what_is_wrong() -> None:
    assert isinstance(decode_line(b"\xff"), InvalidJSON)
    assert isinstance(decode_line(b"[" * 100_000), Rejected)
    unknown = decode_line(b'{"action":"a","mesage":"x"}')
    assert isinstance(unknown, InvalidEvent)
    assert "did you mean `message`" in str(unknown)


def _told(item: object) -> object:
    return str(item) if isinstance(item, Rejected) else item
