"""`collector run`: the daemon, in the foreground."""

from __future__ import annotations

import os

import click

from collector.cli import options


@click.command(
    "run",
    short_help="Run the daemon in the foreground.",
    epilog=options.examples(
        "collector run",
        "collector run --config ./config.toml",
        "COLLECTOR__WEB__ENABLED=false collector run",
    ),
)
@options.config
@click.option("--db", metavar="FILE", help="The journal; overrides storage.path.")
@click.option("--socket", metavar="FILE", help="The socket; overrides sources.unix.path.")
def command(config: str | None, db: str | None, socket: str | None) -> int:
    """Run the daemon until SIGTERM or Ctrl-C; a second signal leaves at once.

    It says where its socket, database and page are. SIGHUP has it read its configuration again.
    Without any configuration it records below your own state directory.
    """
    from collector.config import load

    overrides = {"COLLECTOR__STORAGE__PATH": db, "COLLECTOR__SOURCES__UNIX__PATH": socket}
    given = {name: os.path.abspath(path) for name, path in overrides.items() if path}
    # The daemon reads the configuration again on SIGHUP, and must find the same overrides then.
    os.environ.update(given)
    settings = load(config)
    from collector.daemon import run  # after the configuration: a mistake in it costs no start-up

    return run(settings, read_config=lambda: load(config))
