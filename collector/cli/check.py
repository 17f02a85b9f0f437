"""`collector check`: is the configuration right, and what is in force?"""

from __future__ import annotations

import click

from collector.cli import options


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

    --show prints every key with the value in force, defaults and environment overrides included
    and secrets masked.
    """
    from collector.cli.edge import say
    from collector.config import load, machine

    found = load(config)
    machine.check(found)
    if show:
        click.echo(found.dump_toml(), nl=False)
    say(f"{found.file or 'no file, the defaults serve'}: the configuration is right")
