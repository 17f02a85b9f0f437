"""Somebody who reads an old state of a journal and stays: a process of its own with a snapshot open."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READER = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[-1]}?mode=ro", uri=True, isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM log").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


@contextmanager
def snapshot(
    database: Path, *prefix: str, program: tuple[str, ...] = ("-c", READER)
) -> Iterator[int]:
    """A snapshot of `database` until the block ends; the pid of who holds it.

    `prefix` is a command to run it under, `program` what Python is to run.
    """
    command = [*prefix, sys.executable, *program, str(database)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        yield process.pid
        process.communicate()
