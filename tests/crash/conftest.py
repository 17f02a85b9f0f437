"""A daemon for each test that asks for one, as the daemon's own tests have it."""

from tests.daemon.conftest import daemon, make

__all__ = ["daemon", "make"]
