"""A server that speaks the protocol, and a clean default sink for each test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.client import functions
from tests.client.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "collector.sock").start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _no_default_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test finds a daemon of this machine, and none inherits another's sink."""
    monkeypatch.setenv("COLLECTOR_SOCKET", str(tmp_path / "nobody.sock"))
    yield
    functions.close(0.1)


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition under a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.005)
