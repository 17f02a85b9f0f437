"""Options that several verbs share, and the words of their help."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from collector import paths
from collector.errors import ConfigError, JournalError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

config = click.option("--config", metavar="FILE", help="The configuration file.")
database = click.option(
    "--db",
    metavar="FILE",
    help="The journal; by default as $COLLECTOR_DB or the configuration say.",
)
socket = click.option(
    "--socket", metavar="FILE", help="The daemon's socket; else $COLLECTOR_SOCKET or configuration."
)
pager = click.option("--no-pager", is_flag=True, help="Print straight to the terminal.")

REPLY_TIMEOUT: Final = 30.0
"""Seconds to wait for a short answer."""
WORK_TIMEOUT: Final = 24 * 3600.0
"""Seconds to wait for work that takes as long as the journal is large."""


def form(*forms: str) -> Callable[[Decorated], Decorated]:
    """`-o/--output`, the first of `forms` being the default."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        help="How to print it.",
    )


def examples(*lines: str) -> str:
    """The end of a verb's help: commands to copy, each on its line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def socket_path(explicit: str | None, config_file: str | None) -> str:
    """The daemon's socket. Raises ConfigError where the named configuration cannot be read."""
    return _found(paths.socket_path, explicit, config_file)


def database_path(explicit: str | None, config_file: str | None) -> str:
    """The journal. Raises ConfigError where the named configuration cannot be read, JournalError
    for a folder, of which SQLite would say only "disk I/O error"."""
    path = _found(paths.database_path, explicit, config_file)
    if os.path.isdir(path):
        raise JournalError(f"{path} is a directory; name the journal in it")
    return path


def _found(
    find: Callable[[str | None, str | None], str], flag: str | None, file: str | None
) -> str:
    try:
        return find(flag, file)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise ConfigError(said, source=file or os.environ.get("COLLECTOR_CONFIG", "")) from error
