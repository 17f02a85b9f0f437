"""`collector restore`: the journal back from a backup, with no daemon running."""

from __future__ import annotations

from pathlib import Path

import click

from collector.cli import options


@click.command(
    "restore",
    short_help="Put a backup in the journal's place, with no daemon running.",
    epilog=options.examples(
        "systemctl stop collector && collector restore /mnt/nas/events-2026-11-20.db"
    ),
)
@click.argument("file", metavar="FILE")
@options.database
@options.config
def command(file: str, db: str | None, config: str | None) -> None:
    """Put the journal back from FILE, a backup; refuses (69) while a daemon runs.

    FILE is verified first and stays where it is.
    """
    from collector.cli.edge import say
    from collector.journal.backup import restore

    target = Path(options.database_path(db, config))
    restore(Path(file), target)
    say(f"{target} is restored from {file}")
