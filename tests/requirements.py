"""What a test needs of the machine: absent it skips with a reason, and in CI it fails instead."""

from __future__ import annotations

import os
import shutil

import pytest

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
"""How a browser is started that talks to nobody but us."""
REQUIRE_ALL = os.environ.get("COLLECTOR_REQUIRE_ALL") == "1"


def need(condition: bool, reason: str) -> None:
    """Skip the running test with `reason` unless `condition`; fail where everything is required."""
    if condition:
        return
    if REQUIRE_ALL:
        pytest.fail(f"required here (COLLECTOR_REQUIRE_ALL=1): {reason}")
    pytest.skip(reason)


def need_tool(name: str, package: str | None = None) -> str:
    """The path of program `name`; skips, naming the Debian package to install, where it is missing."""
    path = shutil.which(name)
    need(path is not None, f"needs the program {name} (apt-get install {package or name})")
    assert path is not None
    return path


def need_root() -> None:
    """Skip unless the test runs as root."""
    need(os.geteuid() == 0, "needs root")
