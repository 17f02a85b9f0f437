"""Elements of an array are found as a decoder of JSON finds them, in steps of bounded cost."""

from __future__ import annotations

import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.json_array import STEP_TOKENS, spans
from collector.errors import InvalidJSON

values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def elements(body: bytes) -> list[bytes]:
    return [body[span[0] : span[1]].strip() for span in spans(body) if span is not None]


@given(st.lists(values, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_elements_are_those_of_a_decoder(
    items: list[object], indent: int | None, ascii_only: bool
) -> None:
    body = b" " + json.dumps(items, indent=indent, ensure_ascii=ascii_only).encode() + b"\n"
    assert [json.loads(one) for one in elements(body)] == items


@given(st.text('[]{},:"\\ a1', max_size=12).map(str.encode))
def test_no_bytes_are_an_array_with_elements_that_a_decoder_takes_for_none(body: bytes) -> None:
    try:
        msgspec.json.decode(body, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        try:
            found = elements(body)
        except InvalidJSON:
            return
        for one in found:  # then one of the elements is no JSON, and is told so by itself
            try:
                msgspec.json.decode(one)
            except msgspec.DecodeError:
                return
        raise AssertionError(found) from None
    else:
        elements(body)


@pytest.mark.parametrize("body", [b"", b"{}", b"[", b"[1", b"[1,]", b"[,1]", b"[1,,2]", b"[1]]",
                                  b"[1] 2", b"[{]}", b'["a', b"[1],"])  # fmt: skip
def test_what_is_no_array_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidJSON):
        elements(body)


def test_a_step_looks_at_a_bounded_number_of_tokens_within_an_element_too() -> None:
    assert sum(span is None for span in spans(b"[[" + b"0," * STEP_TOKENS * 3 + b"0]]")) == 3


def test_an_unclosed_string_is_looked_at_once() -> None:
    """Twice the length takes about twice the time, not four times: compared within one run."""

    def seconds(length: int) -> float:
        body = b'["' + b'\\"' * length
        began = time.perf_counter()
        with pytest.raises(InvalidJSON):
            elements(body)
        return time.perf_counter() - began

    small = min(seconds(100_000) for _ in range(3))
    assert min(seconds(800_000) for _ in range(3)) < 30 * small
