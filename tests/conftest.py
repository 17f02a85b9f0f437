"""Fixtures that every room's tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import InMemoryExampleDatabase

# A busy machine is slow, not wrong: only the whole run has a time limit.
settings.register_profile("collector", deadline=None, print_blob=True)
# Failing examples are kept in the checkout, unless it is somebody else's.
settings.register_profile(
    "elsewhere", parent=settings.get_profile("collector"), database=InMemoryExampleDatabase()
)
writable = os.access(Path(__file__).parent.parent, os.W_OK)
settings.load_profile("collector" if writable else "elsewhere")


ONE_AT_A_TIME = ("sources", "systemd")
"""Rooms whose tests share something of the machine, such as mDNS on loopback."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes share the work, a file at a time; what shares the machine stays in one of them."""
    for item in items:
        room = item.path.parent.name
        group = "machine" if room in ONE_AT_A_TIME else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def anyio_backend() -> str:
    """The daemon is asyncio's; only the client library is also tried on trio."""
    return "asyncio"
