"""A progress bar on stderr where that is a terminal, and nothing at all elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from collector.cli.terminal import is_terminal

Advance = Callable[[float, str], None]
"""Told the share that is done, 0 to 1, and a few words on it."""


@contextmanager
def progress(title: str, *, shown: bool = True) -> Iterator[Advance]:
    """A bar for as long as the work takes. `shown` False: its place is taken by the output itself."""
    if not shown or not is_terminal(sys.stderr):
        yield lambda share, words: None
        return
    from rich.console import Console  # 60 ms, paid by those who watch
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}% {task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0, words="")
        yield lambda share, words: bar.update(task, completed=min(share, 1.0), words=words)
