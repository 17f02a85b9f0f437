"""A run whose call fails by strace's hand: a real daemon, started as anybody starts one."""

from __future__ import annotations

from pathlib import Path

from tests.daemon.harness import RunningDaemon
from tests.faults.run import AUDITED, Fault, Outcome, Run


class StracedRun(Run):
    """The same lives, the same script and the same judgement."""

    def __init__(self, folder: Path, prefix: list[str]) -> None:
        super().__init__(RunningDaemon(folder, retention=AUDITED), "plain")
        self._prefix = prefix

    def _spawn(self, fault: Fault | None) -> None:
        self.daemon.spawn(prefix=self._prefix if self._life == 1 else [])
        assert self.daemon.process is not None
        self._child = self.daemon.process


def straced(strace: str, folder: Path, call: str, number: int, error: str) -> Outcome:
    """A run in whose first life strace fails one call, the how many-th of a thread."""
    folder.mkdir(parents=True)
    trace = folder / "trace"
    # -D: the daemon is our child, not strace's.
    options = ["-D", "-f", "-qq", "-y", "-o", str(trace)]
    options += ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}"]
    run = StracedRun(folder, [strace, *options])
    for _ in range(3):
        run.live()
    lines = [line for line in trace.read_text().splitlines() if "(INJECTED)" in line]
    (folder / "failed").write_text(f"{call} {number} {error} {lines[0]}" if lines else "")
    return run.judged()
