"""`collector completion`: a script that makes the shell complete verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from collector.cli import COMPLETE_VARIABLE, options


@click.command(
    "completion",
    short_help="Print a completion script for a shell.",
    epilog=options.examples(
        "collector completion bash > /etc/bash_completion.d/collector",
        "collector completion zsh > ~/.zfunc/_collector",
        "collector completion fish > ~/.config/fish/completions/collector.fish",
    ),
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print a script that makes SHELL complete verbs, options and their values.

    bash must be 4.4 or newer. For the running shell alone: eval "$(collector completion bash)".
    """
    from collector.cli.group import verbs

    found = get_completion_class(shell)
    assert found is not None
    completion = found(verbs, {}, "collector", COMPLETE_VARIABLE)
    # Not `source()`, which for bash starts one to ask for its version.
    click.echo(completion.source_template % completion.source_vars())
