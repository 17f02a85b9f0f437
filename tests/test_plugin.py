"""A source from another package is found by its entry point, run by the daemon, and its events kept.

The plugin under `tests/plugin` is installed for real, by pip, into a directory of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parent / "plugin"
DEADLINE = 30.0


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that the plugin was installed to."""
    target = tmp_path_factory.mktemp("site")
    copy = tmp_path_factory.mktemp("source") / "plugin"
    subprocess.run(["cp", "-r", str(PLUGIN), str(copy)], check=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run([*command, "--no-index", "--target", str(target), str(copy)], check=True)
    return target


@pytest.fixture
def daemon(installed: Path, tmp_path: Path) -> Iterator[Path]:
    """A running daemon with the plugin beside it; gives the directory that holds everything."""
    (tmp_path / "load").write_text("0.10 0.1 0.1 1/100 1\n")
    (tmp_path / "config.toml").write_text(
        f"""
        [storage]
        path = "{tmp_path}/events.db"
        [sources.unix]
        path = "{tmp_path}/s"
        [sources.mdns]
        enabled = false
        [sources.queue.options.loadavg]
        limit = 2
        every = 0.05
        file = "{tmp_path}/load"
        [health]
        enabled = false
        [web]
        enabled = false
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "collector", "run", "--config", str(tmp_path / "config.toml")],
        env={**os.environ, "PYTHONPATH": str(installed)},
        stderr=subprocess.DEVNULL,
    )
    yield tmp_path
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 0


def entries(directory: Path) -> list[dict[str, object]]:
    """What the journal holds of the plugin's events, oldest first."""
    done = subprocess.run(
        [sys.executable, "-m", "collector", "query", "-r", "--source", "queue", "-o", "json"]
        + ["--db", str(directory / "events.db")],
        capture_output=True,
        text=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def wait_for(directory: Path, count: int) -> list[dict[str, object]]:
    """Entries, as soon as there are `count` of them."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        found = entries(directory) if (directory / "events.db").exists() else []
        if len(found) >= count:
            return found
    raise AssertionError(f"fewer than {count} entries of the plugin within {DEADLINE:g} s")


def set_load(directory: Path, load: str) -> None:
    """As the kernel does: whoever reads sees the old text or the new one, and never an empty file."""
    (directory / "new").write_text(f"{load} 1.0 0.1 1/100 1\n")
    (directory / "new").replace(directory / "load")


def test_plugin_is_loaded_with_its_options_and_its_events_are_recorded_as_its_own(
    daemon: Path,
) -> None:
    deadline = time.monotonic() + DEADLINE
    while not (daemon / "s").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    set_load(daemon, "3.50")
    (risen,) = wait_for(daemon, 1)
    assert risen["action"] == "load.risen"
    assert risen["severity"] == "warning"
    assert risen["source"] == "queue"
    assert risen["metadata"] == {"load": 3.5, "limit": 2.0}
    assert risen["producer"] == {"assurance": "internal", "plugin": "loadavg"}
    assert risen["actor"] == {"type": "service", "id": "loadavg"}
    set_load(daemon, "0.50")
    assert [entry["action"] for entry in wait_for(daemon, 2)] == ["load.risen", "load.fallen"]
