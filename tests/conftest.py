"""Fixtures that every room's tests share."""

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong: only the whole run has a time limit.
settings.register_profile("collector", deadline=None, print_blob=True)
settings.load_profile("collector")


@pytest.fixture
def anyio_backend() -> str:
    """The daemon is asyncio's; only the client library is also tried on trio."""
    return "asyncio"
