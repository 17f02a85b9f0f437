"""Whatever lies in the journal's folder, whatever the disk does: a start comes to what is specified.

The tables in docs/failures.md are the specification, and these tests read them. Each cell is made anew
from the files of one journal, opened as the daemon opens it in a child of the fork server, and then
looked at: what works holds every entry, what is set aside is whole, what fails has touched nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.daemon.harness import until
from tests.disks import fill
from tests.faults.calls import SIGNS_OF_A_BUG
from tests.faults.forking import ForkedDaemon, ForkServer
from tests.faults.matrix import DISKS, Cell, Disk, cells, untouched
from tests.faults.states import NAMES, PARTS, STATES, Sample, make, reading, sample, seqs
from tests.requirements import need, need_root, need_tool

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("start-up matrix")]

SIZE: Final = "32m"
"""Of the file system that is filled and made read-only; a twentieth of it is the reserve."""


class Bench:
    """A folder on a file system of its own, and a fork server to start in."""

    def __init__(self, server: ForkServer, sample: Sample, folder: Path) -> None:
        self.server, self.sample, self.folder = server, sample, folder
        self.disk, self.view = folder / "disk", folder / "view"
        self.state = self.disk / "state"
        self.mounted = False

    def mount(self) -> None:
        """Have a small file system; skips where that is not permitted."""
        need_root()
        mount = need_tool("mount")
        self.disk.mkdir(exist_ok=True)
        self.view.mkdir()
        steps: list[list[str | Path]] = [
            ["-t", "tmpfs", "-o", f"size={SIZE}", "none", self.disk],
            ["--bind", self.disk, self.view],
            ["-o", "remount,bind,ro", self.view],
        ]
        for arguments in steps:
            done = subprocess.run([mount, *arguments], capture_output=True, text=True)
            need(done.returncode == 0, f"may not mount a file system: {done.stderr}")
            self.mounted = True

    def unmount(self) -> None:
        """Leave nothing behind."""
        if self.mounted:
            subprocess.run(["umount", "-l", self.view, self.disk], check=False)

    @contextmanager
    def laid(self, cell: Cell) -> Iterator[None]:
        """The cell's files, and its reader."""
        self.state.mkdir(parents=True)
        states = cell.all_states()
        make(self.state, self.sample, states)
        try:
            with reading(self.state, states["reader"]):
                yield
        finally:
            shutil.rmtree(self.state)

    @contextmanager
    def trouble(self, disk: Disk) -> Iterator[dict[str, Any]]:
        """The disk in its state; what the fork server has to know of it."""
        if disk == "full":
            ballast = fill(self.disk, 0)
            yield {}
            ballast.unlink()
        elif disk == "read-only":
            yield {"state": self.view / "state"}
        elif disk == "read error" and (self.state / NAMES["main"]).exists():
            inode = (self.state / NAMES["main"]).stat().st_ino
            fault = {"kind": "read", "first": 1, "last": 1 << 40, "error": "EIO"}
            yield {"fault": {**fault, "name": f"#{inode}"}, "report": str(self.folder / "failed")}
        else:
            yield {}

    def opened(self, state: Path, **how: Any) -> dict[str, Any]:
        """What a start in this folder comes to now."""
        result = self.folder / "result.json"
        child = self.server.fork(
            call="tests.faults.opening:opened",
            **{"with": [str(state), str(result)]},
            log=str(self.folder / "log"),
            watch=[str(state)],
            ordinary=True,
            **how,
        )
        assert child.wait(30) == 0, (self.folder / "log").read_text()
        found: dict[str, Any] = json.loads(result.read_text())
        return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, server: ForkServer) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("matrix")
    daemon = ForkedDaemon(server, folder / "sample")
    bench = Bench(server, sample(daemon, folder), folder)
    yield bench
    bench.unmount()


def test_the_tables_hold_every_cell_once() -> None:
    """One part of the folder at a time, and all pairs of main file and log, on each disk."""
    written = [(cell.states, cell.disk) for cell in cells()]
    pairs = [(("main", main), ("wal", log)) for main in STATES for log in STATES]
    singles = [((part, state),) for part in PARTS[2:] for state in STATES]
    wanted = {(states, disk) for states in [*pairs, *singles] for disk in DISKS}
    assert len(written) == len(set(written)) <= 300
    assert set(written) == wanted


@pytest.mark.parametrize("disk", DISKS)
def test_each_start_comes_to_what_is_specified(bench: Bench, disk: Disk) -> None:
    if disk in ("full", "read-only") and not bench.mounted:
        bench.mount()
    wrong = [
        f"{cell}: {problem}"
        for cell in cells()
        if cell.disk == disk
        for problem in _problems(bench, cell)
    ]
    assert wrong == [], "\n".join(["", *wrong])


