"""A reader that holds a snapshot for as long as a block lasts, in this process or in one of its own."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final

READER: Final = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[-1]}?mode=ro", uri=True, isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM log").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(path: Path) -> Iterator[sqlite3.Connection]:
    """Hold a snapshot of the journal at `path`."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM facts").fetchone()
        yield reader


@contextmanager
def held_elsewhere(
    path: Path, *prefix: str, program: tuple[str, ...] = ("-c", READER)
) -> Iterator[int]:
    """Hold a snapshot in another process; its pid.

    `prefix` is a command to run it under, `program` what Python is to run.
    """
    command = [*prefix, sys.executable, *program, str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        yield process.pid
        process.communicate()


@contextmanager
def perhaps_held(path: Path, reader: bool) -> Iterator[None]:
    """Hold a snapshot in another process where `reader` says so: faults are tested in pairs."""
    with held_elsewhere(path) if reader else nullcontext():
        yield
