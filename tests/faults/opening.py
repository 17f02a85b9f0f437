"""A start without a daemon around it, in a child of the fork server: what opening comes to."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

from collector.daemon.opening import open_journal
from collector.errors import CollectorError

PATIENCE: Final = 0.2
"""Seconds that a start waits for readers here; the daemon's own five would only take longer."""


def opened(folder: str, result: str) -> int:
    """Open the journal in `folder` as the daemon does, and write down what came of it."""
    try:
        found = _opened(Path(folder) / "events.db")
    except CollectorError as error:
        found = {"result": str(error.exit_code), "said": str(error)}
    except Exception as error:
        found = {"result": f"raises {type(error).__name__}", "said": str(error)}
    Path(result).write_text(json.dumps(found))
    return 0


def _opened(path: Path) -> dict[str, Any]:
    journal = open_journal(path, "quarantine", now=time.time, patience=PATIENCE)
    try:
        seqs = [seq for (seq,) in journal.journal.connection.execute("SELECT seq FROM log")]
        new, intent = journal.journal.new, journal.intent
    finally:
        journal.journal.close()
        journal.lock.release()
    aside = None if intent is None else str(path.with_name(intent.aside or ""))
    result = "aside" if aside is not None else "first" if new else "works"
    return {"result": result, "seqs": seqs, "aside": aside, "said": ""}
