"""The real daemon on damaged journals: damaged before it starts, and under its hands."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from pathlib import Path
from typing import Final

from collector.errors import CollectorError
from collector.journal.verifying import verify
from tests.daemon.harness import Line, RunningDaemon, until
from tests.fuzz.journals import Files, damaged, recorded, write

REFUSALS: Final = (65, 73, 74, 75, 77, 78)
"""Exit codes of a start on a journal that cannot be used; see RELIABILITY in `docs/`."""
GIVES_UP: Final = (65, 74)
"""Exit codes of a daemon whose journal turns out to be damaged or unreadable."""
CODES: Final = ("failed", "io_error", "storage_full", "busy", "draining")


def fuzz(count: int, seed: int, folder: Path) -> dict[str, int]:
    """Damage so many journals for the daemon; how each went. Raises AssertionError."""
    originals, rng = recorded(folder), random.Random(seed)
    met = {"started": 0, "refused": 0, "went on": 0, "gave up": 0}
    for number in range(count):
        place = folder / f"{number}"
        place.mkdir()
        daemon = RunningDaemon(place)
        daemon.database.parent.mkdir()
        files = rng.choice(originals)
        try:
            if number % 2:
                met[_under_its_hands(rng, daemon, files)] += 1
            else:
                met[_before_it_starts(rng, daemon, files)] += 1
            said = daemon.said()
            assert "Traceback" not in said, said
        except BaseException as error:
            error.add_note(f"journal {number} of seed {seed}, left in {place}")
            raise
        finally:
            daemon.kill()
    return met


def _before_it_starts(rng: random.Random, daemon: RunningDaemon, files: Files) -> str:
    write(damaged(rng, files), daemon.database)
    if not _came_up(daemon):
        code = daemon.ended()
        assert code in REFUSALS, f"exit {code}: {daemon.said()}"
        assert daemon.said().strip(), f"exit {code} without a word"
        return "refused"
    acknowledged = _record(daemon)
    return "started" if _ends(daemon, acknowledged) else "gave up"


def _under_its_hands(rng: random.Random, daemon: RunningDaemon, files: Files) -> str:
    write(files, daemon.database)
    daemon.start()
    acknowledged = _record(daemon)
    descriptor = os.open(daemon.database, os.O_WRONLY)
    size = os.fstat(descriptor).st_size
    for _ in range(rng.choice((1, 4, 16))):
        os.pwrite(descriptor, rng.randbytes(rng.choice((1, 16, 512))), rng.randrange(size))
    os.close(descriptor)
    acknowledged += _record(daemon)
    went_on = _ends(daemon, acknowledged)
    if _came_up(daemon):
        assert daemon.stop() in (0, *GIVES_UP), daemon.said()
    else:
        assert daemon.ended() in REFUSALS, daemon.said()
    return "went on" if went_on else "gave up"


def _came_up(daemon: RunningDaemon) -> bool:
    """Start it; whether it serves, or has ended."""
    daemon.spawn()
    process = daemon.process
    assert process is not None
    until(lambda: process.poll() is not None or daemon.answers(), daemon.said)
    return process.poll() is None


def _record(daemon: RunningDaemon) -> list[int]:
    """Record a little; the seqs that were acknowledged, fewer where the daemon gives up."""
    seqs: list[int] = []
    try:
        with Line(daemon.socket) as line:
            line.send(*({"action": "journal.fuzzed", "metadata": {"n": n}} for n in range(20)))
            line.send({"op": "status"}, {"op": "prune", "max_entries": 200})
            for reply in line.replies(22):
                if reply["ok"] and "seq" in reply:
                    seqs.append(reply["seq"])
                elif not reply["ok"]:
                    assert reply["code"] in CODES, reply
                    assert reply["error"], reply
    except (OSError, EOFError):
        pass  # it has given up: the exit code says why
    return seqs


def _ends(daemon: RunningDaemon, acknowledged: list[int]) -> bool:
    """Stop it; what it acknowledged is there, in a journal that is not found to be damaged."""
    process = daemon.process
    assert process is not None
    code = process.poll()
    if code is None:
        try:
            code = daemon.stop()
        except ProcessLookupError:
            code = daemon.ended()
    if code == -signal.SIGTERM and "giving up" in daemon.said():
        return False  # asked to end when it had just ended by itself, and no longer listened
    assert code in (0, *GIVES_UP), f"exit {code}: {daemon.said()}"
    try:
        if code or verify(daemon.database):
            return False
    except CollectorError:
        return False
    connection = sqlite3.connect(f"file:{daemon.database}?mode=ro", uri=True)
    stored = {seq for (seq,) in connection.execute("SELECT seq FROM log")}
    connection.close()
    kept = [seq for seq in acknowledged if seq >= min(stored, default=0)]
    assert stored.issuperset(kept), f"acknowledged and not stored: {sorted(set(kept) - stored)}"
    return True
