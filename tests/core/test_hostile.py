"""Text of strangers is bounded, escaped and counted at the door."""

from hypothesis import given
from hypothesis import strategies as st

from collector.core.hostile import (
    TXT_KEY_MAX,
    TXT_KEYS_MAX,
    TXT_TOTAL_MAX,
    TXT_VALUE_MAX,
    clean,
    parse_txt,
)


def txt(*strings: bytes) -> bytes:
    return b"".join(bytes([len(one)]) + one for one in strings)


def test_control_bidi_and_surrogate_characters_become_visible() -> None:
    assert clean("a\x1b[31m\nb\x00\x7f") == "a\\x1b[31m\\x0ab\\x00\\x7f"
    assert clean("\u202efdp.exe\u2028") == "\\u202efdp.exe\\u2028"
    assert clean("\udcff") == "\\udcff"
    assert clean("\U000e0041") == "\\U000e0041"


def test_words_and_emoji_of_the_world_stay_as_they_are() -> None:
    for text in ("Küche", "客厅", "می‌خواهم", "👩‍💻 lamp", "a b"):
        assert clean(text) == text


@given(st.text(), st.integers(2, 300))
def test_clean_text_is_bounded_encodable_and_shows_no_control(text: str, limit: int) -> None:
    result = clean(text, limit)
    assert len(result) <= limit
    result.encode("utf-8")
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in result)


def test_txt_pairs_as_rfc_6763_has_them() -> None:
    raw = txt(b"Path=/a=b", b"flag", b"", b"path=second", b"=nokey")
    assert parse_txt(raw) == ({"path": "/a=b", "flag": ""}, 1)


def test_txt_that_is_not_utf8_is_shown_by_its_bytes() -> None:
    assert parse_txt(txt(b"k=\xff\xfeok")) == ({"k": "\\xff\\xfeok"}, 0)


def test_txt_that_ends_in_the_middle_is_counted() -> None:
    assert parse_txt(b"\x03a=1\x20b=2") == ({"a": "1"}, 1)


def test_txt_bounded() -> None:
    many = txt(*(b"k%d=v" % number for number in range(500)))
    pairs, dropped = parse_txt(many)
    assert len(pairs) == TXT_KEYS_MAX
    assert dropped == 500 - TXT_KEYS_MAX
    huge, dropped = parse_txt(txt(*(bytes([97 + n]) * 5 + b"=" + b"x" * 240 for n in range(26))))
    assert sum(len(key) + len(value) for key, value in huge.items()) <= TXT_TOTAL_MAX
    assert dropped == 26 - len(huge)


@given(st.binary(max_size=3000))
def test_any_bytes_are_parsed_within_the_bounds(raw: bytes) -> None:
    pairs, dropped = parse_txt(raw)
    assert dropped >= 0
    assert len(pairs) <= TXT_KEYS_MAX
    assert all(len(k) <= TXT_KEY_MAX and len(v) <= TXT_VALUE_MAX for k, v in pairs.items())
