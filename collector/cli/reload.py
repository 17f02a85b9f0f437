"""`collector reload`: have the daemon read its configuration again."""

from __future__ import annotations

import click

from collector.cli import options


@click.command(
    "reload",
    short_help="Have the daemon read its configuration again.",
    epilog=options.examples("collector check && collector reload"),
)
@options.socket
@options.config
def command(socket: str | None, config: str | None) -> None:
    """Have the daemon read its configuration again, all or nothing.

    The same as SIGHUP, but tells what was wrong, all of it, and exits 78. Recorded as
    config.reloaded or config.rejected; after the latter the old configuration stays in force.
    """
    from collector.cli.ask import ask
    from collector.cli.edge import say

    ask({"op": "reload"}, socket, config)
    say("the configuration was reloaded")
