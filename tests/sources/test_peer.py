"""Who peers are: the kernel's word about a real socket, and what `/proc` says of the process."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.event import Producer
from collector.sources import peer
from collector.sources.peer import is_admin, peer_of, units_of, user_name
from tests.requirements import need, need_root

SSHD = "0::/system.slice/ssh.service\n"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        made.listen()
        yield made


def connected(
    listener: socket.socket, script: str = ""
) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """A process that has connected, after `script`; it ends when its stdin does."""
    code = (
        f"import os, socket, sys\n{script}\ns = socket.socket(socket.AF_UNIX)\n"
        f"s.connect({listener.getsockname()!r})\nsys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    return listener.accept()[0], process


def test_a_peer_is_the_process_at_the_other_end(listener: socket.socket) -> None:
    connection, process = connected(listener)
    with connection:
        peer = peer_of(connection)
        process.communicate()
    assert peer.assurance == "peercred"
    assert (peer.uid, peer.gid, peer.pid) == (os.geteuid(), os.getegid(), process.pid)
    assert peer.user == pwd.getpwuid(os.geteuid()).pw_name
    assert peer.comm == Path(sys.executable).name[:15]


def test_a_peer_that_is_gone_keeps_its_numbers(listener: socket.socket) -> None:
    connection, process = connected(listener)
    process.communicate()
    with connection:
        peer = peer_of(connection)
    assert (peer.uid, peer.pid) == (os.geteuid(), process.pid)
    assert (peer.comm, peer.unit) == (None, None)


def test_a_peer_is_who_connected_and_not_who_it_became(
    listener: socket.socket, tmp_path: Path
) -> None:
    need_root()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.as_posix().startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    (tmp_path / "s").chmod(0o666)
    connection, process = connected(listener, "os.setgroups([]); os.setgid(4242); os.setuid(4242)")
    with connection:
        peer = peer_of(connection)
        process.communicate()
    assert (peer.uid, peer.gid) == (4242, 4242)
    assert peer.user is None  # the system knows no such user, and that is no error


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/backup.service\n", "backup.service"),
        ("0::/system.slice/runner.service/sshd.service\n", "runner.service"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
        ("0::/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("0::/system.slice/backup.service/worker\n", "backup.service"),
        ("12:pids:/system.slice/cron.service\n0::/system.slice/cron.service\n", "cron.service"),
        ("9:name=systemd:/\n8:pids:/\n0::/system.slice/cron.service\n", "cron.service"),
        ("9:name=systemd:/system.slice/cron.service\n0::/\n", "cron.service"),
        ("0::/user.slice\n", "user.slice"),
        ("0::/\n", None),
        ("0::/docker/0123456789abcdef\n", None),
        ("", None),
    ],
)
def test_a_unit_is_the_first_behind_the_slices(cgroup: str, unit: str | None) -> None:
    assert units_of(cgroup) == (unit, None)


def test_in_a_container_units_begin_below_its_manager() -> None:
    cgroup = "0::/machine.slice/box.scope/system.slice/backup.service\n"
    assert units_of(cgroup) == ("box.scope", None)
    assert units_of(cgroup, "/machine.slice/box.scope") == ("backup.service", None)


@pytest.mark.parametrize(
    ("below", "user_unit"),
    [
        ("app.slice/sshd.service", "sshd.service"),
        ("app.slice/app-org.gnome.slice/run-u1.scope", "run-u1.scope"),
        ("session.slice/pipewire.service/worker", "pipewire.service"),
        ("init.scope", "init.scope"),
        ("", None),
        ("system.slice/sshd.service", "sshd.service"),
    ],
)
def test_a_users_own_unit_never_reads_as_the_systems(below: str, user_unit: str | None) -> None:
    manager = "user.slice/user-1000.slice/user@1000.service"
    assert units_of(f"0::/{manager}/{below}\n") == ("user@1000.service", user_unit)


def test_what_a_reused_pid_says_is_not_ascribed_to_who_connected(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ends, and its pid, as read from /proc, is by then somebody else's."""
    release = tuple(map(int, os.uname().release.split(".")[:2]))
    need(
        release >= (6, 5),
        "needs Linux 6.5, which tells whether the process that connected has ended",
    )
    connection, process = connected(listener)
    process.communicate()
    monkeypatch.setattr(peer, "_read", lambda path: "sshd" if "comm" in path else SSHD)
    with connection:
        found = peer_of(connection)
    assert (found.pid, found.comm, found.unit) == (process.pid, None, None)


def test_a_user_without_a_name_is_no_error() -> None:
    assert user_name(0) == "root"
    assert user_name(4_000_000_000) is None


def someone(**fields: object) -> Producer:
    return Producer("peercred", **{"uid": 4242, "gid": 4242, **fields})  # type: ignore[arg-type]


def test_root_and_the_daemons_own_user_are_admins_and_others_are_not() -> None:
    assert is_admin(someone(uid=0), ())
    assert is_admin(someone(uid=os.geteuid()), ())
    assert not is_admin(someone(), ())
    assert not is_admin(someone(user="root"), ())  # a name is not what the kernel attests


def test_members_of_an_admin_group_are_admins_by_either_way_of_membership() -> None:
    with_members = next((group for group in grp.getgrall() if group.gr_mem), None)
    if with_members is not None:
        member = someone(user=with_members.gr_mem[0])
        assert is_admin(member, [with_members.gr_name])
        assert not is_admin(member, [])
    primary = grp.getgrgid(os.getegid())
    assert is_admin(someone(gid=primary.gr_gid), ["no-such-group", primary.gr_name])
    assert not is_admin(someone(), ["no-such-group", primary.gr_name])
