"""Daemons that are broken on purpose: whoever tests for lost events must find each of them.

Each is the beginning of a program that goes on to run the daemon; none of it is in the product.
"""

from __future__ import annotations

from typing import Final

RUN: Final = "import collector.cli as cli\nraise SystemExit(cli.main())\n"
"""The end of such a program: the command line."""

NORMAL: Final = """
import sqlite3
class Normal(sqlite3.Connection):
    def execute(self, sql, *values):
        return super().execute(sql.replace("synchronous = FULL", "synchronous = NORMAL"), *values)
connect = sqlite3.connect
sqlite3.connect = lambda *values, **named: connect(*values, **{"factory": Normal} | named)
"""
"""Commits that no sync waits for."""

EARLY: Final = """
from collector.intake import Intake
from collector.intake.committing import Committer
from collector.journal.writer import Journal
commit, whole, answer = Journal.commit, Committer.commit, Intake._answer
state = {"recording": False, "held": None}
def later(self):
    if state["recording"]:
        state["held"] = self
    else:
        commit(self)
def recording(self, *arguments):
    state["recording"] = True
    try:
        return whole(self, *arguments)
    finally:
        state["recording"] = False
def answered(self, *arguments):
    answer(self, *arguments)
    held, state["held"] = state["held"], None
    if held is not None:
        commit(held)
Journal.commit, Committer.commit, Intake._answer = later, recording, answered
"""
"""Acknowledgements before the commit."""

NO_CHECKPOINT: Final = """
import sys
import collector.daemon
from collector.journal.writer import Journal
NAMES = "checkpoint_at_start emptied write_again write_all_again write_log_again".split()
def nothing(*_, **__):
    return True
for module in [m for n, m in sys.modules.items() if n.startswith("collector.journal")]:
    for name in NAMES:
        if hasattr(module, name):
            setattr(module, name, nothing)
Journal.checkpoint = nothing
"""
"""After a sync that failed, the log goes on behind the hole."""

MUTANTS: Final = {"normal": NORMAL, "early": EARLY, "no checkpoint": NO_CHECKPOINT}
FOUND_BY: Final = {
    "normal": "small groups",
    "early": "small groups",
    "no checkpoint": "failed sync, restart",
}
"""The run that shows each."""
