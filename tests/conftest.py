"""Fixtures that every room's tests share."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The daemon is asyncio's; only the client library is also tried on trio."""
    return "asyncio"
