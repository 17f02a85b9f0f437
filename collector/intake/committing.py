"""One group, one transaction; where that fails, whose fault it is: the disk's, or single events'."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from collector.core.admission import Admission, Admitted, Origin
from collector.core.ids import assigned_prefix
from collector.errors import JournalError, Rejected
from collector.intake.failing import SPARE, Failing, named, rejection
from collector.intake.submissions import Run, Sender, parsed_ids
from collector.journal.connection import RowRefused, translated
from collector.journal.versions import Versions
from collector.journal.writer import Journal

_log = logging.getLogger(__name__)


class Batch(msgspec.Struct, eq=False):
    """Runs to commit together, the time of recording that they bear (µs), and what goes with them."""

    runs: list[Run]
    now: int
    devices: tuple[dict[str, Any], ...] = ()
    settles: Callable[[], None] | None = None
    """Writes what becomes true with the entries, in the same transaction."""


class Committer:
    """Admits and stores batches, and gives every run of theirs its answers."""

    def __init__(
        self,
        journal: Journal,
        admission: Admission,
        versions: Versions,
        failing: Failing,
        make_room: Callable[[JournalError], bool],
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self.admission, self.versions = admission, versions
        """The rules of the configuration; a reload brings others, between two batches."""
        self._journal, self._failing, self._make_room = journal, failing, make_room
        self._before_commit = before_commit
        self._epoch = 0
        self._warnings: dict[int, list[str]] = {}

    def commit(self, batch: Batch) -> JournalError | None:
        """Store a batch, event by event if need be. An error is the disk's, and nothing is stored."""
        try:
            self._commit(batch)
        except JournalError as error:
            return self._commit_again(batch) if self._make_room(error) else error
        except Exception as broken:
            return self._commit_singly(batch, broken)
        return None

    def take_warnings(self) -> dict[int, list[str]]:
        """What producers should hear about the events that were stored, by seq; asked for once."""
        warnings, self._warnings = self._warnings, {}
        return warnings

    def forget(self) -> None:
        """Drop every cached number of the dictionaries: they were rolled back or cleaned."""
        self.admission.forget()
        self._journal.books.forget()
        self._epoch += 1

    # ── the transaction ─────────────────────────────────────────────────────────────────────────

    def _commit(self, batch: Batch) -> None:
        journal = self._journal
        seq = journal.last_seq + 1
        parsed = parsed_ids(batch.runs)
        with translated(journal.path):
            known = journal.ids.stored(parsed.values()) if parsed else {}
        journal.begin()
        try:
            with translated(journal.path):
                admitted = self._append(batch, seq, known, parsed)
            if admitted.end > seq or batch.devices:
                if journal.held.since is not None:
                    self._before_commit()
                journal.commit()
            else:
                self._roll_back()  # nothing but repeats: the dictionaries keep no trace either
        except BaseException:
            self._roll_back()
            raise
        journal.committed(admitted.end - 1, admitted.ids)
        self._warnings |= self.versions.take_warnings()
        self._failing.recovered()

    def _append(
        self, batch: Batch, seq: int, known: dict[bytes, int], parsed: dict[str, bytes]
    ) -> Admitted:
        """Admit and insert every run, from `seq` on."""
        journal, runs = self._journal, batch.runs
        admitted = self.admission.admit(
            [(run.drafts, self._origin(run.sender), run.checked) for run in runs],
            seq=seq,
            now=batch.now,
            known=known,
            parsed=parsed,
        )
        if admitted.rows:
            journal.insert(admitted.rows)
        if admitted.records:
            self.versions.add(admitted.records)
        if batch.devices:
            journal.put_devices(batch.devices)
        if batch.settles is not None:
            batch.settles()
        at = 0
        for run in runs:
            run.answers = admitted.answers[at : at + len(run.drafts)]
            at += len(run.drafts)
        return admitted

    def _origin(self, sender: Sender) -> Origin:
        if sender.origin is None or sender.epoch != self._epoch:
            books = self._journal.books
            sender.origin = Origin(
                sender.source,
                books.producer(sender.producer),
                sender.producer.pid or 0,
                books.principal(sender.actor),
            )
            sender.epoch = self._epoch
        return sender.origin

    def _roll_back(self) -> None:
        self._journal.rollback()
        self.versions.take_warnings()
        self.forget()

    # ── where it fails ──────────────────────────────────────────────────────────────────────────

    def _commit_again(self, batch: Batch) -> JournalError | None:
        """The second and last try, after room was made."""
        try:
            self._commit(batch)
        except JournalError as error:
            return error
        except Exception as broken:
            return self._commit_singly(batch, broken)
        return None

    def _commit_singly(self, batch: Batch, why: Exception) -> JournalError | None:
        """Find the events that the database, or a fault of ours, refuses; they fail alone.

        Once something is committed a failing disk is an answer to the rest only.
        """
        if not isinstance(why, RowRefused):
            _log.error("a batch fails; its events are tried one by one", exc_info=why)
        prefix = assigned_prefix(batch.now, self._journal.tag)
        devices = batch.devices
        error: JournalError | None = None
        done = 0
        for run in batch.runs:
            run.answers = []
            for index, draft in enumerate(run.drafts):
                single = Run([draft], run.sender, run.sink, run.checked, {})
                if error is None:
                    error = self._commit_one(Batch([single], batch.now, devices, batch.settles))
                    if error is not None and not done:
                        return error
                    devices = ()
                    done += 1
                if error is not None:  # the disk failed after others of the batch were stored
                    run.drafts[index] = named(draft, prefix, SPARE - done)
                    single.answers = [rejection(error)]
                    done += 1
                run.answers += single.answers
        if error is not None:
            self._failing.failed(error)
        return None

    def _commit_one(self, batch: Batch) -> JournalError | None:
        try:
            self._commit(batch)
        except JournalError as error:
            return error
        except Exception as refused:
            reason = Rejected("failed", f"the database refuses it: {refused}")
            batch.runs[0].answers = [reason]
        return None
