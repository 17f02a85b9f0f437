"""The unit files under a real systemd, with the real daemon: from start to stop."""

import re
from collections.abc import Iterator

import pytest

from tests.requirements import need, need_root, need_tool
from tests.systemd.machine import COLLECTOR, REPOSITORY, Machine, booted

SOCKET = "/run/collector/collector.sock"
READMES_LINE = (
    "systemctl daemon-reload && systemctl enable --now collector.socket collector.service"
)
OFFLINE = "[sources.mdns]\nenabled = false\n[web]\nenabled = false\n"
"""A configuration for tests that are about neither the network nor the page."""


@pytest.fixture
def machine() -> Iterator[Machine]:
    need_root()
    for tool, package in (("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")):
        need_tool(tool, package)
    need_tool("systemctl", "systemd")
    need(_has_cgroup2(), "needs a kernel with cgroup2")
    with booted() as started:
        started.run("mv", "/etc/collector/config.toml", "/etc/collector/config.toml.installed")
        started.write("/etc/collector/config.toml", OFFLINE)
        yield started


def _has_cgroup2() -> bool:
    with open("/proc/filesystems") as systems:
        return "\tcgroup2\n" in systems.read()


def inode(machine: Machine, path: str) -> str:
    return machine.run("stat", "-c", "%i", path).stdout.strip()


def test_the_units_are_valid_where_they_are_installed(machine: Machine) -> None:
    units = [f"/etc/systemd/system/collector.{kind}" for kind in ("service", "socket")]
    result = machine.run("systemd-analyze", "verify", "--man=no", *units)
    assert result.stderr == ""


def test_the_service_becomes_ready_and_says_so(machine: Machine) -> None:
    machine.systemctl("start", "collector")
    assert machine.show("collector", "ActiveState") == "active"
    assert machine.show("collector", "SubState") == "running"
    assert machine.show("collector", "NRestarts") == "0"
    started = machine.entries("collector.started")
    assert [entry["metadata"]["previous"] for entry in started] == ["first"]


def test_the_line_of_the_readme_enables_and_starts_both(machine: Machine) -> None:
    machine.run("sh", "-ec", READMES_LINE)
    for unit in ("collector.socket", "collector.service"):
        assert machine.show(unit, "ActiveState") == "active"
        assert machine.show(unit, "UnitFileState") == "enabled"
    machine.collector("emit", "lamp.switched")
    readme = (REPOSITORY / "README.md").read_text()
    assert f"\n{READMES_LINE}\n" in readme


def test_the_configuration_that_the_readme_installs_is_valid(machine: Machine) -> None:
    machine.run("cp", "/etc/collector/config.toml.installed", "/etc/collector/config.toml")
    machine.collector("check")


def test_files_are_for_the_service_and_its_group_alone(machine: Machine) -> None:
    machine.systemctl("start", "collector")
    modes = {
        "/var/lib/collector": "750 collector collector",
        "/var/lib/collector/events.db": "640 collector collector",
        SOCKET: "660 collector collector",
        "/run/collector": "755 collector collector",
    }
    for path, expected in modes.items():
        assert machine.run("stat", "-c", "%a %U %G", path).stdout.strip() == expected, path


def test_an_entry_tells_the_peers_user_command_and_unit(machine: Machine) -> None:
    """The hardening leaves the daemon's sight of its peers alone."""
    machine.systemctl("start", "collector")
    machine.write(
        "/opt/units/backup.service",
        "[Service]\nType=oneshot\nUser=daemon\nSupplementaryGroups=collector\n"
        f"ExecStart={COLLECTOR} emit backup.completed --object backup:nightly\n",
    )
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "backup")
    (entry,) = machine.entries("backup.completed")
    producer = entry["producer"]
    assert producer["assurance"] == "peercred"
    assert (producer["uid"], producer["user"]) == (1, "daemon")
    assert producer["unit"] == "backup.service"
    assert producer["comm"] == "collector"


def test_members_of_the_group_may_record_and_read_and_others_may_not(machine: Machine) -> None:
    machine.systemctl("start", "collector")
    group = machine.run("id", "-g", "collector").stdout.strip()
    member = ["setpriv", "--reuid=1", "--regid=1", f"--groups={group}", COLLECTOR]
    stranger = ["setpriv", "--reuid=1", "--regid=1", "--clear-groups", COLLECTOR]
    machine.run(*member, "emit", "door.opened")
    assert "door.opened" in machine.run(*member, "query", "-a", "door.opened").stdout
    assert machine.run(*stranger, "emit", "door.closed", check=False).returncode != 0
    assert machine.run(*stranger, "query", check=False).returncode != 0


