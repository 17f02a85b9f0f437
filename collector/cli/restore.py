"""`collector restore`: the journal back from a backup, with no daemon running."""

from __future__ import annotations

from pathlib import Path

import click

from collector.cli import options
from collector.errors import PathTaken


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

    FILE is verified first and stays where it is; the journal that was there is moved aside, and told
    where. Readers with a cursor have to start anew.
    """
    from collector.cli.edge import say
    from collector.journal.backup import restore

    source, target = Path(file), Path(options.database_path(db, config))
    if source.exists() and target.exists() and source.samefile(target):
        raise PathTaken(f"{file} is the journal itself; name a backup")
    aside = restore(source, target)
    say(f"{target} is restored from {file}")
    if aside is not None:
        say(f"the journal that was there is now {aside}")
