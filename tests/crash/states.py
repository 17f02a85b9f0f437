"""Crash states in numbers: records runs, cuts the power at each of their moments, judges what is left.

    python -m tests.crash.states --states 1000000 --seed 1 --resume FILE

goes on until there are so many distinct states, as often as it is stopped (Ctrl-C) and begun again:
what is done stands in FILE, a line of JSON for each run. Failing states are described in FILE.wrong/,
with the recording that they were made of; `--again REPORT` makes one of them anew. `--mutant NAME`
records a daemon that is broken on purpose: it must be found. `--only RUN` leaves the other runs out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import collector
from tests.crash.expected import Incomplete, Trace, moments
from tests.crash.mutants import MUTANTS, RUN
from tests.crash.recording import compiled
from tests.crash.replaying import Outcome, replayed, tried
from tests.crash.runs import TUNED, Run
from tests.crash.scenarios import SCENARIOS

STATES_A_RUN: Final = 4000
"""States that one recording is asked for; a run of few calls has no more."""
OF_SEGMENT: Final = 2500
"""The same where a state takes ten times as long."""
SHARES: Final = {
    "segment": 8.0,
    "segment, pruned": 4.0,
    "readers": 7.0,
    "readers, restart": 5.0,
    "failed sync": 5.0,
    "failed checkpoint": 5.0,
    "failed sync, restart": 4.0,
    "failed sync, reader": 8.0,
}
"""Of a hundred states about, `REST` for the others. Failed syncs and readers need a tenth each."""
REST: Final = 4.0
ROOM: Final = 1 << 29
"""Bytes that must be free there."""
MISSED_MAX: Final = 3
"""Recordings of one run in a row that fail, as a start or a stop may on a machine that is too busy."""
TRIES: Final = 3
"""Recordings of one seed: kill -9 may come between a call and its record."""


class Job(NamedTuple):
    """One run to record, and how many states to make of it."""

    run: str
    seed: int
    states: int
    mutant: str | None = None
    patience: float = 1e9
    wrong: str | None = None
    """Folder for the recordings of failing states."""


def recorded(run: str, seed: int, folder: Path, library: Path, mutant: str | None = None) -> Trace:
    """Record one run below `folder`. Raises `AssertionError` where the daemon did not do its part."""
    folder.mkdir()
    made = Run(run, seed, library, folder, TUNED + MUTANTS.get(mutant or "", "") + RUN)
    try:
        SCENARIOS[run](made)
        return made.trace()
    finally:
        made.daemon.kill()


def done(job: Job) -> Outcome:
    """Record and judge; both in a folder of its own, in memory where the machine has such a place."""
    folder = Path(tempfile.mkdtemp(prefix="crash-states-", dir=_memory()))
    try:
        return _done(job, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> str | None:
    """A folder in memory, where there is one with room; None for the usual place."""
    if not os.access("/dev/shm", os.W_OK) or shutil.disk_usage("/dev/shm").free < ROOM:
        return None
    return "/dev/shm"


def _done(job: Job, folder: Path) -> Outcome:
    library = compiled(folder)
    if library is None:
        raise SystemExit("needs a C compiler (apt-get install gcc libc6-dev)")
    for attempt in range(TRIES):
        began = time.monotonic()
        try:
            trace = recorded(job.run, job.seed, folder / f"run{attempt}", library, job.mutant)
            recording = time.monotonic() - began
            outcome = replayed(trace, folder / "state", job.states, patience=job.patience)
        except Incomplete:
            continue
        outcome.recording = recording
        if outcome.reports and job.wrong is not None:
            _kept(Path(job.wrong), trace, outcome)
        return outcome
    raise AssertionError(f"{job.run}, seed {job.seed}: {TRIES} recordings were incomplete")


def _kept(folder: Path, trace: Trace, outcome: Outcome) -> None:
    """Keep what failing states were made of."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{trace.run.replace(', ', '-').replace(' ', '-')}-{trace.seed}"
    (folder / f"{name}.trace").write_bytes(zlib.compress(pickle.dumps(trace), 1))
    (folder / f"{name}.json").write_text(json.dumps(outcome.reports, indent=1))