def test_the_watchdog_is_fed_and_a_daemon_that_hangs_is_started_again(machine: Machine) -> None:
    machine.drop_in("watchdog", "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=100ms\nRestartSec=0\n")
    machine.systemctl("start", "collector")
    first = int(machine.show("collector", "WatchdogTimestampMonotonic"))
    machine.wait_for(
        "two periods of the watchdog",
        lambda: int(machine.show("collector", "WatchdogTimestampMonotonic")) > first + 4_000_000,
    )
    assert machine.show("collector", "NRestarts") == "0"
    machine.run("kill", "-STOP", machine.show("collector", "MainPID"))
    machine.wait_for("a restart", lambda: machine.show("collector", "NRestarts") == "1")
    machine.wait_for("ready again", lambda: machine.show("collector", "SubState") == "running")
    previous = [entry["metadata"]["previous"] for entry in machine.entries("collector.started")]
    assert previous == ["first", "unclean"]


def test_a_reload_applies_the_new_configuration(machine: Machine) -> None:
    machine.systemctl("start", "collector")
    pid = machine.show("collector", "MainPID")
    machine.write("/etc/collector/config.toml", OFFLINE + "[retention]\nmax_days = 5\n")
    machine.systemctl("reload", "collector")
    machine.wait_for("the reload's entry", lambda: machine.entries("config.reloaded"))
    assert machine.show("collector", "MainPID") == pid
    assert machine.show("collector", "ActiveState") == "active"


def test_a_reload_of_a_wrong_configuration_changes_nothing(machine: Machine) -> None:
    machine.systemctl("start", "collector")
    pid = machine.show("collector", "MainPID")
    machine.write("/etc/collector/config.toml", OFFLINE + "[retention]\nmax_day = 5\n")
    machine.systemctl("reload", "collector", check=False)
    (entry,) = machine.wait_for("the entry", lambda: machine.entries("config.rejected"))
    assert "retention.max_day" in str(entry["metadata"])
    assert machine.show("collector", "MainPID") == pid
    machine.wait_for("running", lambda: machine.show("collector", "SubState") == "running")
    machine.collector("emit", "still.recording")


def test_a_wrong_configuration_is_told_before_anything_starts(machine: Machine) -> None:
    machine.write("/etc/collector/config.toml", "[retention]\nmax_day = 5\n")
    assert machine.systemctl("start", "collector", check=False).returncode != 0
    assert 'did you mean "retention.max_days"?' in machine.output()
    assert machine.run("ls", "/var/lib/collector").stdout == ""


def test_a_stop_is_clean_and_the_journal_stays_readable(machine: Machine) -> None:
    machine.systemctl("start", "collector")
    machine.collector("emit", "lamp.switched")
    machine.systemctl("stop", "collector")
    assert machine.show("collector", "Result") == "success"
    assert machine.show("collector", "ExecMainStatus") == "0"
    actions = [machine.entries(action) for action in ("lamp.switched", "collector.stopping")]
    assert [len(entries) for entries in actions] == [1, 1]
    group = machine.run("id", "-g", "collector").stdout.strip()
    reader = ["setpriv", "--reuid=1", "--regid=1", f"--groups={group}", COLLECTOR, "query"]
    assert "lamp" in machine.run(*reader, "-a", "lamp.switched").stdout
    machine.systemctl("start", "collector")
    assert machine.entries("collector.started")[-1]["metadata"]["previous"] == "clean"


def test_a_killed_daemon_is_started_again(machine: Machine) -> None:
    machine.drop_in("restart", "[Service]\nRestartSec=0\n")
    machine.systemctl("start", "collector")
    machine.collector("emit", "kept.despite")
    machine.run("kill", "-KILL", machine.show("collector", "MainPID"))
    machine.wait_for("a restart", lambda: machine.show("collector", "NRestarts") == "1")
    machine.wait_for("ready again", lambda: machine.show("collector", "SubState") == "running")
    assert len(machine.entries("kept.despite")) == 1


def test_a_connection_to_the_socket_unit_starts_the_daemon(machine: Machine) -> None:
    machine.systemctl("start", "collector.socket")
    assert machine.show("collector", "ActiveState") == "inactive"
    before = inode(machine, SOCKET)
    machine.collector("emit", "first.contact")
    assert machine.show("collector", "ActiveState") == "active"
    assert inode(machine, SOCKET) == before
    assert len(machine.entries("first.contact")) == 1


