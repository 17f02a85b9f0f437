"""Who is at the other end of a Unix socket: the kernel's word, and what can be read of the process."""

from __future__ import annotations

import grp
import os
import pwd
import re
import socket
import struct
from collections.abc import Iterable
from typing import Final

from collector.event import Producer

_UCRED: Final = struct.Struct("3i")
_UNIT: Final = re.compile(r"([^/]+\.(?:service|scope|socket|slice))(?=/|$)", re.MULTILINE)


def peer_of(connection: socket.socket) -> Producer:
    """The credentials that the kernel took when the peer connected, with its user, comm and unit.

    The process may be gone already; then comm and unit are None and the numbers still hold.
    """
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(data)
    return Producer(
        assurance="peercred",
        uid=uid,
        gid=gid,
        pid=pid or None,
        user=user_name(uid),
        comm=_read(f"/proc/{pid}/comm"),
        unit=unit_of(_read(f"/proc/{pid}/cgroup") or ""),
    )


def user_name(uid: int) -> str | None:
    """The name of a user id, None where the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def unit_of(cgroup: str) -> str | None:
    """The innermost systemd unit named in the text of `/proc/PID/cgroup`, None where there is none."""
    units: list[str] = _UNIT.findall(cgroup)
    services = [unit for unit in units if not unit.endswith(".slice")]
    found = services or units
    return found[-1] if found else None


def is_admin(producer: Producer, groups: Iterable[str]) -> bool:
    """Whether a peer may change things: root, the daemon's own user, a member of `groups`."""
    if producer.uid in (0, os.geteuid()):
        return True
    for name in groups:
        try:
            group = grp.getgrnam(name)
        except KeyError:
            continue
        if producer.gid == group.gr_gid or producer.user in group.gr_mem:
            return True
    return False


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(4096).rstrip("\n") or None
    except OSError:
        return None
