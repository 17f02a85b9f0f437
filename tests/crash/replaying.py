"""Cuts the power at every moment of a recorded run, in as many ways as are asked for."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.crash.expected import Moment, Trace, moments
from tests.crash.filesystem import RESERVE, Length, names_of
from tests.crash.judging import Files, Judge

START_EVERY: Final = 40
"""One state of so many is started on, as a daemon starts."""
WRONG_MAX: Final = 20
"""Failing states of one run that are reported; others are only counted."""
KNOWN_MAX: Final = 64
"""Contents whose hash is remembered."""
WORN_OUT: Final = 0.03
"""A walk over the run that finds fewer new states than this share of its tries is the last."""


@dataclass
class Outcome:
    """What came of the states of one run."""

    run: str
    seed: int
    states: int = 0
    """Distinct by content."""
    judged: int = 0
    """Judged; more than states, since one state may have to hold more a moment later."""
    started: int = 0
    failed: int = 0
    """States after a sync that failed."""
    reader: int = 0
    """States while a reader held a snapshot."""
    by_doing: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    reports: list[dict[str, Any]] = field(default_factory=list)
    recording: float = 0.0
    """Seconds that the recording took."""
    seconds: float = 0.0
    """Seconds that the states took."""
    processor: float = 0.0
    """Seconds of processor time that they took."""


def replayed(trace: Trace, folder: Path, count: int, *, patience: float = 1e9) -> Outcome:
    """Judge at least `count` distinct states of a run, fewer where it has no more or time is up."""
    began, worked = time.monotonic(), time.process_time()
    outcome = Outcome(trace.run, trace.seed)
    judge, hashes = Judge(trace, folder), Hashes()
    seen: set[bytes] = set()
    judged: set[tuple[bytes, int]] = set()
    places = sum(map(_weight, moments(trace)))
    walk = 0
    while outcome.states < count:
        before, tries = outcome.states, 0
        share = (count - before) / max(places, 1)
        lot = random.Random(f"{trace.run}/{trace.seed}/{walk}")
        for moment in moments(trace):
            wanted = share * _weight(moment)
            draws = int(wanted) + (lot.random() < wanted % 1)
            for draw in range(min(draws, 1) if moment.folder.certain() else draws):
                tries += 1
                _try(trace, judge, moment, walk * 1000 + draw, hashes, seen, judged, outcome)
            if time.monotonic() - began > patience:
                break
        walk += 1
        if outcome.states - before < WORN_OUT * tries or time.monotonic() - began > patience:
            break
    outcome.started = judge.started
    outcome.seconds = time.monotonic() - began
    outcome.processor = time.process_time() - worked
    return outcome


def _weight(moment: Moment) -> int:
    """More is made of what a run is about than of its first start."""
    return 3 if moment.failed or moment.reader or moment.doing else 1


def _try(
    trace: Trace,
    judge: Judge,
    moment: Moment,
    draw: int,
    hashes: Hashes,
    seen: set[bytes],
    judged: set[tuple[bytes, int]],
    outcome: Outcome,
) -> None:
    chance = chance_of(trace, moment.number, draw)
    files, how = moment.folder.left(chance)
    content = hashes.of(files)
    promised = len(moment.journal.rows) + len(moment.journal.seqs)
    if (content, promised) in judged:
        return
    judged.add((content, promised))
    if content not in seen:
        seen.add(content)
        outcome.states += 1
        outcome.failed += moment.failed
        outcome.reader += moment.reader
        outcome.by_doing[moment.doing] = outcome.by_doing.get(moment.doing, 0) + 1
    outcome.judged += 1
    wrong = judge.judge(files, moment, start=chance.random() * START_EVERY < 1, chance=chance)
    if wrong:
        outcome.wrong += 1
        if len(outcome.reports) < WRONG_MAX:
            outcome.reports.append(report(trace, moment, draw, files, how, wrong))


def tried(trace: Trace, moment: Moment, draw: int, folder: Path) -> str:
    """Make one state of a report anew; what is wrong with it."""
    chance = chance_of(trace, moment.number, draw)
    files, _ = moment.folder.left(chance)
    start = chance.random() * START_EVERY < 1
    return Judge(trace, folder).judge(files, moment, start=start, chance=chance)


def chance_of(trace: Trace, number: int, draw: int) -> random.Random:
    """What decides over one state: from a report it can be made again."""
    return random.Random(f"{trace.run}/{trace.seed}/{number}/{draw}")


class Hashes:
    """One number for each content of a folder; whether there is a reserve does not make two of one."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[bytes, bytes]] = {}

    def of(self, files: Files) -> bytes:
        """The number, 20 bytes of it."""
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        whole = hashlib.sha1(usedforsecurity=False)
        for name in sorted(files):
            if RESERVE not in name:
                whole.update(f"{name}\0".encode())
                whole.update(self._one(files[name]))
        return whole.digest()

    def _one(self, content: bytes) -> bytes:
        """Many states have the same main file, as the same object."""
        known = self._known.get(id(content))
        if known is None or known[0] is not content:
            digest = hashlib.sha1(content, usedforsecurity=False).digest()
            known = self._known[id(content)] = (content, digest)
        return known[1]


def report(
    trace: Trace, moment: Moment, draw: int, files: Files, how: str, wrong: str
) -> dict[str, Any]:
    """All that is needed to make a state again, and to understand it."""
    return {
        "run": trace.run,
        "seed": trace.seed,
        "moment": moment.number,
        "draw": draw,
        "wrong": wrong,
        "after": moment.call,
        "doing": moment.doing,
        "reader": moment.reader,
        "failed sync": moment.failed,
        "chosen": how,
        "acknowledged": len(moment.journal.rows) + len(moment.journal.seqs),
        "files": list(names_of(files)),
        "unsynced": _unsynced(moment, files),
        "names": [f"{n.old} -> {n.new} (file {n.file.number})" for n in moment.folder.pending],
    }


def _unsynced(moment: Moment, files: Files) -> list[str]:
    """The calls that no sync had covered, and whether the state has them."""
    lines = []
    for name, content in files.items():
        file = moment.folder.names.get(name)
        for call in file.pending if file is not None else ():
            if isinstance(call, Length):
                lines.append(f"{name}: length {call.size}")
                continue
            kept = content[call.at : call.at + len(call.data)]
            same = sum(a == b for a, b in zip(kept, call.data, strict=False))
            said = "kept" if kept == call.data else f"{same} of {len(call.data)} bytes alike"
            lines.append(f"{name}: {len(call.data)} bytes at {call.at}: {said}")
    return lines if len(lines) <= 60 else [*lines[:60], f"… and {len(lines) - 60} more"]
