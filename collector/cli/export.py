"""`collector export`: everything that matches, in constant memory."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import click

from collector.cli import options
from collector.cli.filters import PARAGRAPH, filtered, taken
from collector.cli.reading import open_reader
from collector.errors import PathTaken

if TYPE_CHECKING:
    from collector.cli.progress import Advance
    from collector.core.query import Filter
    from collector.event import Entry

PAGE_SECONDS: Final = 600.0
"""Longest time for one batch; a rare match in a large journal may be far away."""


@click.command(
    "export",
    short_help="Write everything that matches as CSV, JSON or NDJSON.",
    epilog=options.examples(
        "collector export --format csv --out november.csv -S 2026-11-01 -U 2026-12-01",
        "collector export --format ndjson -c auth | gzip > auth.ndjson.gz",
    ),
    help=f"""Write every entry that matches, oldest first, in constant memory.

    {PARAGRAPH} ndjson is one entry a line, json one array, csv begins with a header line; its cells
    are safe to open in a spreadsheet. With --out the file appears when it is complete, and one of
    that name is replaced. Progress is shown on a terminal.
    """,
)
@click.option("--format", "form", type=click.Choice(("csv", "json", "ndjson")), required=True)
@click.option("--out", metavar="FILE", help="Where to write; standard output by default.")
@filtered
@options.database
@options.config
def command(form: str, out: str | None, db: str | None, config: str | None, **filters: Any) -> None:
    from collector.cli.progress import progress
    from collector.cli.terminal import is_terminal

    wanted = taken(filters)
    path = options.database_path(db, config)
    to_terminal = out in (None, "-") and is_terminal(sys.stdout)
    with _target(out) as stream, progress("exporting", shown=not to_terminal) as advance:
        count = asyncio.run(_export(path, wanted, form, stream, advance))
    if out not in (None, "-"):
        from collector.cli.edge import say

        say(f"{count:,} {'entry' if count == 1 else 'entries'} in {out}")


@contextmanager
def _target(name: str | None) -> Iterator[IO[str]]:
    """The stream to write on; a regular file takes its name when all went well, and not before."""
    if name is None or name == "-":
        from collector.cli.terminal import output

        with output(utf8=True) as out:
            yield out.stream
        return
    path = Path(os.path.realpath(name))
    if path.is_dir():
        raise PathTaken(f"{name} is a directory; name a file in it")
    if path.exists() and not path.is_file():
        with open(path, "w", encoding="utf-8") as stream:
            yield stream
        return
    with _replacing(path) as stream:
        yield stream


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:  # about the file that was asked for, not about a name of ours
        error.filename = os.fspath(path)
        raise
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(part, _mode(path))
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _mode(path: Path) -> int:
    """The mode of the file that is replaced, else what any program would give a new one."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


async def _export(path: str, wanted: Filter, form: str, out: IO[str], advance: Advance) -> int:
    count = 0
    write, finish = _writer(form, out)
    async with open_reader(path, seconds=PAGE_SECONDS) as reader:
        first = (await reader.info()).get("first_seq") or 1
        last = await reader.last_seq()
        async for entries in reader.export(wanted):
            write(entries)
            count += len(entries)
            done = (entries[-1].seq - first + 1) / max(last - first + 1, 1)
            advance(done, f"{count:,} entries")
    finish()
    return count


def _writer(
    form: str, out: IO[str]
) -> tuple[Callable[[Iterable[Entry]], None], Callable[[], object]]:
    """What writes a batch, and what writes the end."""
    from collector.cli import clock, forms

    if form != "json":
        print_ = forms.printer("csv" if form == "csv" else "json", out, clock.zone())
        return print_, lambda: None
    separator = "[\n"

    def write(entries: Iterable[Entry]) -> None:
        nonlocal separator
        for entry in entries:
            out.write(separator + forms.as_json(entry))
            separator = ",\n"

    return write, lambda: out.write("\n]\n" if separator != "[\n" else "[]\n")
