"""A running daemon tells who holds a snapshot of its journal: in journal and status, and on stderr."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

from collector.journal.holders import holders
from tests.daemon.harness import RunningDaemon, entries, until
from tests.journal.readers import held_elsewhere

Make = Callable[..., RunningDaemon]
QUICK = (
    "import collector.journal.held as h, collector.janitor.schedule as j, collector.cli as cli\n"
    "h.HELD_AFTER = 0.5; j.LOOK_EVERY = 0.2\nraise SystemExit(cli.main())"
)
"""The daemon as it is, but a reader has stayed after half a second, and not after ten."""


def test_a_reader_that_stays_is_named_everywhere_and_so_is_its_end(make: Make) -> None:
    daemon = make().start(script=QUICK)
    with daemon.line() as line, held_elsewhere(daemon.database) as pid:
        assert line.ask({"action": "note.added"})["ok"]
        until(lambda: daemon.status()["journal"]["held"], daemon.said)
        until(lambda: entries(daemon.database, "journal.held"), daemon.said)
        (held,) = entries(daemon.database, "journal.held")
        assert held["metadata"]["pid"] == pid
        assert held["metadata"]["seconds"] >= 0.5
        by = daemon.status()["journal"]["held"]["by"]
        assert by == f"pid {pid} ({held['metadata']['comm']})"
        assert daemon.status()["state"] == "recording"
        shown = subprocess.run(
            [sys.executable, "-m", "collector", "status", "--socket", str(daemon.socket)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert f"    by: {by}\n" in shown
        assert f"- pid: {pid}, comm:" in shown
        assert f"{by} holds an old snapshot of the journal" in daemon.said()
    until(lambda: entries(daemon.database, "journal.released"), daemon.said)
    assert daemon.status()["journal"]["held"] is None
    assert daemon.stop() == 0
    assert len(daemon.entries("journal.held")) == len(daemon.entries("journal.released")) == 1


def test_one_of_our_own_verbs_is_named_by_its_verb(make: Make) -> None:
    daemon = make().start(script=QUICK)
    with daemon.line() as line:
        for _ in range(12):
            line.send(*[{"action": "note.added", "message": str(n)} for n in range(1000)])
            line.replies(1000)
        command = [sys.executable, "-m", "collector", "verify", "--db", str(daemon.database)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as verify:
            until(lambda: any(h.pid == verify.pid for h in holders(daemon.database)))
            os.kill(verify.pid, signal.SIGSTOP)
            assert any(h.pid == verify.pid for h in holders(daemon.database))
            assert line.ask({"action": "note.added"})["ok"]
            until(lambda: daemon.status()["journal"]["held"], daemon.said)
            assert (
                daemon.status()["journal"]["held"]["by"] == f"pid {verify.pid} (collector verify)"
            )
            os.kill(verify.pid, signal.SIGCONT)
            assert verify.wait() == 0
    until(lambda: entries(daemon.database, "journal.released"), daemon.said)
    assert daemon.stop() == 0
    assert daemon.entries("journal.held")[0]["metadata"]["verb"] == "verify"
