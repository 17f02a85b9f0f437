"""Whether what was set aside as damaged is sound after all: `status` offers it then.

Each file is verified once, by a process of its own at the lowest priority; what was found is kept as a
fact of the journal, for as long as the file stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.daemon.children import output_of
from collector.errors import EXIT_DATA, EXIT_OK, JournalError
from collector.journal.looking import home_environment
from collector.journal.set_aside import quarantined
from collector.journal.writer import Journal

FACT: Final = "quarantined"
FILES_MAX: Final = 8
"""So many of the newest are verified."""
NICE: Final = ("nice", "-n", "19")

_log = logging.getLogger(__name__)


class Verdict(msgspec.Struct):
    """What `verify` found of a file of this size and time of change."""

    bytes: int
    changed_ns: int
    sound: bool


class Quarantined:
    """The files that stand beside a journal, and what is known of each."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._files = quarantined(journal.path)[:FILES_MAX]
        self._verdicts = self._stored()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Verify those of which nothing is known yet."""
        if self._files:
            self._task = asyncio.create_task(self._verify(), name="verifying what was set aside")

    async def stop(self) -> None:
        """Leave the rest for another time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def status(self) -> list[dict[str, Any]]:
        """For each file whether it is sound (None: not known yet), and how to have it back if so."""
        return [self._described(file) for file in self._files if file.exists()]

    def _described(self, file: Path) -> dict[str, Any]:
        verdict = self._verdicts.get(file.name)
        sound = verdict.sound if verdict is not None else None
        told: dict[str, Any] = {"file": str(file), "sound": sound}
        return told | ({"back_with": f"collector restore {file}"} if sound else {})

    # ── finding out ─────────────────────────────────────────────────────────────────────────────

    async def _verify(self) -> None:
        for file in self._files:
            try:
                stat = file.stat()
            except OSError:
                continue
            known = self._verdicts.get(file.name)
            if known and (known.bytes, known.changed_ns) == (stat.st_size, stat.st_mtime_ns):
                continue
            code = await _verified(file)
            if code in (EXIT_OK, EXIT_DATA):
                self._verdicts[file.name] = Verdict(stat.st_size, stat.st_mtime_ns, code == EXIT_OK)
                self._store()
            if code == EXIT_OK:
                _log.warning("%s was set aside as damaged and is sound: `collector restore %s`"
                             " puts it back", file, file)  # fmt: skip

    def _stored(self) -> dict[str, Verdict]:
        try:
            stored = self._journal.fact(FACT)
            known = msgspec.json.decode(stored or "{}", type=dict[str, Verdict])
        except (JournalError, msgspec.MsgspecError):
            return {}
        names = {file.name for file in self._files}
        return {name: verdict for name, verdict in known.items() if name in names}

    def _store(self) -> None:
        try:
            with self._journal.transaction():
                self._journal.set_fact(FACT, msgspec.json.encode(self._verdicts).decode())
        except JournalError as error:
            _log.error("what was found of %s cannot be kept: %s", FACT, error)


async def _verified(file: Path) -> int | None:
    """The exit code of `collector verify` for a file; None where it could not be run."""
    command = (*NICE, sys.executable, "-P", "-m", "collector", "verify", "--db", os.fspath(file))
    done = await output_of(command, home_environment(), stderr=asyncio.subprocess.DEVNULL)
    return None if done is None else done[0]
