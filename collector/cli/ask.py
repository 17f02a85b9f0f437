"""Commands to the daemon: one `op` over the socket, and its refusal as an error."""

from __future__ import annotations

from typing import Any

from collector.cli.options import REPLY_TIMEOUT, socket_path
from collector.cli.send import exit_code
from collector.cli.wire import unreachable
from collector.errors import EXIT_CONFIG, CollectorError, DaemonUnreachable


class Refused(CollectorError):
    """The daemon's refusal, with the exit code that its `code` stands for."""

    def __init__(self, message: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(message)


def ask(
    command: dict[str, Any],
    socket: str | None,
    config: str | None,
    timeout: float = REPLY_TIMEOUT,
) -> dict[str, Any]:
    """The reply's fields. Raises DaemonUnreachable, which tells how to start one, and Refused."""
    from collector.client.connection import Connection

    path = socket_path(socket, config)
    try:
        with Connection(path, timeout) as connection:
            reply = connection.request(command)
    except DaemonUnreachable as error:
        raise unreachable(str(error), path, error.__cause__) from error
    if reply.get("ok"):
        return reply
    raise Refused(
        _said(reply), EXIT_CONFIG if "mistakes" in reply else exit_code(reply.get("code"))
    )


def _said(reply: dict[str, Any]) -> str:
    said, code = str(reply.get("error")), reply.get("code")
    if code == "denied":
        return f"{said} (denied); root, the daemon's user and sources.unix.admin_groups may"
    return said if code == "failed" else f"{said} ({code})"
