"""`collector reindex`: everything that is derived from the log, built anew."""

from __future__ import annotations

import os
from pathlib import Path

import click

from collector.cli import options
from collector.errors import DaemonUnreachable, JournalError


@click.command(
    "reindex",
    short_help="Build everything that is derived from the log anew.",
    epilog=options.examples("collector reindex"),
)
@options.database
@options.socket
@options.config
def command(db: str | None, socket: str | None, config: str | None) -> None:
    """Forget everything derived (postings, totals, words) and build it anew from the log.

    A running daemon does it beside its work, and answers stay right meanwhile, only slower. Without
    one, or with --db, it is done here, on a journal that no daemon holds.
    """
    from collector.cli.edge import say

    if db is None and "COLLECTOR_DB" not in os.environ:
        try:
            say(_asked(socket, config))
            return
        except DaemonUnreachable:
            if socket is not None:
                raise
    path = Path(options.database_path(db, config))
    if not path.exists():
        raise JournalError(f"{path}: no journal is there")
    from collector.journal.reindexing import reindex

    say(f"{path}: built anew from {reindex(path):,} entries")


def _asked(socket: str | None, config: str | None) -> str:
    from collector.cli.ask import ask

    entries = ask({"op": "reindex"}, socket, config, options.WORK_TIMEOUT).get("entries")
    return f"the daemon builds it anew, {entries:,} entries" if entries else "nothing to build"
