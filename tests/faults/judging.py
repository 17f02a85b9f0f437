"""What is wrong after a run: with the exit codes, the words, the folder, and what is stored.

Each function yields problems, in words; none is the only good answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from collector.journal.verifying import verify
from tests.daemon.harness import entries
from tests.faults.calls import OF_A_FULL_DISK, SIGNS_OF_A_BUG, Phase, exits
from tests.faults.producing import Producer


def ends(lives: Sequence[tuple[Phase, int]], kind: str) -> Iterator[str]:
    """Exit codes that a failed call of this kind ("" where none failed) does not explain; the last
    life has none that fails."""
    for number, (phase, code) in enumerate(lives, 1):
        clean = phase == "stop" and code == 0
        explained = kind and number < len(lives) and code in exits(kind, phase)
        if not clean and not explained:
            yield f"life {number} ended with {code} while {phase}"


def refusals(producer: Producer, error: str) -> Iterator[str]:
    """What producers were told, and should not have been."""
    yield from producer.wrong
    full = producer.refused.get("storage_full")
    if full and error not in OF_A_FULL_DISK:
        yield f"storage_full, {full} times, and the disk had room"


def words(said: str) -> Iterator[str]:
    """Signs of a bug on stderr, with what follows them."""
    for sign in SIGNS_OF_A_BUG:
        if sign in said:
            at = said.index(sign)
            yield f"{sign!r} on stderr: {said[at : at + 1500]}"


def folder(directory: Path) -> Iterator[str]:
    """Files that say that the journal was taken for damaged."""
    names = sorted(path.name for path in directory.iterdir())
    odd = [name for name in names if "corrupt" in name or name.endswith(".damaged")]
    if odd:
        yield f"set aside or marked as damaged: {odd}"


def journal(database: Path, producer: Producer, *, pruned: bool) -> Iterator[str]:
    """acknowledged ⊆ stored ⊆ sent, each once, in a journal that is sound."""
    if not database.exists():
        yield "there is no journal"
        return
    for problem in verify(database)[:3]:
        yield f"verify: {problem}"
    yield from entries_of(producer, stored(database), _removed_up_to(database) if pruned else 0)


def entries_of(producer: Producer, found: dict[str, list[int]], removed: int) -> Iterator[str]:
    """The same of the seqs that were found of each event, where those up to `removed` may be gone."""
    twice = [name for name, seqs in found.items() if len(seqs) > 1]
    lost = [
        f"{name} ({seq})"
        for name, seq in producer.acknowledged.items()
        if seq > removed and found.get(name) != [seq]
    ]
    for what, names in {
        "stored twice": twice,
        "acknowledged and not stored": lost,
        "stored and never sent": sorted(set(found) - producer.sent),
    }.items():
        if names:
            yield f"{len(names)} {what}: {names[:5]}"


def stored(database: Path) -> dict[str, list[int]]:
    """The seqs under which the event of each name is stored."""
    found: dict[str, list[int]] = {}
    for entry in entries(database, "fault.tried"):
        found.setdefault(entry["object_id"], []).append(entry["seq"])
    return found


def _removed_up_to(database: Path) -> int:
    """The last seq that the run's prune took, by the ledger: it takes the oldest of what is others'."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        last: int | None = connection.execute("SELECT max(last_seq) FROM removed").fetchone()[0]
    finally:
        connection.close()
    return last or 0
