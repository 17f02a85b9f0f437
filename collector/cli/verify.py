"""`collector verify`: the journal's own integrity."""

from __future__ import annotations

from pathlib import Path

import click

from collector.cli import options
from collector.errors import EXIT_DATA


@click.command(
    "verify",
    short_help="Check the journal's integrity.",
    epilog=options.examples("collector verify", "collector verify --db backup.db && echo sound"),
)
@options.database
@options.config
def command(db: str | None, config: str | None) -> int:
    """Check the journal, or a backup of it, and print each problem found; exits 65 if there is one.

    SQLite's own structures, the checksum of every entry, that nothing is missing but what was pruned,
    and that it is no copy of the main file alone, taken while the daemon ran: `cp` leaves the newest
    entries behind, which are in the write-ahead log; `collector backup` does not. Takes time in
    proportion to the journal, and may run beside the daemon.
    """
    from collector.cli.edge import say
    from collector.core.escape import visible
    from collector.journal.verifying import verify

    path = Path(options.database_path(db, config))
    problems = verify(path)
    for problem in problems:
        click.echo(visible(problem))
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    say(f"{path}: {count if problems else 'sound'}")
    return EXIT_DATA if problems else 0
