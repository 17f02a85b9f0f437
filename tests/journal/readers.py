"""A reader that holds a snapshot for as long as a block lasts, in this process or in one of its own."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Final

_HOLD: Final = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM facts").fetchone()
print(flush=True)
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
def held_elsewhere(path: Path) -> Iterator[int]:
    """Hold a snapshot in another process; its pid."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        yield reader.pid


@contextmanager
def perhaps_held(path: Path, reader: bool) -> Iterator[None]:
    """Hold a snapshot in another process where `reader` says so: faults are tested in pairs."""
    with held_elsewhere(path) if reader else nullcontext():
        yield
