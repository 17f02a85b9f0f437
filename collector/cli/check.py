"""`collector check`: is the configuration right, and what is in force?"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import click

from collector.cli import options
from collector.errors import ConfigError, JournalError

if TYPE_CHECKING:
    from collector.config import Config


@click.command(
    "check",
    short_help="Validate the configuration.",
    epilog=options.examples(
        "collector check --config /etc/collector/config.toml",
        "collector check --show > effective.toml",
    ),
)
@click.option("--show", is_flag=True, help="Print the effective configuration as TOML.")
@options.config
def command(show: bool, config: str | None) -> None:
    """Validate the configuration and say where it was found; exits 78 where it is wrong.

    That includes what a start would find out: groups and files that are not there, and a page that
    other machines could reach while the journal holds no key.

    --show prints every key with the value in force, defaults and environment overrides included
    and secrets masked.
    """
    from collector.cli.edge import say
    from collector.config import load, machine

    found = load(config)
    mistakes = [*machine.missing(found), *_exposed(found)]
    if mistakes:
        raise ConfigError.of(mistakes)
    if show:
        click.echo(found.dump_toml(), nl=False)
    say(f"{found.file or 'no file, the defaults serve'}: the configuration is right")


def _exposed(found: Config) -> list[ConfigError]:
    """The mistake that a start would refuse; a journal that cannot be read is left to the start."""
    from collector.web.exposure import check, is_loopback

    if not found.web.enabled or is_loopback(found.web.host):
        return []
    path = found.storage.path
    try:
        keys = asyncio.run(_keys(path)) if os.path.exists(path) else 0
        check(found.web.host, keys)
    except JournalError:
        return []
    except ConfigError as mistake:
        return [mistake]
    return []


async def _keys(path: str) -> int:
    from collector.journal.keys import counted
    from collector.journal.reader import Reader

    async with Reader.open(path) as reader:
        return await counted(reader)
