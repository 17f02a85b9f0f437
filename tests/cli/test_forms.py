"""What is printed of an entry: complete for programs, harmless for people."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.cli.columns import aligned, width
from collector.cli.forms import as_json, as_line, coloured, printer
from collector.core.csv_form import CSV_COLUMNS
from collector.core.escape import FORMULA_START, visible
from collector.event import ENTRY_FIELDS, Change, Entry, Principal, Producer

EVIL = "=1+1\n\x1b[31m\u202eevil\x9b\x07,\"'"


def entry(text: str = "plain", **fields: object) -> Entry:
    told: dict[str, object] = {
        "seq": 42,
        "id": "0192f1c4-0000-7000-8000-000000000001",
        "occurred_at": "2026-11-20T10:00:00.000000Z",
        "recorded_at": "2026-11-20T10:00:00.000000Z",
        "action": "settings.updated",
        "category": "system",
        "outcome": "success",
        "severity": "info",
        "source": "unix",
        "producer": Producer("peercred", uid=0, comm=text),
        "actor": Principal(type=text, id=text, name=text),
        "object_type": "settings",
        "object_id": text,
        "object_name": text,
        "message": text,
        "metadata": {text: text},
        "changes": [Change(text, text, None)],
    }
    return Entry(**{**told, **fields})  # type: ignore[arg-type]


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(ANY)
def test_json_has_every_key_and_every_value_on_one_line(text: str) -> None:
    line = as_json(entry(text))
    found = json.loads(line)
    assert list(found) == list(ENTRY_FIELDS)
    assert found["message"] == text
    assert found["metadata"] == {text: text}
    assert visible(line) == line


@given(ANY)
def test_a_short_line_is_one_harmless_line(text: str) -> None:
    line = as_line(entry(text), dt.UTC)
    assert visible(line) == line
    assert line.startswith("2026-11-20 10:00:00 #42 settings.updated: ")


def test_colours_are_ours_alone() -> None:
    line = as_line(entry(EVIL, severity="error"), dt.UTC, coloured)
    assert line.replace("\x1b[", "").count("\x1b") == 0
    assert "\\x1b[31m\\u202eevil\\x9b" in line


@pytest.mark.parametrize(
    ("outcome", "severity", "mark"),
    [
        ("success", "info", ""),
        ("failure", "warning", "[failure]"),
        ("denied", "warning", "[denied]"),
        ("failure", "error", "[failure,error]"),
        ("success", "warning", "[warning]"),
        ("unknown", "info", "[unknown]"),
        ("success", "error", "[error]"),
    ],
)
def test_what_is_out_of_the_ordinary_is_said_in_words(
    outcome: str, severity: str, mark: str
) -> None:
    line = as_line(entry(outcome=outcome, severity=severity), dt.UTC)
    assert f" settings.updated{mark}: " in line


def test_times_are_local() -> None:
    zone = dt.timezone(dt.timedelta(hours=1))
    assert as_line(entry(), zone).startswith("2026-11-20 11:00:00 ")


@given(st.sampled_from(["", *FORMULA_START]), ANY)
def test_csv_reads_back_in_its_columns_without_formulas(start: str, text: str) -> None:
    out = io.StringIO()
    printer("csv", out, dt.UTC)([entry(start + text), entry()])
    assert len(out.getvalue().splitlines()) == 3
    header, first, second = csv.reader(io.StringIO(out.getvalue()))
    assert tuple(header) == CSV_COLUMNS
    assert len(first) == len(second) == len(header)
    found = dict(zip(header, first, strict=True))
    assert found["message"].removeprefix("'") == visible(start + text)
    assert not any(cell.startswith(FORMULA_START) for cell in first)
    assert second[header.index("actor_name")] == "plain"


def test_csv_holds_nested_values_as_json() -> None:
    out = io.StringIO()
    printer("csv", out, dt.UTC)([entry()])
    header, row = csv.reader(io.StringIO(out.getvalue()))
    found = dict(zip(header, row, strict=True))
    assert json.loads(found["metadata"]) == {"plain": "plain"}
    assert json.loads(found["changes"]) == [{"field": "plain", "old": "plain", "new": None}]
    assert json.loads(found["producer"])["assurance"] == "peercred"


def test_columns_align_wide_characters() -> None:
    lines = aligned([["蓝色灯", "1"], ["lamp", "22"]], right=[1])
    assert lines == ["蓝色灯   1", "lamp    22"]
    assert width("e\u0301") == 1
    assert aligned([]) == []
