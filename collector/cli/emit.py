"""`collector emit`: the verb as click knows it; `quick` reads the same options without click."""

from __future__ import annotations

from typing import Any

import click

from collector.cli import options, quick
from collector.cli.draft import WrongArgument
from collector.cli.send import emit


def _seconds(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if quick.seconds(value) is None:
        raise click.BadParameter(f"{value!r} is not a number of seconds", ctx, option)
    return value


def _option(name: str, flags: tuple[str, ...], metavar: str, text: str) -> click.Option:
    return click.Option(
        [*flags, name],
        metavar=metavar,
        help=text,
        type=click.Choice(quick.CHOICES[name]) if name in quick.CHOICES else str,
        multiple=name == quick.REPEATABLE,
        callback=_seconds if name == "timeout" else None,
    )


def _emit(**values: Any) -> int:
    try:
        return emit(values)
    except WrongArgument as error:
        raise click.BadParameter(str(error), param_hint=error.option) from None


command = click.Command(
    "emit",
    callback=_emit,
    params=[
        click.Argument(["action"], required=False),
        *(_option(*each) for each in quick.OPTIONS),
        click.Option([quick.FLAG], is_flag=True, help=quick.FLAG_HELP),
    ],
    short_help="Send one event, or many from a file, and print the seq of each.",
    help="""Send one event to the daemon and print its seq once it is on the disk.

    ACTION is dotted and past tense: backup.completed, settings.updated. A failed attempt keeps the
    same action and says --outcome failure.

    With --json each line of FILE (or stdin, for -) is one event, whole; they are pipelined, a seq
    is printed for each in the order of the lines, and what is refused is told on stderr with the
    number of its line. A FILE may also hold a single event over several lines, or an array.

    Exit codes: 0 recorded, 2 wrong arguments, 65 not an event, 69 no daemon, 75 try again, 77 not
    allowed.
    """,
    epilog=options.examples(
        "collector emit backup.completed --object backup:nightly -d bytes=123",
        "collector emit person.deleted --object person:7 --object-name Eve --outcome denied",
        "collector emit door.opened --actor sensor:hall --category device -m 'Front door opened'",
        "collector emit --json - < events.ndjson",
        "collector emit --best-effort build.finished -d seconds=12.5 || echo never reached",
    ),
)
