"""Commits what is pending, a group at a time, and answers it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from collector.core.admission import Admission, Admitted, Origin
from collector.core.control import histogram
from collector.core.decoding import Request
from collector.core.ids import assigned_prefix
from collector.core.protocol import Answer, receipts, replies
from collector.errors import JournalError, JournalFull, Rejected
from collector.event import Draft, Principal, Producer, Receipt
from collector.hub import Hub
from collector.intake.failing import Failing, rejection
from collector.intake.submissions import (
    BACKLOG_BYTES,
    Pending,
    ReceiptSink,
    Run,
    Sender,
    Sink,
    default_actor,
    parsed_ids,
    run_of,
    validated,
)
from collector.journal.connection import RowRefused, translated
from collector.journal.versions import Versions
from collector.journal.writer import PAGE, ROWS_A_PAGE, Journal

JSON_SAVED: Final = 140
"""Bytes of an event's JSON that its row does not have, about: names of keys, texts that repeat."""
GATHER_BYTES: Final = 64 * 1024
"""Input that is worth a commit, however many more senders may be about to hand in theirs."""
STEP_BACK: Final = 1_000_000
"""Microseconds by which the wall clock must fall behind the last commit to count as set back."""
COMMIT_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
BATCH_EVENTS: Final = (1, 2, 5, 10, 50, 100, 500, 1000, 2000, 5000)
"""Upper bounds of the histograms that `/metrics` shows."""

_SPARE: Final = 1 << 48
"""Below this are the seqs in the ids of events that never had one: no journal grows up to there."""
_INTERNAL: Final = Producer(assurance="internal")
_log = logging.getLogger(__name__)


