"""A machine of our own to boot: real systemd as PID 1 of new namespaces, with collector installed.

Nothing of it reaches the machine that runs the tests: mounts, processes, network and control groups
are the namespaces' own. Its `/etc` is a copy in memory; `/home`, `/opt`, `/root`, `/run`, `/tmp`
and `/var/lib` are new and in memory too. Of Debian's units none is there; see `boot.sh`.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

REPOSITORY = Path(__file__).resolve().parents[2]
COLLECTOR = "/opt/collector/bin/collector"
DEADLINE = 60.0
"""Seconds that anything here may take on a slow, busy machine."""

Value = TypeVar("Value")


class Machine:
    """A booted machine; `pid` is its PID 1 as this one sees it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def run(
        self, *command: str, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root, without a terminal."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-i", "-u", "-C", "--wd=/"]
        result = subprocess.run(
            [*enter, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *command],
            input=text or "",
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        if check and result.returncode:
            raise AssertionError(f"{command}: {result.returncode}\n{self._told(result)}")
        return result

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`systemctl`, without a pager."""
        return self.run("systemctl", "--no-pager", *arguments, check=check)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", unit, "--value", "--property", name).stdout.strip()

    def write(self, path: str, text: str) -> None:
        """Write a file in it, with the directories it needs."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$0")" && cat >"$0"', path, text=text)

    def drop_in(self, name: str, text: str, unit: str = "collector.service") -> None:
        """Add to a unit, as `systemctl edit` does."""
        self.write(f"/etc/systemd/system/{unit}.d/{name}.conf", text)
        self.systemctl("daemon-reload")

    def collector(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The installed command line, as root."""
        return self.run(COLLECTOR, *arguments, check=check)

    def entries(self, action: str) -> list[dict[str, Any]]:
        """What the journal holds of `action`, oldest first."""
        result = self.collector(
            "query", "-a", action, "-r", "-n", "1000", "-o", "json", check=False
        )
        return [json.loads(line) for line in result.stdout.splitlines()]

    def wait_for(self, what: str, found: Callable[[], Value]) -> Value:
        """Ask until the answer is true, and give it; fails at the deadline with what is known."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            value = found()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"waited in vain for {what}\n{self._state()}")

    def output(self) -> str:
        """What the service has written to standard output and error."""
        return self.run("cat", "/run/output", check=False).stdout

    def _state(self) -> str:
        return self.systemctl("status", "collector*", check=False).stdout + self.output()

    def _told(self, result: subprocess.CompletedProcess[str]) -> str:
        return f"{result.stdout}{result.stderr}\n{self._state()}"


@contextmanager
def booted() -> Iterator[Machine]:
    """Boot a machine, and take it away afterwards."""
    group = f"collector-tests-{secrets.token_hex(6)}"
    with tempfile.TemporaryDirectory() as stage, tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            ["unshare", "--pid", "--mount", "--net", "--uts", "--ipc", "--fork", "--kill-child",
             "bash", str(Path(__file__).with_name("boot.sh")), stage, str(REPOSITORY),
             sys.base_prefix, sysconfig.get_path("purelib"),
             f"python{sys.version_info.major}.{sys.version_info.minor}", group],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            machine = _up(process)
            if machine is None:
                log.seek(0)
                raise AssertionError(f"the machine did not boot\n{log.read().decode()}")
            yield machine
        finally:
            # The end of PID 1 is the end of the namespaces and everything in them.
            process.kill()
            process.wait(DEADLINE)
            _remove_group(group)


def _up(process: subprocess.Popen[bytes]) -> Machine | None:
    """The machine once its first target is reached; None where that does not happen."""
    end = time.monotonic() + DEADLINE
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while time.monotonic() < end and process.poll() is None:
        pids = children.read_text().split()
        if pids and _name(pids[0]) == "systemd":
            machine = Machine(int(pids[0]))
            if machine.systemctl("is-active", "multi-user.target", check=False).returncode == 0:
                return machine
        time.sleep(0.05)
    return None


def _name(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe").rpartition("/")[2]
    except OSError:
        return ""


def _remove_group(group: str) -> None:
    """Take the machine's control groups away; the kernel keeps empty ones for ever."""
    script = (
        'mount -t cgroup2 none /mnt && cd /mnt && [ -d "$0" ] || exit 0; '
        'for _ in 1 2 3 4 5 6 7 8 9; do find "$0" -depth -type d -exec rmdir {} + && exit; '
        "sleep 0.1; done 2>/dev/null"
    )
    subprocess.run(["unshare", "--mount", "sh", "-c", script, group], timeout=DEADLINE, check=False)
