"""`emit`'s two readers of arguments understand the same, and leave the same to be explained."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import event
from collector.cli import filters, quick
from collector.cli.emit import command

FLAGS = [flag for _, flags, _, _ in quick.OPTIONS for flag in flags]
WORDS = st.one_of(
    st.sampled_from(
        [*FLAGS, quick.FLAG, "--", "-", "x.y", "a=1", "success", "denied", "2.5", "-1"]
    ),
    st.sampled_from(FLAGS).map(lambda flag: f"{flag}=v"),
    st.sampled_from(["-mtext", "-dk=v", "-csystem", "--nope", "-z", "", "=", "--=x", "-m="]),
    st.text(max_size=3),
)


def by_click(words: list[str]) -> dict[str, Any] | None:
    try:
        context = command.make_context("emit", list(words))
    except (click.ClickException, click.exceptions.Exit):
        return None
    return {**context.params}


@settings(max_examples=600)
@given(st.lists(WORDS, max_size=7))
def test_what_quick_reads_click_reads_the_same(words: list[str]) -> None:
    values = quick.parse(words)
    if values is not None:
        assert by_click(words) == values


@pytest.mark.parametrize(
    "words",
    [
        ["backup.completed", "--object", "backup:nightly", "-d", "bytes=123", "-d", "a=b"],
        ["--json", "-", "--best-effort"],
        ["x.y", "-mhello there", "--outcome=failure", "--timeout", "0.5"],
        ["-m", "-starts with a dash", "--", "x.y"],
        ["x.y", "--message", "", "--object-name="],
        [],
    ],
)
def test_usual_calls_are_read_quickly(words: list[str]) -> None:
    assert quick.parse(words) is not None
    assert quick.parse(words) == by_click(words)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["-h"], ["x.y", "--objekt", "a"], ["x.y", "-d"], ["a.b", "c.d"],
     ["x.y", "--outcome", "odd"], ["x.y", "--timeout", "soon"], ["x.y", "--timeout", "nan"],
     ["x.y", "--obj", "a:b"]],
)  # fmt: skip
def test_anything_else_is_left_to_click(words: list[str]) -> None:
    assert quick.parse(words) is None
    assert by_click(words) is None


def test_the_closed_sets_are_the_events() -> None:
    assert quick.CHOICES == {"outcome": event.OUTCOMES, "severity": event.SEVERITIES}
    assert filters.SOURCES == event.SOURCES


def test_a_quick_emit_loads_neither_click_nor_msgspec() -> None:
    code = (
        "import sys; from collector.cli import main; "
        "code = main(['emit', 'x.y', '--socket', '/nonexistent/socket']); "
        "heavy = {'click', 'rich', 'msgspec', 'asyncio', 'sqlite3', 'tomllib'} & set(sys.modules); "
        "print(code, sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "69 []"
