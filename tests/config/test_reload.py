"""SIGHUP and `collector reload` on the real daemon: all or nothing, and recorded either way."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.errors import EXIT_CONFIG

DEADLINE = 30.0
BASE = "[sources.mdns]\nenabled = false\n[web]\nenabled = false\n"


class Daemon:
    """`collector run` with a configuration file of its own, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "c.toml"
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(directory)}
        state = directory / ".local/state/collector"
        # The verbs must find the daemon whatever has become of its configuration.
        self.environ["COLLECTOR_SOCKET"] = str(state / "collector.sock")
        self.environ["COLLECTOR_DB"] = str(state / "events.db")
        self.write("")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "collector", "run", "--config", str(self.file)],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.wait(lambda: self.call("status", check=False).returncode == 0)

    def write(self, more: str) -> None:
        """The configuration: nothing that leaves the machine, and `more`."""
        self.file.write_text(BASE + more)

    def call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, "-m", "collector", *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert not check or result.returncode == 0, result
        return result

    def entries(self, action: str) -> list[dict[str, Any]]:
        lines = self.call("query", "-a", action, "-r", "-o", "json").stdout.splitlines()
        return [json.loads(line) for line in lines]

    def wait(self, found: Callable[[], Any]) -> Any:
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            value = found()
            if value:
                return value
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.02)
        raise AssertionError("waited in vain")

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    # pytest's own directories may be longer than a socket's path may be.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, contextlib.ExitStack() as stack:
        running = Daemon(Path(directory))
        assert running.process.stderr is not None
        stack.callback(running.process.stderr.close)
        stack.callback(running.process.wait, DEADLINE)
        stack.callback(running.process.terminate)
        yield running


def test_sighup_puts_a_new_configuration_in_force(daemon: Daemon) -> None:
    daemon.call("emit", "lamp.switched", "--category", "sensor", check=False)
    assert daemon.entries("lamp.switched") == []
    daemon.file.write_text("categories = ['sensor']\n" + BASE)
    daemon.hang_up()
    (entry,) = daemon.wait(lambda: daemon.entries("config.reloaded"))
    assert entry["metadata"]["changed"] == ["categories"]
    daemon.call("emit", "lamp.switched", "--category", "sensor")
    assert len(daemon.entries("lamp.switched")) == 1


def test_new_redaction_rules_hold_from_the_next_event_on(daemon: Daemon) -> None:
    daemon.call("emit", "a.done", "-d", "wifi_psk=canary")
    daemon.write("[redaction]\nkeys = ['psk']\n")
    daemon.call("reload")
    daemon.call("emit", "b.done", "-d", "wifi_psk=canary")
    assert daemon.entries("a.done")[0]["metadata"] == {"wifi_psk": "canary"}
    assert daemon.entries("b.done")[0]["metadata"]["wifi_psk"].startswith("[redacted:")


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ("categories2 = []\n[log]\nlevel = 'debug'\n", "web.categories2"),
        ("[log]\nlevel = 'loud'\n", "log.level"),
        ("[retention]\nmax_days = 99999\n", "retention.max_days"),
        ("[storage]\npath = '/elsewhere.db'\n", "storage.path"),
        ("[sources.unix]\nmode = '0666'\n", "sources.unix.mode"),
        ("[broken\n", ""),
    ],
)
def test_a_wrong_configuration_is_rejected_and_nothing_changes(
    daemon: Daemon, more: str, path: str
) -> None:
    before = json.loads(daemon.call("status", "-o", "json").stdout)
    daemon.write(more)
    refused = daemon.call("reload", check=False)
    assert refused.returncode == EXIT_CONFIG
    assert path in refused.stderr
    daemon.hang_up()
    entries = daemon.wait(lambda: len(found := daemon.entries("config.rejected")) == 2 and found)
    assert [entry["outcome"] for entry in entries] == ["failure", "failure"]
    assert [entry["metadata"]["path"] for entry in entries] == [path, path]
    assert daemon.entries("config.reloaded") == []
    daemon.call("emit", "still.recording")
    after = json.loads(daemon.call("status", "-o", "json").stdout)
    assert after["retention"] == before["retention"]


def test_every_mistake_is_told_to_who_asks_and_the_first_with_their_number_in_the_log(
    daemon: Daemon,
) -> None:
    daemon.write("[retention]\nmax_dayz = 3\nmax_entries = -1\n[log]\nlevel = 'loud'\n")
    refused = daemon.call("reload", check=False)
    assert refused.returncode == EXIT_CONFIG
    for key in ("retention.max_dayz", "retention.max_entries", "log.level"):
        assert key in refused.stderr
    (entry,) = daemon.entries("config.rejected")
    assert entry["metadata"]["path"] == "retention.max_dayz"
    assert entry["metadata"]["mistakes"] == 3
    shown = daemon.call("query", "-a", "config.rejected").stdout
    assert 'retention.max_dayz: unknown key; did you mean "retention.max_days"' in shown
    assert "(and 2 more)" in shown


def test_a_reload_that_would_open_the_page_to_strangers_is_rejected_as_a_start_is(
    daemon: Daemon,
) -> None:
    # An address for documentation: nobody could listen there even if it were tried.
    daemon.file.write_text(
        BASE.replace("[web]\nenabled = false", "[web]\nhost = '192.0.2.1'\nport = 0")
    )
    refused = daemon.call("reload", check=False)
    assert refused.returncode == EXIT_CONFIG
    assert "collector keys add" in refused.stderr
    (entry,) = daemon.entries("config.rejected")
    assert entry["metadata"]["path"] == "web.host"


def test_a_file_that_is_gone_is_rejected_and_nothing_changes(daemon: Daemon) -> None:
    daemon.file.unlink()
    daemon.hang_up()
    (entry,) = daemon.wait(lambda: daemon.entries("config.rejected"))
    assert "no such file" in entry["metadata"]["reason"]
    daemon.call("emit", "still.recording")


def test_who_asked_for_a_reload_is_recorded(daemon: Daemon) -> None:
    daemon.call("reload")
    (entry,) = daemon.entries("config.reloaded")
    assert entry["actor"]["id"] == str(os.geteuid())
    assert entry["producer"]["assurance"] == "peercred"