def _problems(bench: Bench, cell: Cell) -> list[str]:
    """What is wrong with one cell."""
    with bench.laid(cell):
        readable = _readable(cell)
        before = untouched(bench.state)
        held = seqs(bench.state, bench.folder / "copy") if readable else set()
        with bench.trouble(cell.disk) as how:
            found = bench.opened(**{"state": bench.state, **how})
        after = list(_after(bench, found, before, held if readable else None))
        if found["result"] not in cell.results:
            wanted = " or ".join(sorted(cell.results))
            after.insert(0, f"{found['result']}, not {wanted}: {found['said']}")
        return after


def _readable(cell: Cell) -> bool:
    """Whether what the folder holds can be told by SQLite, from a copy."""
    states = cell.all_states()
    return states["main"] == "whole" and states["wal"] != "unreadable"


def _after(
    bench: Bench,
    found: dict[str, Any],
    before: dict[str, Any],
    held: set[int] | None,
) -> Iterator[str]:
    result = found["result"]
    if result == "works":
        if held is not None and set(found["seqs"]) != held:
            yield f"{len(found['seqs'])} entries of {len(held)}"
    elif result in ("first", "aside"):
        if found["seqs"]:
            yield "a new journal that is not empty"
        if result == "aside" and not _kept(before, Path(found["aside"])):
            yield f"{found['aside']} is not what lay there"
    elif result in ("65", "73", "77"):
        if untouched(bench.state) != before:
            yield f"{result}, and yet something was touched"
    elif held is not None and seqs(bench.state, bench.folder / "copy") != held:
        yield f"{result}, and entries are gone"
    if result.isdigit() and "/state" not in found["said"]:
        yield f"says no path: {found['said']}"


def _kept(before: dict[str, Any], aside: Path) -> bool:
    """Whether the very files that lay there stand under their new names, main file and log together."""
    return all(
        (new := aside.with_name(name.replace(NAMES["main"], aside.name))).exists()
        and new.stat().st_ino == inode
        and new.read_bytes() == content
        for name, (inode, content) in before.items()
        if name in (NAMES["main"], NAMES["wal"]) and content
    )


# ── by the daemon itself ────────────────────────────────────────────────────────────────────────

BY_DAEMON: Final = (
    "main absent, wal absent; room",
    "main absent, wal absent; full",
    "main absent, wal whole; room",
    "main empty, wal absent; room",
    "main empty, wal whole; room",
    "main cut, wal whole; room",
    "main whole, wal absent; room",
    "main whole, wal empty; room",
    "main whole, wal cut; room",
    "main whole, wal whole; room",
    "main whole, wal whole; full",
    "main whole, wal whole; read error",
    "main whole, wal whole; read-only",
    "main unreadable, wal whole; room",
    "main foreign, wal absent; room",
    "shm foreign; room",
    "marker whole; room",
    "reserve absent; full",
    "aside whole; room",
    "reader whole; room",
    "reader foreign; room",
)
"""Cells that are also started on by `collector run` as a whole."""


def test_the_daemon_comes_to_the_same(bench: Bench) -> None:
    if not bench.mounted:
        bench.mount()
    named = {str(cell): cell for cell in cells()}
    wrong = [
        f"{name}: {problem}" for name in BY_DAEMON for problem in _by_daemon(bench, named[name])
    ]
    assert wrong == [], "\n".join(["", *wrong])


def _by_daemon(bench: Bench, cell: Cell) -> list[str]:
    """What is wrong with the start, or the exit code, of a daemon in a cell."""
    with bench.laid(cell):
        held = seqs(bench.state, bench.folder / "copy") if _readable(cell) else set()
        with bench.trouble(cell.disk) as how:
            state = how.pop("state", bench.state)
            daemon = ForkedDaemon(bench.server, bench.folder / "daemon", state=state)
            daemon.log.write_text("")
            result = _run(daemon, cell, how)
        wrong = [] if result in cell.results else [f"{result}: {daemon.said()[-500:]}"]
        wrong += [f"{sign} on stderr" for sign in SIGNS_OF_A_BUG if sign in daemon.said()]
        if result == "works" and not held <= seqs(bench.state):
            wrong.append("entries are gone")
        return wrong


def _run(daemon: ForkedDaemon, cell: Cell, how: dict[str, Any]) -> str:
    """The exit code of a daemon that does not come up; of one that does, what it found."""
    daemon.spawn(ordinary=True, **how)
    child = daemon.process
    assert child is not None
    until(lambda: child.poll() is not None or _answers(daemon), daemon.said)
    code = child.poll()
    if code is not None:
        return str(code)
    with daemon.line() as line:
        answer = line.ask({"action": "cell.started"})
    os.kill(child.pid, signal.SIGTERM)
    assert child.wait(30) == 0, daemon.said()
    assert answer["ok"], answer
    started = daemon.entries("collector.started")[-1]["metadata"]
    if daemon.entries("storage.quarantined"):
        return "aside"
    return "first" if started["previous"] == "first" else "works"


def _answers(daemon: ForkedDaemon) -> bool:
    """Whether it is up; unlike the harness's own, of one that may end at any moment."""
    try:
        with daemon.line() as line:
            return bool(line.ask({"op": "ping"})["ok"])
    except (OSError, EOFError):
        return False
