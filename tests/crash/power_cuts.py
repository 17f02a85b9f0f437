"""The power cut after each call of a trace: what SQLite then finds of what had been acknowledged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.crash.disk import Call, Disk, acknowledged

FILES = ("events.db", "events.db-wal", "events.db-shm")


class Seen(NamedTuple):
    """What the power cuts of a replay have shown: how many, of how many acknowledged events, and
    what of those was not found afterwards."""

    cuts: int
    acknowledged: int
    lost: list[str]


def replayed(disk: Disk, trace: Iterable[Call], *, until_failed: bool = False) -> set[int]:
    """What was acknowledged in a trace, or the part of it before a failure, once it is replayed."""
    told: set[int] = set()
    for call in trace:
        disk.replay(call)
        told.update(acknowledged(call))
        if until_failed and call.failed:
            break
    return told


def cut_everywhere(disk: Disk, trace: Iterable[Call], told: set[int], folder: Path) -> Seen:
    """Cut the power after each call of a trace, and look for what had been acknowledged by then."""
    folder.mkdir()
    cuts, lost = 0, []
    found: dict[bool, tuple[dict[str, bytes], set[int] | None]] = {}
    for call in trace:
        seqs = acknowledged(call)
        told.update(seqs)
        if not disk.replay(call) and not seqs:
            continue
        cuts += 1
        for kept in (False, True):
            left = disk.left(kept=kept)
            # Many calls change nothing of what a cut leaves: SQLite would find the same in the same.
            if kept not in found or found[kept][0] != left:
                found[kept] = left, _recovered(left, folder)
            stored = found[kept][1]
            if stored is None:
                lost.append(f"the journal is damaged after call {cuts} ({call.name}), {kept=}")
            elif gone := told - stored:
                lost.append(f"{len(gone)} after call {cuts} ({call.name}), {kept=}")
    return Seen(cuts, len(told), lost)


def _recovered(files: dict[str, bytes], folder: Path) -> set[int] | None:
    """The seqs that SQLite finds in what is left of a journal; None where it finds it damaged."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    connection = sqlite3.connect(folder / "events.db")
    try:
        connection.execute("PRAGMA synchronous = OFF")  # this copy need not outlive anything
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            return None
        return {seq for (seq,) in connection.execute("SELECT seq FROM log")}
    except sqlite3.DatabaseError:
        return None
    finally:
        connection.close()