class Intake:
    """Implements `core.control.Recorder`. All methods are for the event loop's thread."""

    def __init__(
        self,
        journal: Journal,
        admission: Admission,
        versions: Versions,
        hub: Hub,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        call_soon: Callable[[Callable[[], None]], object],
        make_room: Callable[[JournalError], bool] = lambda error: False,
        on_failure: Callable[[JournalError], None] = lambda error: None,
        lost: Callable[[str, int], None] = lambda cause, count: None,
    ) -> None:
        self.journal = journal
        self.admission = admission
        self.versions = versions
        self.hub = hub
        self.counters: Counter[str] = Counter()
        self.draining = False
        self.suspended = False
        """The disk is full and `on_full` is `suspend`: only the daemon's own word on it gets in."""
        self.commit_seconds = histogram(*COMMIT_SECONDS)
        self.batch_events = histogram(*BATCH_EVENTS)
        self.last_commit = monotonic()
        """When something was last committed, on the monotonic clock."""
        self.seconds = self.last_took = 0.0
        """Time spent on recording, in all and for the last group: decoding, commit and answers."""
        self.on_commit: Callable[[], None] = lambda: None
        """Called after each commit; the janitor looks whether there is work."""
        self.failing = Failing(lambda: self._monotonic(), on_failure)
        self._pending = Pending()
        self._settles: Callable[[], None] | None = None
        self._scheduled = False
        self._gathered = 0
        self._epoch = 0
        self._now = 0
        self._began = 0.0
        self._wall, self._monotonic, self._call_soon = wall, monotonic, call_soon
        self._make_room, self._lost = make_room, lost
        self._warnings: dict[int, list[str]] = {}
        """What producers should hear about the events of the group under way, by seq."""

    # ── for sources ─────────────────────────────────────────────────────────────────────────────

    def submit(self, content: bytes | list[Request], sender: Sender, sink: Sink) -> None:
        """Take a chunk of whole lines, or decoded requests; answers come to `sink` after the commit."""
        self._pending.add(content, sender, sink)
        self._schedule()

    @property
    def backlog(self) -> int:
        """Bytes of lines that wait for their commit."""
        return self._pending.backlog

    @property
    def congested(self) -> bool:
        """Whether sources should stop reading until their next reply."""
        return self._pending.backlog > BACKLOG_BYTES

    def record(
        self,
        draft: Draft,
        *,
        source: str,
        producer: Producer | None = None,
        devices: tuple[dict[str, Any], ...] = (),
        actor: Principal | None = None,
        internal: bool = False,
        settles: Callable[[], None] | None = None,
    ) -> Receipt:
        """See `core.control.Recorder.record`; `internal` gets in while recording is suspended.

        `settles` writes what becomes true with the entry, in the same transaction.
        """
        suspended, self.suspended = self.suspended, self.suspended and not internal
        self._settles = settles
        try:
            return self.record_many(
                [draft], source=source, producer=producer, actor=actor, devices=devices
            )[0]
        finally:
            self.suspended = suspended
            self._settles = None

    def record_many(
        self,
        drafts: Sequence[Draft],
        *,
        source: str,
        producer: Producer | None = None,
        actor: Principal | None = None,
        devices: tuple[dict[str, Any], ...] = (),
    ) -> list[Receipt]:
        """Admit and commit drafts now, together with whatever is pending; never raises for them."""
        producer = producer or _INTERNAL
        sender = Sender(source, producer, actor or default_actor(source, producer))
        sink = ReceiptSink()
        requests: list[Request] = [validated(draft) for draft in drafts]
        settles, self._settles = self._settles, None
        self.flush()
        self._settles = settles
        began = self._monotonic()
        self._commit_group([run_of(requests, sender, sink)], devices)
        self._took(began)
        return sink.receipts

    def save_devices(self, devices: tuple[dict[str, Any], ...]) -> bool:
        """See `core.control.Recorder.save_devices`."""
        if self._blocked() is not None:
            return False
        try:
            with self.journal.transaction():
                self.journal.put_devices(devices)
        except JournalError as error:
            self._failed(error)
            return False
        return True

    # ── flush ───────────────────────────────────────────────────────────────────────────────────

    def flush(self) -> None:
        """Commit and answer everything that is pending now."""
        while self._pending:
            self._flush_group()

    def turned(self) -> bool:
        """A source has handed in what it heard at once: commit it, or ask the source to look again.

        That is sooner than the next turn of the loop, and so is what comes meanwhile.
        """
        if self._gathers():
            return True
        if self._pending:
            self._flush_group()  # what this leaves is committed in the next turn, as ever
        return False

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        if self._gathers():
            self._call_soon(self._turn)
            return
        self._scheduled = False
        if self._pending:
            self._flush_group()
        if self._pending:
            self._schedule()

    def _gathers(self) -> bool:
        """Whether to look for more before committing: while more and more senders hand in a little.

        They wait for one sync together then. A look takes microseconds, a sync hundreds of them.
        """
        waiting = len(self._pending)
        more = waiting > 1 and waiting > self._gathered and self.backlog < GATHER_BYTES
        self._gathered = waiting if more else 0
        return more

    def _took(self, began: float) -> None:
        self.last_took = self._monotonic() - began
        self.seconds += self.last_took

    def _flush_group(self) -> None:
        began = self._monotonic()
        group = self._pending.take()
        if group.runs:
            self._commit_group(group.runs)
            pages = (group.size - JSON_SAVED * group.events) / PAGE
            self.journal.frames += max(0.0, pages - group.events / ROWS_A_PAGE)
        self._took(began)
        for command in group.commands:
            command()

    # ── commit ──────────────────────────────────────────────────────────────────────────────────

    def _commit_group(self, runs: list[Run], devices: tuple[dict[str, Any], ...] = ()) -> None:
        self._now = self._next_moment(int(self._wall() * 1e6))
        self._began = self._monotonic()
        prefix = assigned_prefix(self._now, self.journal.tag)
        error: JournalError | Rejected | None = self._blocked()
        if error is None:
            try:
                if self.failing.since is not None:
                    self.journal.checkpoint()
                self._commit(runs, devices)
            except JournalError as broken:
                error = broken
                if self._make_room(broken):
                    error = self._commit_again(runs, devices, prefix)
            except Exception as broken:
                error = self._commit_singly(runs, devices, prefix, broken)
        if error is not None:
            self._refuse(runs, error, prefix)
            return
        self._answer(runs, prefix)

    def _next_moment(self, wall: int) -> int:
        """The time of recording (µs): never the same twice, and the wall clock's if that steps back."""
        stepped_back = wall < self._now - STEP_BACK
        return wall if stepped_back else max(self._now + 1, wall)

    def _commit(self, runs: list[Run], devices: tuple[dict[str, Any], ...]) -> None:
        journal = self.journal
        seq = journal.last_seq + 1
        parsed = parsed_ids(runs)
        with translated(journal.path):
            known = journal.known_ids(parsed.values()) if parsed else {}
        journal.begin()
        try:
            with translated(journal.path):
                admitted = self._append(runs, devices, seq, known, parsed)
            if admitted.end > seq or devices:
                journal.commit()
            else:
                self._roll_back()  # nothing but repeats: the dictionaries keep no trace either
        except BaseException:
            self._roll_back()
            raise
        journal.committed(admitted.end - 1, admitted.ids)
        self._warnings |= self.versions.take_warnings()
        self.failing.recovered()

    def _append(
        self,
        runs: list[Run],
        devices: tuple[dict[str, Any], ...],
        seq: int,
        known: dict[bytes, int],
        parsed: dict[str, bytes],
    ) -> Admitted:
        """Admit and insert every run, from `seq` on."""
        journal = self.journal
        admitted = self.admission.admit(
            [(run.drafts, self._origin(run.sender), run.checked) for run in runs],
            seq=seq,
            now=self._now,
            known=known,
            parsed=parsed,
        )
        if admitted.rows:
            journal.insert(admitted.rows)
        if admitted.records:
            self.versions.add(admitted.records)
        if devices:
            journal.put_devices(devices)
        if self._settles is not None:
            self._settles()
        at = 0
        for run in runs:
            run.answers = admitted.answers[at : at + len(run.drafts)]
            at += len(run.drafts)
        return admitted

    def _commit_again(
        self, runs: list[Run], devices: tuple[dict[str, Any], ...], prefix: str
    ) -> JournalError | None:
        try:
            self._commit(runs, devices)
        except JournalError as error:
            return error
        except Exception as broken:
            return self._commit_singly(runs, devices, prefix, broken)
        return None

    def _commit_singly(
        self,
        runs: list[Run],
        devices: tuple[dict[str, Any], ...],
        prefix: str,
        why: Exception,
    ) -> JournalError | None:
        """Find the events that the database, or a fault of ours, refuses; they fail alone.

        Once something is committed a failing disk is an answer to the rest only.
        """
        if not isinstance(why, RowRefused):
            _log.error("a batch fails; its events are tried one by one", exc_info=why)
        error: JournalError | None = None
        done = 0
        for run in runs:
            run.answers = []
            for index, draft in enumerate(run.drafts):
                single = Run([draft], run.sender, run.sink, run.checked, {})
                if error is None:
                    error = self._commit_one(single, devices)
                    if error is not None and not done:
                        return error
                    devices = ()
                    done += 1
                if error is not None:
                    single = self._too_late(single, error, f"{prefix}{_SPARE - done:012x}")
                    done += 1
                run.drafts[index] = single.drafts[0]
                run.answers += single.answers
        if error is not None:
            self._failed(error)
        return None

    def _commit_one(self, single: Run, devices: tuple[dict[str, Any], ...]) -> JournalError | None:
        try:
            self._commit([single], devices)
        except JournalError as error:
            return error
        except Exception as refused:
            reason = Rejected("failed", f"the database refuses it: {refused}")
            single.answers = [reason]
        return None

    def _too_late(self, single: Run, error: JournalError, id_: str) -> Run:
        """An event that the disk failed after others of its batch were stored."""
        if not single.drafts[0].id:
            single.drafts[0] = msgspec.structs.replace(single.drafts[0], id=id_)
        single.answers = [rejection(error)]
        return single

    def _origin(self, sender: Sender) -> Origin:
        if sender.origin is None or sender.epoch != self._epoch:
            books = self.journal.books
            sender.origin = Origin(
                sender.source,
                books.producer(sender.producer),
                sender.producer.pid or 0,
                books.principal(sender.actor),
            )
            sender.epoch = self._epoch
        return sender.origin

    def _roll_back(self) -> None:
        self.journal.rollback()
        self.versions.take_warnings()
        self.forget()

    def forget(self) -> None:
        """Drop every cached number of the dictionaries: they were rolled back or cleaned."""
        self.admission.forget()
        self.journal.books.forget()
        self._epoch += 1

    # ── answers ─────────────────────────────────────────────────────────────────────────────────

    def _answer(self, runs: list[Run], prefix: str) -> None:
        """Tell the producers, who wait; then count, and tell whoever else wants to know."""
        committed = self._monotonic()
        warnings, self._warnings = self._warnings, {}
        for run in runs:
            self._send(run, run.answers, prefix, warnings)
        first = last = 0
        for run in runs:
            stored = [answer for answer in run.answers if type(answer) is int]
            if stored:
                first, last = first or stored[0], stored[-1]
                self.counters[run.sender.counter] += len(stored)
            if len(stored) != len(run.drafts):
                self._count_others(run.answers)
        if last:
            self.last_commit = committed
            self.commit_seconds.observe(self.last_commit - self._began)
            self.batch_events.observe(last - first + 1)
            self._publish(first, last)
            self.on_commit()

    def _publish(self, first: int, last: int) -> None:
        """Tell the subscribers. What is committed is answered, even if it cannot be read back."""
        try:
            with translated(self.journal.path):
                self.hub.publish(first, last)
        except JournalError as error:
            self._failed(error)

    def _send(
        self,
        run: Run,
        answers: Sequence[Answer],
        prefix: str,
        warnings: Mapping[int, list[str]],
    ) -> None:
        sink = run.sink
        drafts = run.drafts
        if run.refused:
            answers, drafts = run.woven(answers)
            for error in run.refused.values():
                self.counters[f"rejected.{error.code}"] += 1
        if isinstance(sink, ReceiptSink):
            sink.take(receipts(answers, drafts, prefix, warnings))
        else:
            sink.reply(replies(answers, drafts, prefix, warnings))

    def _count_others(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if isinstance(answer, tuple):
                self.counters["duplicates"] += 1
            elif isinstance(answer, Rejected):
                self.counters[f"rejected.{answer.code}"] += 1

    def _refuse(self, runs: list[Run], error: JournalError | Rejected, prefix: str) -> None:
        """Answer a group that could not be committed; each reply carries the id to send again with."""
        refusal = error if isinstance(error, Rejected) else self._failed(error)
        spare = _SPARE
        for run in runs:
            self.counters[f"rejected.{refusal.code}"] += len(run.drafts)
            if run.sender.source != "collector" and run.drafts:
                self._lost(refusal.code, len(run.drafts))
            for index, draft in enumerate(run.drafts):
                if not draft.id:
                    seq = run.answers[index] if index < len(run.answers) else None
                    if not isinstance(seq, int):
                        seq = spare = spare - 1
                    run.drafts[index] = msgspec.structs.replace(draft, id=f"{prefix}{seq:012x}")
            self._send(run, [refusal] * len(run.drafts), prefix, {})

    # ── a failing disk ──────────────────────────────────────────────────────────────────────────

    def _blocked(self) -> Rejected | None:
        if self.suspended:
            return rejection(JournalFull(""))
        return rejection(self.failing.error) if self.failing.resting else None

    def _failed(self, error: JournalError) -> Rejected:
        self.counters["commit_failures"] += 1
        return self.failing.failed(error)

    def probe(self) -> None:
        """Try whether a failing disk has recovered, where no producer's commit does."""
        if self.failing.since is None or self.suspended or self.failing.resting:
            return
        try:
            self.journal.checkpoint()
            with self.journal.transaction():
                self.journal.set_fact("opened", 1)
        except JournalError as error:
            self._failed(error)
        else:
            self.failing.recovered()

    def trouble(self, error: JournalError) -> None:
        """Somebody else's write failed: leave the disk alone for a while, as after our own."""
        self._failed(error)
