"""Standard output as it is: a terminal with colour and a pager, or a pipe with neither."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Final, NamedTuple

from collector.cli.edge import say

DEFAULT_PAGER: Final = "less"
LESS: Final = "FRX"
"""As git has it: quit if it fits the screen, pass colours through, leave the screen as it is."""


class Output(NamedTuple):
    """Where a verb prints, and whether it may colour."""

    stream: IO[str]
    colour: bool


def is_terminal(stream: IO[str]) -> bool:
    """Whether somebody sits behind `stream`."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def wants_colour(stream: IO[str], environ: Mapping[str, str] = os.environ) -> bool:
    """A terminal, unless `NO_COLOR` is set (no-color.org) or it is a dumb one."""
    return is_terminal(stream) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


@contextmanager
def output(*, paged: bool = False, utf8: bool = False) -> Iterator[Output]:
    """Standard output for as long as a verb prints.

    `paged`: on a terminal the text goes through `$COLLECTOR_PAGER`, `$PAGER` or less, and who
    leaves the pager early has seen enough. `utf8`: for programs, whatever the locale says;
    people get what their terminal can show, the rest as escapes.
    """
    if utf8:
        _reconfigure(sys.stdout, "utf-8", "surrogatepass")
    else:
        _reconfigure(sys.stdout, None, "backslashreplace")
    colour = wants_colour(sys.stdout)
    pager = _pager(os.environ) if paged and is_terminal(sys.stdout) else None
    if pager is None:
        yield Output(sys.stdout, colour)
        sys.stdout.flush()
        return
    with _through(pager) as stream:
        yield Output(stream, colour)


def hint(text: str) -> None:
    """Words on stderr for somebody at a terminal where nothing was printed; scripts see nothing."""
    if is_terminal(sys.stdout):
        say(text)


def _pager(environ: Mapping[str, str]) -> str | None:
    # less asks for the return key before it shows anything on a terminal that can do nothing.
    default = "" if environ.get("TERM", "dumb") == "dumb" else DEFAULT_PAGER
    wanted = environ.get("COLLECTOR_PAGER", environ.get("PAGER", default)).strip()
    try:
        program = shlex.split(wanted)[:1]
    except ValueError:
        return None
    if not program or program == ["cat"] or shutil.which(program[0]) is None:
        return None
    return wanted


@contextmanager
def _through(pager: str) -> Iterator[IO[str]]:
    environ = {"LESS": LESS, "LV": "-c", **os.environ}
    process = subprocess.Popen(
        pager,
        shell=True,
        stdin=subprocess.PIPE,
        env=environ,
        text=True,
        encoding=sys.stdout.encoding,
        errors="backslashreplace",
    )
    assert process.stdin is not None
    try:
        yield process.stdin
        process.stdin.flush()
    except BrokenPipeError:
        pass
    finally:
        _close(process)


def _close(process: subprocess.Popen[str]) -> None:
    """Wait for the pager to be left; an interrupt is for the pager, which stays."""
    assert process.stdin is not None
    try:
        process.stdin.close()
    except BrokenPipeError:
        pass
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:
            pass


def _reconfigure(stream: IO[str], encoding: str | None, errors: str) -> None:
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding=encoding, errors=errors)
