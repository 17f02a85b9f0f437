"""`collector backup`: a consistent copy of the journal, while the daemon writes."""

from __future__ import annotations

from pathlib import Path

import click

from collector.cli import options


@click.command(
    "backup",
    short_help="Copy the journal consistently, while the daemon writes.",
    epilog=options.examples(
        "collector backup /mnt/nas/events-$(date +%F).db",
        "collector verify --db /mnt/nas/events-2026-11-20.db",
    ),
)
@click.argument("file", metavar="FILE")
@options.database
@options.config
def command(file: str, db: str | None, config: str | None) -> None:
    """Write a consistent copy of the journal to FILE, daemon or no daemon.

    FILE appears when it is complete, and is itself a journal: every verb reads it with --db. An
    older backup of that name is replaced; anything else there is left alone (exit 73), above all
    a journal that is in use.
    """
    from collector.cli.edge import complain, say
    from collector.cli.progress import progress
    from collector.journal.backup import backup

    source, target = Path(options.database_path(db, config)), Path(file)
    doubts: list[str] = []
    with progress("copying") as advance:
        backup(source, target, lambda done, total: advance(done / max(total, 1), ""), doubts.append)
    for doubt in doubts:
        complain(f"{source}: {doubt}")
    say(f"{source} is backed up in {file}")
