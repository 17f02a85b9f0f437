"""A system call fails, once: nothing acknowledged is lost, nothing is set aside, nobody dies of it.

A sample of what `python -m tests.faults` tries whole (docs/testing.md): of each kind some sites, chosen
by a seed that a failure tells. COLLECTOR_FAULTS_SEED chooses others.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import pytest

from tests.faults.calls import ERRORS, KINDS
from tests.faults.forking import ForkServer
from tests.faults.planning import Called, calls
from tests.faults.run import Fault, Outcome, Variant, tried
from tests.faults.straced import straced
from tests.requirements import need_tool

SEED: Final = int(os.environ.get("COLLECTOR_FAULTS_SEED", "11"))
SITES: Final = 1
"""Of each kind, for each variant of the run."""

SWALLOWS: Final = """
from collector.intake.committing import Committer
commit = Committer.commit
def broken(self, batch):
    error = commit(self, batch)
    if error is not None:
        for run in batch.runs:
            run.answers = [(1, False)] * len(run.drafts)
    return None
Committer.commit = broken
"""
"""Says nothing of a commit that failed, and gives the producers an answer."""
DIES: Final = """
from collector.intake.failing import Failing
def broken(self, error):
    raise SystemExit(1)
Failing.failed = broken
"""
SETS_ASIDE: Final = """
import collector.journal.connection as connection
from collector.errors import JournalIOError
from collector.daemon.failing import Failing, mark_damaged
note = Failing.note
def broken(self, error, since):
    mark_damaged(self._path)
    note(self, error, since)
Failing.note = broken
"""


@pytest.fixture(scope="module")
def found(server: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> list[Called]:
    """Every call of a run in which none fails."""
    return calls(server, tmp_path_factory.mktemp("plan") / "run", "plain")


def test_each_kind_of_call_is_met(found: list[Called]) -> None:
    assert {call.kind for call in found} == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["plain", "reader"])
def test_a_call_that_fails_once_costs_nobody_an_event(
    server: ForkServer, found: list[Called], tmp_path: Path, variant: Variant
) -> None:
    wrong = [
        f"seed {SEED}, {variant}, {fault} at {outcome.hit or '(not met)'}, {outcome.ends}: {problem}"
        for fault in _sample(found, f"{SEED} {variant}")
        for outcome in [tried(server, tmp_path / "run", variant, fault)[0]]
        for problem in outcome.problems
    ]
    assert wrong == [], "\n".join(["", *wrong])


def _sample(found: list[Called], seed: str) -> Iterator[Fault]:
    """Some sites of each kind, each with one of its errors."""
    choice = random.Random(seed)
    by_kind = sorted(found, key=lambda call: KINDS.index(call.kind))
    for kind, group in groupby(by_kind, key=lambda call: call.kind):
        sites = list({(call.life, call.site): call for call in group}.values())
        for call in choice.sample(sites, min(SITES, len(sites))):
            yield Fault(call.life, kind, call.number, choice.choice(ERRORS[kind]))


WENT_WRONG: Final = (
    ("read", "/state/events.db", "collector.journal.connection", 0.3, "EIO"),  # was set aside
    ("open", "/state/events.db", "collector.journal.connection", 0.99, "EMFILE"),  # was 77
    ("flock", "/state/events.db.lock", "collector.lock", 0, "EIO"),  # was 1, without a path
    ("stat", "/state", "collector.janitor.schedule", 0.99, "EIO"),  # ended the daemon
    ("stat", "/state/events.db", "collector.journal.reader", 0, "EIO"),  # left a traceback
    ("write", "/state/events.db-wal", "collector.intake.committing", 0.5, "ENOSPC"),  # cost entries
)
"""Kind, file, a module that led there, how far among such calls of the first life, error."""


@pytest.mark.parametrize(("kind", "file", "module", "share", "error"), WENT_WRONG)
def test_what_once_went_wrong_does_not(
    server: ForkServer,
    found: list[Called],
    tmp_path: Path,
    kind: str,
    file: str,
    module: str,
    share: float,
    error: str,
) -> None:
    those = [
        call
        for call in found
        if (call.life, call.kind, call.site.file) == (1, kind, file)
        and any(line.startswith(module) for line in call.site.lines)
    ]
    fault = Fault(1, kind, those[int(len(those) * share)].number, error)
    outcome, _ = tried(server, tmp_path / "run", "plain", fault)
    assert outcome.problems == []
    assert outcome.hit == file


# ── the test of the test ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("mutant", "noticed"),
    [
        (SWALLOWS, "acknowledged"),
        (DIES, "life 1 ended with 1 while running"),
        (SETS_ASIDE, "set aside or marked as damaged"),
    ],
    ids=["swallows the error", "dies of it", "takes it for damage"],
)
def test_a_daemon_that_is_broken_on_purpose_is_noticed(
    server: ForkServer, found: list[Called], tmp_path: Path, mutant: str, noticed: str
) -> None:
    outcome, _ = tried(server, tmp_path / "run", "plain", _of_a_commit(found), mutant=mutant)
    assert any(noticed in problem for problem in outcome.problems), outcome


def _of_a_commit(found: list[Called]) -> Fault:
    """The sync of a commit of producers' events, in the midst of the first life."""
    commits = [
        call
        for call in found
        if call.life == 1
        and call.kind == "sync"
        and any("collector.intake.committing" in line for line in call.site.lines)
        and any("collector.sources" in line for line in call.site.lines)
    ]
    return Fault(1, "sync", commits[len(commits) // 2].number, "EIO")


# ── the same by strace ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("call", "number", "error"),
    [("fdatasync", 30, "EIO"), ("pwrite64", 200, "ENOSPC"), ("accept4", 3, "EMFILE")],
)
def test_a_call_that_strace_fails_costs_nobody_an_event(
    tmp_path: Path, call: str, number: int, error: str
) -> None:
    """None of these is made by an import, and all by one thread, so that strace counts as we do."""
    outcome: Outcome = straced(need_tool("strace"), tmp_path / "run", call, number, error)
    assert outcome.problems == []
    assert outcome.hit, "nothing was injected"
