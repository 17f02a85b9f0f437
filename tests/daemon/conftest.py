"""A daemon for each test that asks for one, gone when the test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.daemon.harness import RunningDaemon


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., RunningDaemon]]:
    """Makes daemons below the test's folder, `at` a subfolder where there are several."""
    made: list[RunningDaemon] = []

    def one(at: str = "", **lines: object) -> RunningDaemon:
        folder = tmp_path / at
        folder.mkdir(exist_ok=True)
        made.append(RunningDaemon(folder, **lines))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for daemon in made:
        daemon.kill()


@pytest.fixture
def daemon(make: Callable[..., RunningDaemon]) -> RunningDaemon:
    """A daemon with the defaults, up and answering."""
    return make().start()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """One daemon for all tests of a module that leave it as they found it."""
    daemon = RunningDaemon(tmp_path_factory.mktemp("shared")).start()
    yield daemon
    daemon.kill()
