"""What `emit` does: one event from its arguments, or many from a file, and an answer for each."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from collector import paths
from collector.cli.draft import WrongArgument, draft, line
from collector.cli.edge import complain, put
from collector.cli.quick import Values, seconds
from collector.cli.wire import Wire
from collector.errors import (
    EXIT_DATA,
    EXIT_FAILED,
    EXIT_IOERR,
    EXIT_NOPERM,
    EXIT_OK,
    EXIT_TEMPFAIL,
    RETRYABLE,
    ConfigError,
    DaemonUnreachable,
)

EXITS: Final = {
    "invalid_json": EXIT_DATA,
    "invalid_event": EXIT_DATA,
    "too_large": EXIT_DATA,
    "denied": EXIT_NOPERM,
    "io_error": EXIT_IOERR,
}
"""Exit codes of refusals; one that may be retried is 75, any other 1."""


def emit(values: Values) -> int:
    """Send what `quick.parse` or click read; prints a `seq` for each event. The exit code."""
    timeout = seconds(values["timeout"])
    assert timeout is not None
    if values["json"] is not None:
        from collector.cli import pipeline

        check_alone(values)
        return pipeline.emit_all(values["json"], lambda: Wire(where(values), timeout), timeout)
    if values["action"] is None:
        raise WrongArgument("ACTION", "is missing: what happened, such as backup.completed?")
    frame = line(draft(values))
    with closing(Wire(where(values), timeout)) as wire:
        wire.send(frame)
        replies = wire.replies()
    if not replies:
        raise DaemonUnreachable(
            f"{wire.path} closed the connection without an answer; the event may be recorded or "
            "not (with --id it can be sent again and counts once)"
        )
    return report(replies[0])


def report(reply: dict[str, Any], place: str = "") -> int:
    """Print a reply's `seq`, or on stderr why there is none; the exit code it stands for."""
    if reply["ok"]:
        put(f"{reply['seq']}\n")
        for warning in reply.get("warnings") or ():
            complain(f"{place}warning: {warning}")
        return EXIT_OK
    complain(f"{place}{reply.get('error')} ({reply.get('code')}){_again(reply)}")
    return exit_code(reply.get("code"))


def exit_code(code: Any) -> int:
    """The exit code of a refusal."""
    return EXITS.get(code, EXIT_TEMPFAIL if code in RETRYABLE else EXIT_FAILED)


def where(values: Values) -> str:
    """The socket's path. Raises ConfigError where the named configuration cannot be read."""
    try:
        return paths.socket_path(values["socket"], values["config"])
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise ConfigError(said, source=values["config"] or "$COLLECTOR_CONFIG") from error


def check_alone(values: Values) -> None:
    """`--json` brings whole events: what would be merged into them is a mistake."""
    meant = ("json", "timeout", "config", "socket", "best_effort")
    for name, value in values.items():
        if name not in meant and value:
            option = "ACTION" if name == "action" else f"--{name.replace('_', '-')}"
            raise WrongArgument(option, "goes without --json, whose events are whole")


def _again(reply: dict[str, Any]) -> str:
    if not reply.get("retry"):
        return ""
    id_ = reply.get("id")
    return f"; try again with --id {id_}" if id_ else "; try again"
