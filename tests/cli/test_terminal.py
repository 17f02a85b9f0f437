"""On a terminal there are colours, a pager and a progress bar; in a pipe there is none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.harness import Book, in_terminal, run

ESCAPE = "\x1b"


@pytest.fixture
def there(env: dict[str, str], book: Book) -> dict[str, str]:
    book.record("x.y", severity="error", message="evil \x1b[2J text")
    return {**env, "COLLECTOR_DB": str(book.path), "PAGER": "cat"}


def test_a_terminal_gets_colour_and_no_escape_of_a_stranger(there: dict[str, str]) -> None:
    for verb in ("query", "tail"):
        shown = in_terminal(verb, env=there)
        assert shown.code == 0
        assert ESCAPE in shown.out
        assert "\\x1b[2J" in shown.out
        assert f"{ESCAPE}[2J" not in shown.out


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_declined(there: dict[str, str], more: dict[str, str]) -> None:
    shown = in_terminal("query", env={**there, **more})
    assert shown.code == 0
    assert ESCAPE not in shown.out


def test_an_empty_no_color_declines_nothing(there: dict[str, str]) -> None:
    assert ESCAPE in in_terminal("query", env={**there, "NO_COLOR": ""}).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["query", "-a", "no.such"], "no entry matches"),
        (["query", "-a", "no.such", "-o", "json"], "no entry matches"),
        (["tail", "-a", "no.such"], "no entry matches"),
        (["stats", "-a", "no.such"], "no entry matches"),
        (["devices"], "no device is known yet"),
        (["keys", "list"], "no key was made yet"),
    ],
)
def test_where_there_is_nothing_a_terminal_is_told_so_and_a_pipe_is_not(
    there: dict[str, str], book: Book, words: list[str], said: str
) -> None:
    book.close()
    assert said in in_terminal(*words, env=there).out
    piped = run(*words, env=there)
    assert (piped.code, piped.out) == (0, "")
    assert said not in piped.err


def test_a_pipe_gets_neither_colour_nor_pager(there: dict[str, str]) -> None:
    done = run("query", env={**there, "PAGER": "sed s/^/PAGED/"})
    assert ESCAPE not in done.out
    assert "PAGED" not in done.out


def test_a_terminal_gets_the_pager_that_is_wanted(there: dict[str, str]) -> None:
    paged = {**there, "PAGER": "sed s/^/PAGED/"}
    assert "PAGED" in in_terminal("query", env=paged).out
    assert "OWN" in in_terminal("query", env={**paged, "COLLECTOR_PAGER": "sed s/^/OWN/"}).out
    assert "PAGED" not in in_terminal("query", "--no-pager", env=paged).out
    assert "PAGED" not in in_terminal("query", "-o", "json", env=paged).out
    assert "x.y" in in_terminal("query", env={**there, "PAGER": "no-such-pager"}).out
    assert "x.y" in in_terminal("query", env={**there, "PAGER": ""}).out


def test_a_dumb_terminal_gets_a_pager_only_on_request(env: dict[str, str], book: Book) -> None:
    for number in range(60):
        book.record("x.y", message=f"line {number}")
    dumb = {**env, "COLLECTOR_DB": str(book.path), "TERM": "dumb"}
    dumb.pop("PAGER", None)
    shown = in_terminal("query", env=dumb)
    assert shown.code == 0
    assert "fully functional" not in shown.out
    assert "PAGED" in in_terminal("query", env={**dumb, "PAGER": "sed s/^/PAGED/"}).out


def test_who_leaves_the_pager_early_has_seen_enough(there: dict[str, str], book: Book) -> None:
    book.many(5000)
    shown = in_terminal("query", "-n", "all", env={**there, "PAGER": "head -n 2"})
    assert shown.code == 0
    assert len(shown.out.splitlines()) == 2
    assert "rror" not in shown.out.replace("[error]", "")


def test_an_export_shows_its_progress_on_a_terminal(
    there: dict[str, str], book: Book, tmp_path: Path
) -> None:
    book.many(3000)
    shown = in_terminal("export", "--format", "csv", "--out", str(tmp_path / "out"), env=there)
    assert shown.code == 0
    assert "exporting" in shown.out
    assert "3,001 entries in" in shown.out
    quiet = run("export", "--format", "csv", "--out", str(tmp_path / "out"), env=there)
    assert "exporting" not in quiet.err


def test_an_export_to_the_terminal_is_not_mixed_with_a_bar(there: dict[str, str]) -> None:
    shown = in_terminal("export", "--format", "ndjson", env=there)
    assert "exporting" not in shown.out
    assert shown.out.startswith('{"seq":1,')
