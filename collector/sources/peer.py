"""Who is at the other end of a Unix socket: the kernel's word, and what can be read of the process."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import select
import socket
import struct
from collections.abc import Iterable
from functools import cache
from typing import Final

from collector.event import Producer

_UCRED: Final = struct.Struct("3i")
_CGROUP: Final = re.compile(r"^(?:0:|[0-9]+:name=systemd):(/.+)$", re.MULTILINE)
"""systemd's hierarchy: the only one of cgroup v2, or the one of that name beside those of v1. Where
both are there, systemd puts its units into one of them, and in the other everybody is at the top."""
_UNIT: Final = re.compile(r"[^/]+\.(?:service|scope|socket)")
_USER_MANAGER: Final = re.compile(r"user@[0-9]+\.service")
_SO_PEERPIDFD: Final = 77
"""`SO_PEERPIDFD` of Linux 6.5 (include/uapi/asm-generic/socket.h); Python has no name for it."""


def peer_of(connection: socket.socket) -> Producer:
    """The credentials that the kernel took when the peer connected, with its user, comm and units.

    The process may be gone already; then comm and units are None and the numbers still hold. What is
    read by its pid counts only if the process that connected is still there afterwards: a pid is used
    again. A kernel before 6.5 cannot tell.
    """
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(data)
    comm = _read(f"/proc/{pid}/comm")
    unit, user_unit = units_of(_read(f"/proc/{pid}/cgroup") or "", _root())
    if _has_ended(connection):
        comm = unit = user_unit = None
    return Producer(
        assurance="peercred",
        uid=uid,
        gid=gid,
        pid=pid or None,
        user=user_name(uid),
        comm=comm,
        unit=unit,
        user_unit=user_unit,
    )


def _has_ended(connection: socket.socket) -> bool:
    """Whether the process that connected has ended, as far as the kernel can tell."""
    try:
        process = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        return error.errno != errno.ENOPROTOOPT  # that is an older kernel; else it is gone for good
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        return bool(poll.poll(0))
    finally:
        os.close(process)


def user_name(uid: int) -> str | None:
    """The name of a user id, None where the system knows none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


@cache
def _root() -> str:
    """Where the system manager's own hierarchy begins: not at the top, in a container."""
    found = _CGROUP.search(_read("/proc/1/cgroup") or "")
    return found[1].removesuffix("/init.scope").rstrip("/") if found else ""


def units_of(cgroup: str, root: str = "") -> tuple[str | None, str | None]:
    """The system's unit and the user's unit of a process, from the text of `/proc/PID/cgroup`.

    `root` is the part of the path that stands above the system manager.

    The first unit behind the slices is the system manager's, and nobody but it could have put the
    process there. What is below it belongs to whoever it was handed to: where that is a user's own
    manager, the first unit below is the user's, and its name is the user's choice.
    """
    found = _CGROUP.search(cgroup)
    parts = found[1].removeprefix(root).strip("/").split("/") if found else []
    unit, below = _first_unit(parts)
    if unit is None or not _USER_MANAGER.fullmatch(unit):
        return unit, None
    return unit, _first_unit(below)[0]


def _first_unit(parts: list[str]) -> tuple[str | None, list[str]]:
    """What follows the slices at the beginning, where that is a unit, and what is below it."""
    for at, part in enumerate(parts):
        if not part.endswith(".slice"):
            return (part, parts[at + 1 :]) if _UNIT.fullmatch(part) else (None, [])
    return (parts[-1], []) if parts and parts[-1] else (None, [])


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
