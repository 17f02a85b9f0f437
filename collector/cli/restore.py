"""`collector restore`: the journal back from a backup, with no daemon running."""

from __future__ import annotations

from pathlib import Path

import click

from collector.cli import options
from collector.errors import EXIT_OK, EXIT_USAGE


@click.command(
    "restore",
    short_help="Put a backup in the journal's place, with no daemon running.",
    epilog=options.examples(
        "systemctl stop collector && collector restore /mnt/nas/events-2026-11-20.db",
        "collector restore     # names what was set aside as damaged and is sound",
    ),
)
@click.argument("file", metavar="[FILE]", required=False)
@options.database
@options.config
def command(file: str | None, db: str | None, config: str | None) -> int:
    """Put the journal back from FILE, a backup; refuses (69) while a daemon runs.

    FILE is verified first and stays where it is; of what is in it only values are taken over. The
    journal that was there is moved aside, and told where. Readers with a cursor have to start anew,
    and the next start records it. Without FILE, names the journals that were set aside as damaged and
    that verify finds sound.
    """
    target = Path(options.database_path(db, config))
    if file is None:
        _offer(target)
        return EXIT_USAGE
    _restore(Path(file), target)
    return EXIT_OK


def _restore(source: Path, target: Path) -> None:
    from collector.cli.edge import complain, say
    from collector.cli.progress import progress
    from collector.journal.backup import restore

    doubts: list[str] = []
    with progress("restoring") as advance:
        aside = restore(
            source, target, lambda done, total: advance(done / max(total, 1), ""), doubts.append
        )
    for doubt in doubts:
        complain(f"{source}: {doubt}")
    say(f"{target} is restored from {source}")
    if aside is not None:
        say(f"the journal that was there is now {aside}")


def _offer(target: Path) -> None:
    """Name what can be had back."""
    from collector.cli.edge import complain, say
    from collector.journal.set_aside import quarantined

    complain("name the backup to restore: collector restore FILE")
    for file in quarantined(target):
        problem = _first_problem(file)
        if problem is None:
            say(f"{file} was set aside as damaged and is sound; it comes back with:")
            say(f"  collector restore {file}")
        else:
            say(f"{file} was set aside as damaged: {problem}")


def _first_problem(file: Path) -> str | None:
    from collector.core.escape import visible
    from collector.errors import JournalError
    from collector.journal.verifying import verify

    try:
        problems = verify(file)
    except JournalError as error:
        return visible(str(error))
    return visible(problems[0]) if problems else None
