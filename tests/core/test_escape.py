"""Nothing that a stranger wrote controls a terminal, reorders a line, or runs in a spreadsheet."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collector.core.escape import FORMULA_START, csv_cell, json_line, visible

ANY_TEXT = st.text(st.characters())
HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"


def harmful(text: str) -> list[str]:
    return [c for c in text if unicodedata.category(c) in HARMFUL and c not in JOINERS]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\r\n", "two\\nlines\\r\\n"),
        ("a\tb", "a\\tb"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x9b31m", "\\x9b31m"),
        ("bell\x07 del\x7f", "bell\\x07 del\\x7f"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("line\u2028sep", "line\\u2028sep"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("C:\\new", "C:\\new"),
        ("Größe 蓝色 سلام", "Größe 蓝色 سلام"),
        ("family 👩\u200d👧", "family 👩\u200d👧"),
    ],
)
def test_visible_shows_what_would_control(raw: str, shown: str) -> None:
    assert visible(raw) == shown


@given(ANY_TEXT)
def test_visible_text_is_one_harmless_line(text: str) -> None:
    shown = visible(text)
    assert not harmful(shown)
    assert len(shown.splitlines()) <= 1
    assert visible(shown) == shown


@given(ANY_TEXT.filter(lambda text: not harmful(text)))
def test_visible_leaves_harmless_text_alone(text: str) -> None:
    assert visible(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("\u202e\U000e0001\x7f\x9b\u2028")
def test_json_line_keeps_the_value_and_hides_nothing_harmful(text: str) -> None:
    line = json.dumps({"text": text}, ensure_ascii=False)
    safe = json_line(line)
    assert json.loads(safe) == {"text": text}
    assert not harmful(safe)


@pytest.mark.parametrize("start", FORMULA_START)
def test_a_cell_that_starts_like_a_formula_is_quoted(start: str) -> None:
    assert csv_cell(f"{start}HYPERLINK()").startswith("'")
    assert csv_cell(f"x{start}HYPERLINK()").startswith("x")


@given(ANY_TEXT)
def test_no_cell_starts_a_formula_or_breaks_its_row(text: str) -> None:
    cell = csv_cell(text)
    assert not cell.startswith(FORMULA_START)
    assert not harmful(cell)