def test_the_socket_unit_outlives_the_daemon_and_keeps_what_is_sent(machine: Machine) -> None:
    machine.systemctl("start", "collector.socket", "collector.service")
    before = inode(machine, SOCKET)
    machine.collector("emit", "before.stop")
    machine.systemctl("stop", "collector.service", check=False)
    assert inode(machine, SOCKET) == before
    machine.collector("emit", "after.stop")
    assert machine.show("collector", "ActiveState") == "active"
    assert [len(machine.entries(a)) for a in ("before.stop", "after.stop")] == [1, 1]
    machine.systemctl("stop", "collector.socket", "collector.service")
    assert machine.run("test", "-e", SOCKET, check=False).returncode == 1


ANNOUNCE = """
import socket, time
from zeroconf import ServiceInfo, Zeroconf
lamp = ServiceInfo("_http._tcp.local.", "Lamp._http._tcp.local.", port=8080,
                   addresses=[socket.inet_aton("10.99.0.1")], server="lamp.local.")
zeroconf = Zeroconf(interfaces=["10.99.0.1"])
zeroconf.register_service(lamp)
time.sleep(300)
"""


def test_discovery_works_within_the_hardening(machine: Machine) -> None:
    """An interface of the machine's own, a real responder on it, the real service hears it."""
    machine.run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    machine.run("ip", "address", "add", "10.99.0.1/24", "dev", "lan0")
    for end in ("lan0", "lan1"):
        machine.run("ip", "link", "set", end, "up")
    machine.run("ip", "route", "add", "224.0.0.0/4", "dev", "lan0")
    on_it = OFFLINE.replace("enabled = false", 'interfaces = ["lan0"]', 1)
    machine.write("/etc/collector/config.toml", on_it)
    machine.systemctl("start", "collector")
    machine.write("/opt/announce.py", ANNOUNCE)
    machine.write(
        "/opt/units/lamp.service",
        "[Service]\nExecStart=/opt/collector/bin/python /opt/announce.py\n"
        "StandardError=append:/run/output\n",
    )
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "lamp")
    found = machine.wait_for("the lamp", lambda: machine.entries("device.discovered"))
    assert any(re.search("lamp", str(entry), re.IGNORECASE) for entry in found)


def test_the_clocks_state_can_be_asked_within_the_hardening(machine: Machine) -> None:
    """Pruning by age waits for a clock that is kept right; adjtimex(2) answers -1 where refused."""
    machine.drop_in(
        "ask",
        "[Service]\nType=oneshot\nExecStartPre=\nExecStart=\nRestart=no\n"
        "ExecStart=/opt/collector/bin/python -c 'import ctypes as c; "
        'print("state", c.CDLL(None).adjtimex(c.create_string_buffer(512)))\'\n',
    )
    machine.systemctl("start", "collector")
    assert re.search(r"^state [0-5]$", machine.output(), re.MULTILINE)


def test_the_socket_can_belong_to_another_group_of_the_daemons(machine: Machine) -> None:
    machine.drop_in("group", "[Service]\nSupplementaryGroups=audio\n")
    machine.write("/etc/collector/config.toml", OFFLINE + '[sources.unix]\ngroup = "audio"\n')
    machine.systemctl("start", "collector")
    assert machine.run("stat", "-c", "%a %U %G", SOCKET).stdout.strip() == "660 collector audio"


USER = "collector-test-user"
"""An ordinary user with a home; the accounts are a copy of this machine's, which has none such."""


@pytest.mark.parametrize(("user", "home"), [(USER, f"/home/{USER}"), ("root", "/root")])
def test_without_any_configuration_or_environment_it_just_works(
    machine: Machine, user: str, home: str
) -> None:
    """No file, no XDG variable, not even HOME: as on a machine where it was just unpacked."""
    machine.run("rm", "-r", "/etc/collector")
    machine.run("useradd", "--create-home", USER)
    machine.write(
        "/opt/units/plain.service",
        f"[Service]\nUser={user}\nExecStart=/usr/bin/env -i {COLLECTOR} run\n"
        "StandardError=append:/run/output\n",
    )
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "plain")
    alone = [
        "setpriv",
        f"--reuid={user}",
        f"--regid={user}",
        "--init-groups",
        "env",
        "-i",
        COLLECTOR,
    ]
    machine.wait_for(
        "an answer", lambda: machine.run(*alone, "status", check=False).returncode == 0
    )
    assert machine.run(*alone, "emit", "lamp.switched").stdout.strip().isdecimal()
    assert "lamp" in machine.run(*alone, "query", "-a", "lamp.switched").stdout
    listed = machine.run("ls", f"{home}/.local/state/collector").stdout.split()
    assert {"events.db", "collector.sock"} <= set(listed)
