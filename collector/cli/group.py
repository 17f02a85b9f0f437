"""The verbs, each loaded from its own module when it is called, and how click ends."""

from __future__ import annotations

import difflib
import importlib
import os
from typing import Final

import click

from collector.cli import COMPLETE_VARIABLE
from collector.errors import EXIT_USAGE

PROGRAM: Final = "collector"
SECTIONS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("Record", ("run", "emit")),
    ("Look", ("query", "tail", "stats", "export", "devices", "status")),
    ("Configure", ("check", "reload", "keys", "completion")),
    ("Keep", ("prune", "backup", "restore", "verify", "reindex")),
)


class Verbs(click.Group):
    """Knows every verb's name, and imports the module of one only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [verb for _, verbs in SECTIONS for verb in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"collector.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        verbs = self.list_commands(ctx)
        if args and args[0] not in verbs and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], verbs, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"no verb {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        known = self.list_commands(ctx)
        for title, verbs in SECTIONS:
            rows = [
                (verb, command.get_short_help_str(limit=100))
                for verb in verbs
                if verb in known and (command := self.get_command(ctx, verb)) is not None
            ]
            with formatter.section(title):
                formatter.write_dl(rows)


EPILOG: Final = """\b
Examples:
  collector run
  collector emit backup.completed --object backup:nightly -d bytes=123
  collector tail -f
  collector query -S yesterday --outcome failure

'collector VERB --help' tells more of each. A manual stands in docs/cli.md.
"""


@click.group(
    cls=Verbs,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="collector", message="collector %(version)s")
def verbs() -> None:
    """The activity log for a machine and its network.

    Records what programs, devices and people do, in one SQLite file, and shows it again.
    """


def run(words: list[str]) -> int:
    """Parse and carry out one command line; the exit code. Raises CollectorError and OSError."""
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        from click.shell_completion import shell_complete

        return shell_complete(verbs, {}, PROGRAM, COMPLETE_VARIABLE, instruction)
    if not words:
        click.echo(click.Context(verbs, info_name=PROGRAM).get_help(), err=True)
        return EXIT_USAGE
    try:
        # Not `verbs.main`, which makes 1 of a closed pipe's exit code.
        with verbs.make_context(PROGRAM, list(words)) as context:
            code = verbs.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return code if isinstance(code, int) else 0
