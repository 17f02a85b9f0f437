"""`collector backup`: a consistent copy of the journal, while the daemon writes."""

from __future__ import annotations

import os
from pathlib import Path

import click

from collector.cli import options
from collector.errors import PathTaken


@click.command(
    "backup",
    short_help="Copy the journal consistently, while the daemon writes.",
    epilog=options.examples(
        "collector backup /mnt/nas/events-$(date +%F).db",
        "collector verify --db /mnt/nas/events-2026-11-20.db",
    ),
)
@click.argument("file", metavar="FILE")
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@options.database
@options.config
def command(file: str, force: bool, db: str | None, config: str | None) -> None:
    """Write a consistent copy of the journal to FILE, daemon or no daemon.

    FILE appears when it is complete, and is itself a journal: every verb reads it with --db. One
    that exists is left alone (exit 73) unless --force is given.
    """
    from collector.cli.edge import say
    from collector.cli.progress import progress
    from collector.journal.backup import backup

    source = Path(options.database_path(db, config))
    target = Path(file)
    if os.path.lexists(target) and not (force and target.is_file()):
        raise PathTaken(f"{file} exists; name another file{'' if force else ', or add --force'}")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with progress("copying") as advance:
            backup(source, part, lambda done, total: advance(done / max(total, 1), ""))
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    say(f"{source} is backed up in {file}")
