"""Fixtures that every room's tests share, and how the whole suite is spread over the cores.

`pytest` without a path runs the suite in workers, one a core. Each test owns its folder and its
network, so any may run beside any other, with two exceptions:

- Files named in `TOGETHER` with the same word run on one worker, one test after the other. They
  share something that is dear to make (a browser) or that the machine has once (multicast on
  loopback).
- A test marked `alone` asserts how long something takes. It runs after all others, and none beside
  it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.database import InMemoryExampleDatabase
from xdist.scheduler import LoadScopeScheduling

# A busy machine is slow, not wrong: only the whole run has a time limit.
settings.register_profile("collector", deadline=None, print_blob=True)
# Failing examples are kept in the checkout, unless it is somebody else's.
settings.register_profile(
    "elsewhere", parent=settings.get_profile("collector"), database=InMemoryExampleDatabase()
)
writable = os.access(Path(__file__).parent.parent, os.W_OK)
settings.load_profile("collector" if writable else "elsewhere")

MOST_WORKERS = 8
"""More are no quicker: the longest group is what remains."""
TOGETHER = {
    "tests/page/test_activity.py": "page, activity",
    "tests/page/test_devices.py": "multicast",
    "tests/page/test_sizes.py": "page, sizes",
    "tests/page/test_tabs.py": "page, tabs",
    "tests/sources/test_mdns.py": "multicast",
}
"""Files whose tests run on one worker: path to the name of the group."""
turn_key = pytest.StashKey[int]()
"""The open file by whose lock tests of all workers take turns."""


@pytest.fixture
def anyio_backend() -> str:
    """The daemon is asyncio's; only the client library is also tried on trio."""
    return "asyncio"


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker a core for the whole suite; none for a part, which would wait for their start."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if not whole or config.option.keyword or config.option.collectonly:
        return 0
    return max(2, min(len(os.sched_getaffinity(0)), MOST_WORKERS))


def pytest_configure(config: pytest.Config) -> None:
    """In a worker: open the file that all workers of the run lock."""
    if (worker := getattr(config, "workerinput", None)) is not None:
        shared = Path(config.option.basetemp).parent / f"turn-{worker['testrunuid']}"
        config.stash[turn_key] = os.open(shared, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close it; it goes with the run's folder."""
    if (turn := config.stash.get(turn_key, None)) is not None:
        os.close(turn)


class Scheduling(LoadScopeScheduling):
    """Hands out single tests in the order of the collection, and files of `TOGETHER` as a whole."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER.get(nodeid.partition("::")[0], nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    """Ours, unless the command line asks for one of xdist's own."""
    return Scheduling(config, log) if config.option.dist == "load" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker: what cannot be split goes first, then what is slow; what is alone goes last."""
    if turn_key in config.stash:
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    """Where in the run a test stands; the sort keeps the order of those that are equal."""
    if item.get_closest_marker("alone"):
        return 3
    if item.nodeid.partition("::")[0] in TOGETHER:
        return 0
    return 1 if item.get_closest_marker("slow") else 2


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run beside other tests, or with none beside it where the test is marked `alone`."""
    turn = item.config.stash.get(turn_key, None)
    if turn is None:
        return (yield)
    fcntl.flock(turn, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
    try:
        return (yield)
    finally:
        fcntl.flock(turn, fcntl.LOCK_UN)