def again(report: Path) -> list[str]:
    """Make the states of a report anew; what is wrong with each."""
    trace: Trace = pickle.loads(zlib.decompress(report.with_suffix(".trace").read_bytes()))
    wanted = [(item["moment"], item["draw"]) for item in json.loads(report.read_text())]
    folder = Path(tempfile.mkdtemp(prefix="crash-states-"))
    try:
        return [
            tried(trace, moment, draw, folder / "state")
            for moment in moments(trace)
            for number, draw in wanted
            if number == moment.number
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ── many of them ────────────────────────────────────────────────────────────────────────────────


def code() -> str:
    """What tells the code that is recorded from any other."""
    whole = hashlib.sha1(usedforsecurity=False)
    for file in sorted(Path(collector.__file__).parent.rglob("*")):
        if file.suffix in (".py", ".sql"):
            whole.update(file.read_bytes())
    return whole.hexdigest()[:12]


class Progress:
    """What was done so far on this very code, in a file of one line a run."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.missed: Counter[str] = Counter()
        """Recordings in a row that failed, by run."""
        self.code = code()
        self.outcomes: list[dict[str, Any]] = []
        if file is not None and file.exists():
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            self.outcomes = [line for line in lines if line["code"] == self.code]
            if len(lines) > len(self.outcomes):
                others = len(lines) - len(self.outcomes)
                print(f"{others} recordings of other code in {file} do not count", file=sys.stderr)

    def add(self, outcome: Outcome) -> None:
        """One more run is done."""
        line = asdict(outcome)
        line |= {"reports": len(outcome.reports), "code": self.code}
        self.outcomes.append(line)
        if self.file is not None:
            with self.file.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def sum(self, what: str) -> int:
        """Over all runs."""
        return int(sum(outcome[what] for outcome in self.outcomes))

    def by_run(self) -> Counter[str]:
        """States by run."""
        counts: Counter[str] = Counter()
        for outcome in self.outcomes:
            counts[outcome["run"]] += outcome["states"]
        return counts

    def seeds(self, run: str) -> set[int]:
        """The seeds of a run that are done."""
        return {outcome["seed"] for outcome in self.outcomes if outcome["run"] == run}

    def table(self) -> str:
        """What was reached, for people."""
        seconds = sum(outcome["seconds"] for outcome in self.outcomes)
        processor = sum(outcome["processor"] for outcome in self.outcomes)
        recording = sum(outcome["recording"] for outcome in self.outcomes)
        states = self.sum("states")
        lines = [f"{run:24}{count:>10,}" for run, count in sorted(self.by_run().items())]
        took = f"{seconds:,.0f} s of states, {recording:,.0f} s of recording"
        each = f"{1000 * processor / max(self.sum('judged'), 1):.1f} ms of processor a state"
        lines += [
            f"{'states, distinct':24}{states:>10,}",
            f"{'after a failed sync':24}{self.sum('failed'):>10,}",
            f"{'with a reader':24}{self.sum('reader'):>10,}",
            f"{'started on':24}{self.sum('started'):>10,}",
            f"{'wrong':24}{self.sum('wrong'):>10,}",
            f"{'recordings':24}{len(self.outcomes):>10,}",
            f"{'states/s and process':24}{states / max(seconds, 1e-9):>10,.0f}   ({took}; {each})",
        ]
        return "\n".join(lines)


def _next(
    progress: Progress, under_way: Counter[str], runs: Sequence[str], seed: int, states: int
) -> Job:
    """The run that is furthest behind its share."""
    counts = progress.by_run()

    def behind(run: str) -> float:
        asked = counts[run] + under_way[run] * states
        return asked / SHARES.get(run, REST)

    run = min(runs, key=behind)
    number = seed * 1_000_000
    taken = progress.seeds(run)
    skip = under_way[run] + progress.missed[run]
    while number in taken or skip:
        skip -= number not in taken
        number += 1
    return Job(run, number, min(states, OF_SEGMENT) if run.startswith("segment") else states)


def many(
    states: int,
    seed: int,
    progress: Progress,
    *,
    runs: Sequence[str] = tuple(SCENARIOS),
    workers: int = 2,
    mutant: str | None = None,
    wrong: str | None = None,
    states_a_run: int = STATES_A_RUN,
) -> None:
    """Go on until there are so many states, or SIGINT."""
    stopped = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True
        print("stopping when the runs under way are done", file=sys.stderr)

    before = signal.signal(signal.SIGINT, stop)
    under_way: dict[Future[Outcome], Job] = {}
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(workers, context, initializer=_deaf) as pool:
        while not stopped and (progress.sum("states") < states or under_way):
            while len(under_way) < workers and progress.sum("states") < states:
                counts = Counter(job.run for job in under_way.values())
                job = _next(progress, counts, runs, seed, states_a_run)
                job = job._replace(mutant=mutant, wrong=wrong)
                under_way[pool.submit(done, job)] = job
            _collect(under_way, progress)
        while under_way:
            _collect(under_way, progress)
    signal.signal(signal.SIGINT, before)


def _deaf() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _collect(under_way: dict[Future[Outcome], Job], progress: Progress) -> None:
    ended, _ = wait(under_way, timeout=1.0, return_when=FIRST_COMPLETED)
    for future in ended:
        job = under_way.pop(future)
        try:
            outcome = future.result()
        except AssertionError as error:
            print(f"{job.run}, seed {job.seed}, could not be recorded: {error}", file=sys.stderr)
            progress.missed[job.run] += 1
            if progress.missed[job.run] >= MISSED_MAX:
                raise SystemExit(f"{job.run} can not be recorded") from None
            continue
        progress.missed[job.run] = 0
        progress.add(outcome)
        said = f"{job.run}, seed {job.seed}: {outcome.states:,} states"
        if outcome.wrong:
            said += f", {outcome.wrong:,} WRONG, such as: {outcome.reports[0]['wrong']}"
        print(f"{said}; {progress.sum('states'):,} in all", flush=True)


def main() -> int:
    """The command; 1 where a state was wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.crash.states",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--states", type=int, default=20_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", type=Path, metavar="FILE")
    parser.add_argument("--only", action="append", choices=SCENARIOS, metavar="RUN")
    parser.add_argument("--mutant", choices=MUTANTS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--each", type=int, default=STATES_A_RUN, metavar="N", help="of a recording"
    )
    parser.add_argument("--again", type=Path, metavar="REPORT")
    asked = parser.parse_args()
    if asked.again is not None:
        found = again(asked.again)
        print("\n".join(wrong or "nothing is wrong" for wrong in found))
        return int(any(found))
    progress = Progress(asked.resume)
    many(
        asked.states,
        asked.seed,
        progress,
        runs=asked.only or tuple(SCENARIOS),
        workers=asked.workers,
        mutant=asked.mutant,
        wrong=None if asked.resume is None else f"{asked.resume}.wrong",
        states_a_run=asked.each,
    )
    print(progress.table())
    return int(progress.sum("wrong") > 0)


if __name__ == "__main__":
    raise SystemExit(main())
