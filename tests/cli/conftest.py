"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.cli import main
from tests.cli.harness import Book, Result, Script, environment


@pytest.fixture
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A process's environment whose home is empty, and short enough for a socket below it."""
    return environment(tmp_path_factory.mktemp("home"))


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    """An open journal at `tmp_path/events.db`."""
    opened = Book(tmp_path / "events.db")
    yield opened
    opened.close()


@pytest.fixture
def cli(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Result]:
    """Calls the command line inside this process, which is quicker where no pipe matters."""
    for name in ("COLLECTOR_DB", "COLLECTOR_SOCKET", "COLLECTOR_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", env["HOME"])
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    def call(*words: str) -> Result:
        capsys.readouterr()
        code = main(words)
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Starts scripted daemons at `tmp_path/collector.sock`, and ends them."""
    started: list[Script] = []

    def start(answer: Any) -> Script:
        started.append(Script(tmp_path / "collector.sock", answer))
        return started[-1]

    yield start
    for each in started:
        each.close()
