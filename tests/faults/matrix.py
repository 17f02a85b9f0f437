"""The start-up matrix: its cells, and the result that docs/failures.md specifies for each."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple, get_args

from tests.faults.states import AS_KILLED, NAMES, Part, State

Disk = Literal["room", "full", "read error", "read-only"]
DISKS: Final[tuple[Disk, ...]] = get_args(Disk)
DOCS: Final = Path(__file__).parents[2] / "docs" / "failures.md"
_ROW: Final = re.compile(
    r"^\| (?P<part>main|shm|marker|reserve|aside|reader) (?P<state>[a-z]+)"
    r"(?:, log (?P<log>[a-z]+))? \|(?P<results>.*)\|$"
)


class Cell(NamedTuple):
    """Where a start begins, and what it must come to: any of `results`."""

    states: tuple[tuple[Part, State], ...]
    disk: Disk
    results: frozenset[str]

    def __str__(self) -> str:
        return ", ".join(f"{part} {state}" for part, state in self.states) + f"; {self.disk}"

    def all_states(self) -> dict[Part, State]:
        """The state of every part of the folder; nothing at all lies there without both main files."""
        states = AS_KILLED | dict(self.states)
        if states["main"] == states["wal"] == "absent":
            states |= {"shm": "absent", "reserve": "absent"}
        return states


def cells() -> Iterator[Cell]:
    """Every cell of the tables in docs/failures.md, in their order."""
    for line in DOCS.read_text().splitlines():
        row = _ROW.match(line)
        if row is None:
            continue
        states: list[tuple[Part, State]] = [(row["part"], row["state"])]  # type: ignore[list-item]
        if row["log"]:
            states.append(("wal", row["log"]))  # type: ignore[arg-type]
        results = [cell.strip() for cell in row["results"].split("|")]
        for disk, result in zip(DISKS, results, strict=True):
            yield Cell(tuple(states), disk, frozenset(result.split(" or ")))


def untouched(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """What must be as it was after a start that failed: inode and content of what may be a last copy.

    Without the content where it is no file, or not readable by us either.
    """
    found = {}
    for part in ("main", "wal", "aside"):
        file = folder / NAMES[part]
        if os.path.lexists(file):
            found[file.name] = (
                file.lstat().st_ino,
                file.read_bytes() if file.is_file() and os.access(file, os.R_OK) else None,
            )
    return found
