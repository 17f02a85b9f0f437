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


@pytest.fixture
def anyio_backend() -> str:
    """The daemon is asyncio's; only the client library is also tried on trio."""
    return "asyncio"
