"""What a start records of moves of the journal's files: quarantine and restore."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from collector.event import Draft
from collector.journal import succession
from collector.journal.intents import Intent


def report(intent: Intent, journal: Path) -> Draft:
    """The entry about a move of files beside `journal`; its id keeps it from being recorded twice."""
    quarantined = intent.operation == "quarantine"
    metadata: dict[str, Any] = {"file": intent.aside}
    if quarantined and intent.aside is not None:
        metadata["journal_id"] = succession.journal_id(journal.with_name(intent.aside))
    if intent.source is not None:
        metadata["from"] = intent.source
    if intent.interrupted:
        metadata["interrupted"] = True
    if intent.undone:
        metadata["undone"] = True
    return Draft(
        id=intent.id,
        action="storage.quarantined" if quarantined else "storage.restored",
        outcome="failure" if intent.undone else "success",
        severity="error" if quarantined else "warning" if intent.undone else "info",
        occurred_at=dt.datetime.fromtimestamp(intent.at, dt.UTC),
        object_type="journal",
        metadata=metadata | intent.facts,
    )
