"""The shim tells the truth: it misses no call, counts over all threads, and fails the one asked for."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.faults.calls import KINDS
from tests.faults.forking import ForkedDaemon, ForkServer
from tests.faults.run import Run
from tests.faults.tracing import command, counted
from tests.requirements import need_tool


def test_it_counts_every_call_that_strace_sees(shim: Path, tmp_path: Path) -> None:
    """Of a whole run: the journal's files and the socket's, by their kinds."""
    trace = tmp_path / "trace"
    prefix = command(need_tool("strace"), trace)
    with ForkServer(shim, tmp_path / "server.log", prefix=prefix) as server:
        run = Run(ForkedDaemon(server, tmp_path / "run"), "plain", sites=True)
        run.live()
    assert run.ends == [("stop", 0)]
    heard = json.loads(run.sites_of(1).read_text())
    counts = Counter(KINDS[kind] for kind, *_ in heard)
    assert counts == counted(trace, run.daemon.database.parent, run.daemon.socket.parent)
    assert set(counts) == set(KINDS)


@pytest.mark.parametrize("number", [1, 37, 80])
def test_it_fails_the_one_call_that_was_asked_for_over_all_threads(
    server: ForkServer, tmp_path: Path, number: int
) -> None:
    """Four threads write twenty lines each: one line of the eighty is missing, and one error seen."""
    seen = _exercised(server, tmp_path, {"kind": "write", "first": number, "last": number})
    assert seen["errors"] == ["ENOSPC"]
    assert seen["lines"] == 79
    kind, nth, _, path = (tmp_path / "failed").read_text().split()
    assert (kind, int(nth)) == ("write", number)
    assert path.startswith(str(tmp_path / "watched"))


def test_it_fails_a_range_of_calls_and_none_of_other_files(
    server: ForkServer, tmp_path: Path
) -> None:
    seen = _exercised(server, tmp_path, {"kind": "write", "first": 11, "last": 30})
    assert (len(seen["errors"]), seen["lines"], seen["elsewhere"]) == (20, 60, 80)


def _exercised(server: ForkServer, folder: Path, fault: dict[str, Any]) -> dict[str, Any]:
    for name in ("watched", "elsewhere"):
        (folder / name).mkdir()
    child = server.fork(
        call="tests.faults.exercise:write_in_threads",
        **{"with": [str(folder)]},
        log=str(folder / "log"),
        watch=[str(folder / "watched")],
        report=str(folder / "failed"),
        fault={**fault, "error": "ENOSPC"},
    )
    assert child.wait(20) == 0, (folder / "log").read_text()
    seen: dict[str, Any] = json.loads((folder / "seen").read_text())
    return seen
