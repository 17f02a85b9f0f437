"""`collector prune`: have the daemon remove old entries now."""

from __future__ import annotations

from typing import Any

import click

from collector.cli import options


def _size(ctx: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Bytes of `500MB`, `1GiB` or a plain number."""
    if value is None:
        return None
    from collector.config.units import size

    try:
        return size(int(value) if value.isascii() and value.isdigit() else value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, option) from None


@click.command(
    "prune",
    short_help="Remove old entries now.",
    epilog=options.examples(
        "collector prune                          # as retention is configured",
        "collector prune --max-days 30 --dry-run",
        "collector prune --max-bytes 500MB",
    ),
)
@click.option(
    "--max-days", type=click.IntRange(0), metavar="DAYS", help="Keep at most so many days."
)
@click.option(
    "--max-entries", type=click.IntRange(0), metavar="N", help="Keep at most so many entries."
)
@click.option(
    "--max-bytes", metavar="SIZE", callback=_size, help="Let the journal take so much: 1GiB."
)
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@options.socket
@options.config
def command(
    max_days: int | None,
    max_entries: int | None,
    max_bytes: int | None,
    dry_run: bool,
    socket: str | None,
    config: str | None,
) -> None:
    """Have the daemon remove old entries now, once, and print what went.

    Without a limit it applies the configured retention; with limits only those that are given, 0
    being none. The removal is itself recorded, as events.pruned with you as the actor.
    """
    from collector.cli.ask import ask

    limits = {"max_days": max_days, "max_entries": max_entries, "max_bytes": max_bytes}
    given = {name: value for name, value in limits.items() if value is not None}
    reply = ask({"op": "prune", **given, "dry_run": dry_run}, socket, config, options.WORK_TIMEOUT)
    click.echo(_told(reply, dry_run))


def _told(reply: dict[str, Any], dry_run: bool) -> str:
    count = int(reply.get("count") or 0)
    verb = "would be pruned" if dry_run else "pruned"
    if not count:
        return f"nothing {'to prune' if dry_run else 'pruned'}"
    first, last = reply.get("from_seq"), reply.get("to_seq")
    span = f" (seq {first} to {last})" if first is not None and last is not None else ""
    return f"{count:,} {'entry' if count == 1 else 'entries'} {verb}{span}"
