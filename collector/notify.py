"""The service manager's side of a daemon's life: readiness, watchdog and sockets handed in.

The protocol is a datagram of `KEY=value` lines to the socket in `$NOTIFY_SOCKET`, and file
descriptors from 3 on: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). Outside systemd
everything here does nothing. Nothing is ever raised because of the service manager.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from typing import Final

LISTEN_FDS_START: Final = 3
"""SD_LISTEN_FDS_START of sd-daemon.h."""


class Notifier:
    """Sends states to the service manager that `environ` names; without one, does nothing.

    The socket is opened once and kept, so that a watchdog's sign of life costs one system call and
    still works when descriptors have run out.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # A service manager that does not read must not stop the event loop.
            self._socket.setblocking(False)

    @property
    def active(self) -> bool:
        """Whether a service manager listens."""
        return self._socket is not None

    def send(self, **states: str | int) -> bool:
        """Send states as they are named in sd_notify(3), lower case; True if they were taken.

        A newline in a value would begin another state, so it becomes a space.
        """
        if self._socket is None or self._address is None:
            return False
        lines = (f"{key.upper()}={_one_line(value)}" for key, value in states.items())
        try:
            self._socket.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except OSError:
            return False
        return True

    def ready(self, status: str = "") -> bool:
        """Start-up, or a reload, is finished."""
        return self.send(ready=1, **_status(status))

    def status(self, text: str) -> bool:
        """One line for people, shown by `systemctl status`."""
        return self.send(status=text)

    def reloading(self) -> bool:
        """A reload begins; `ready` ends it. systemd wants to know when, to tell two apart."""
        return self.send(reloading=1, monotonic_usec=time.monotonic_ns() // 1000)

    def stopping(self, status: str = "") -> bool:
        """The daemon has begun to end."""
        return self.send(stopping=1, **_status(status))

    def watchdog(self) -> bool:
        """A sign of life; owed within every `watchdog_interval`."""
        return self.send(watchdog=1)

    def watchdog_trigger(self) -> bool:
        """Ask to be dealt with as if the watchdog had run out."""
        return self.send(watchdog="trigger")

    def extend_timeout(self, seconds: float) -> bool:
        """Ask for `seconds` more before start or stop counts as hung, as for a long recovery."""
        return self.send(extend_timeout_usec=int(seconds * 1_000_000))

    def error(self, number: int, status: str = "") -> bool:
        """Why the daemon is about to fail: an errno, and one line for people."""
        return self.send(errno=number, **_status(status))

    def bus_error(self, name: str, status: str = "") -> bool:
        """Why the daemon is about to fail, as a D-Bus style error name."""
        return self.send(buserror=name, **_status(status))

    def close(self) -> None:
        """Give the descriptor back; later states go nowhere."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def watchdog_interval(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float:
    """Seconds within which a sign of life is owed; 0.0 where no watchdog waits for this process.

    Send at half of it. `$WATCHDOG_PID` names the process that is meant; a child that inherits the
    variables is not.
    """
    owner = environ.get("WATCHDOG_PID", "")
    if owner and owner != str(os.getpid() if pid is None else pid):
        return 0.0
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1_000_000 if microseconds.isdecimal() else 0.0


def listen_sockets(
    environ: MutableMapping[str, str] = os.environ, pid: int | None = None
) -> list[tuple[str, socket.socket]]:
    """The sockets that the service manager opened for this process, each with its name.

    Names come from `FileDescriptorName=`; one that is missing is `unknown`, as systemd has it. The
    variables are taken out of `environ`, so that no child believes they are meant for it, and the
    descriptors close on exec. A descriptor that is not a socket is passed over.
    """
    count, owner = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if owner != str(os.getpid() if pid is None else pid) or not count.isdecimal():
        return []
    found = []
    for offset in range(int(count)):
        opened = _adopt(LISTEN_FDS_START + offset)
        if opened is not None:
            found.append((names[offset] if offset < len(names) else "", opened))
    return [(name or "unknown", opened) for name, opened in found]


def _adopt(descriptor: int) -> socket.socket | None:
    try:
        os.set_inheritable(descriptor, False)
        return socket.socket(fileno=descriptor)
    except OSError:
        return None


def _address(name: str) -> str | None:
    """The address to send to: a leading `@` stands for the abstract namespace's NUL."""
    if name.startswith("@") and len(name) > 1:
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _status(text: str) -> dict[str, str]:
    return {"status": text} if text else {}


def _one_line(value: str | int) -> str:
    return " ".join(str(value).splitlines()) if isinstance(value, str) else str(value)
