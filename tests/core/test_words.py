"""Full text: the same words for the index and for the tail, whatever the script or the escapes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.words import QUERY_WORDS_MAX, WORD_MAX, parse_words, unescaped, words_of
from collector.errors import QueryError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Straße frei", {"strasse", "frei"}),
        ("settings.updated", {"settings", "updated"}),
        ("foo_bar-baz", {"foo", "bar", "baz"}),
        ("日本語 text", {"日本語", "text"}),
        ("10.0.0.1", {"10", "0", "1"}),
        ("e\u0301te\u0301", {"e", "te"}),
        ("w" * 60, {"w" * WORD_MAX}),
        ("", set()),
        ("... --- ***", set()),
    ],
)
def test_words_are_runs_of_letters_and_digits_case_folded(text: str, words: set[str]) -> None:
    assert words_of([text]) == words


def test_words_do_not_run_from_one_text_into_the_next() -> None:
    assert words_of(["foot", "ball"]) == {"foot", "ball"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=9), json_values, max_size=4))
def test_json_has_the_words_of_its_keys_and_values(data: dict[str, object]) -> None:
    """Escaped or not: the shortcut for JSON without escapes finds what undoing them finds."""
    text = msgspec.json.encode(data).decode()
    forced = msgspec.json.encode({**data, "\n": 0}).decode()  # a newline is always escaped
    assert words_of([unescaped(text)]) == words_of([unescaped(forced)]) - (
        {"0"} - words_of([unescaped(text)])
    )


@given(st.text(max_size=80))
def test_a_text_is_found_by_all_of_its_own_words_and_their_beginnings(text: str) -> None:
    words = words_of([text])
    for word in list(words)[:QUERY_WORDS_MAX]:
        assert parse_words(word).match(words)
        assert parse_words(word[:2] + "*").match(words)


@pytest.mark.parametrize(
    ("q", "exact", "prefixes"),
    [
        ("Straße", {"strasse"}, set()),
        ("foo_bar", {"foo", "bar"}, set()),
        ("foo-ba*", {"foo"}, {"ba"}),
        ("a  b\tc", {"a", "b", "c"}, set()),
        ("x" * 60 + "*", set(), {"x" * WORD_MAX}),
        ("- a", {"a"}, set()),
    ],
)
def test_a_search_is_words_and_prefixes(q: str, exact: set[str], prefixes: set[str]) -> None:
    words = parse_words(q)
    assert (words.exact, words.prefixes) == (exact, prefixes)


@pytest.mark.parametrize("q", ["*", "-", "  ", "_", " ".join(map(str, range(QUERY_WORDS_MAX + 1)))])
def test_a_search_without_words_or_with_too_many_is_refused(q: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_words(q)
    assert caught.value.field == "q"


def test_all_words_must_occur() -> None:
    words = words_of(["the nightly backup failed"])
    assert parse_words("backup fail*").match(words)
    assert not parse_words("backup fail").match(words)
    assert not parse_words("backup missing*").match(words)
