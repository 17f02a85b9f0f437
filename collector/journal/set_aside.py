"""Journals that a quarantine has set aside, beside the one in use."""

from __future__ import annotations

import glob
from pathlib import Path

from collector.journal.files import PARTS


def quarantined(path: Path) -> list[Path]:
    """The journals that were set aside as damaged, the newest first."""
    found = path.parent.glob(f"{glob.escape(path.name)}.corrupt-*")
    ends = tuple(end for end in PARTS if end)
    return sorted((file for file in found if not file.name.endswith(ends)), reverse=True)
