"""Whether a database file is all there is, or a copy whose end stood in a log that was not copied.

While a daemon runs, the newest entries stand in the write-ahead log alone. A copy of the main file
alone, as `cp` makes it, lacks them and shows no damage. What is whole says so: a clean stop and
`backup` leave the fact `clean`, and a clean stop takes the file out of WAL mode, as it always has.

A journal that a daemon uses has its log beside it, so the header of a bare file may be read plainly.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from collector.core.rfc3339 import to_rfc3339
from collector.journal.files import is_locked, part, refusal, size_of

CLEAN: Final = "clean"
"""The fact that marks a file as whole."""
NEWEST: Final = (
    f"SELECT (SELECT count(*) FROM facts WHERE name = '{CLEAN}'), (SELECT max(seq) FROM log),"
    " (SELECT occurred_at + delay FROM log ORDER BY seq DESC LIMIT 1)"
)
"""The question whose one row `ends_early` judges."""
_MODES, _WAL_MODE = slice(18, 20), b"\2\2"
"""Offsets in the header, and what stands there in WAL mode: https://sqlite.org/fileformat2.html."""


def in_doubt(path: Path) -> bool:
    """Whether a file was last in use and has no log beside it: only the mark can tell that it is whole.

    Raises `JournalError`.
    """
    size = size_of(part(path, "-wal"))
    # An empty log that somebody uses has just been emptied; others leave such, too.
    if size or (size == 0 and _is_in_use(path)):
        return False
    try:
        with path.open("rb") as file:
            return file.read(_MODES.stop)[_MODES] == _WAL_MODE
    except OSError as error:
        raise refusal(path, error) from error


def mode_of(path: Path, *, doubtful: bool) -> str:
    """How to open a file to read it whole, as parameters of its URI; `doubtful` as `in_doubt` has it.

    A connection on a copy of a file in use would leave an empty log beside it.
    """
    at_rest = doubtful or not (part(path, "-wal").exists() or os.access(path.parent, os.W_OK))
    return "mode=ro&immutable=1" if at_rest else "mode=ro"


def _is_in_use(path: Path) -> bool:
    """Whether a connection is open on it; of one in another namespace the daemon's lock file tells."""
    return is_locked(part(path, "-shm")) or size_of(part(path, ".lock")) is not None


def ends_early(newest: Sequence[Any]) -> str | None:
    """By the row of `NEWEST` in a file in doubt: that it may end early, in words, or None."""
    clean, seq, recorded = newest
    if clean:
        return None
    last = "it holds no entry" if seq is None else f"last entry {seq} at {to_rfc3339(recorded)}"
    return f"copied while in use, no WAL beside it: may end early; {last}"
