"""The shim, compiled once a session, and a fork server that is loaded with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.conftest import daemon, make
from tests.faults.forking import ForkServer
from tests.faults.shim import compiled
from tests.requirements import need_tool

__all__ = ["daemon", "make", "server", "shim"]


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The preload shim; skips where there is no compiler."""
    return compiled(need_tool("gcc"), tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def server(shim: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """A process with a daemon's imports behind it."""
    with ForkServer(shim, tmp_path_factory.mktemp("server") / "log") as server:
        yield server
