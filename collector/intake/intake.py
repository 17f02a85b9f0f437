"""Takes what sources hand in, and commits and answers what is pending, a group at a time."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from collector.core.admission import Admission
from collector.core.control import histogram
from collector.core.decoding import Request
from collector.core.ids import assigned_prefix
from collector.errors import JournalError, JournalFull, Rejected
from collector.event import Draft, Principal, Producer, Receipt
from collector.hub import Hub
from collector.intake.answering import Answers
from collector.intake.committing import Batch, Committer
from collector.intake.failing import Failing, rejection
from collector.intake.submissions import (
    BACKLOG_BYTES,
    Pending,
    ReceiptSink,
    Run,
    Sender,
    Sink,
    default_actor,
    run_of,
    validated,
)
from collector.journal.connection import translated
from collector.journal.versions import Versions
from collector.journal.writer import PAGE, ROWS_A_PAGE, Journal

JSON_SAVED: Final = 140
"""Bytes of an event's JSON that its row does not have, about: names of keys, texts that repeat."""
GATHER_BYTES: Final = 64 * 1024
"""Input that is worth a commit, however many more senders may be about to hand in theirs."""
READ_BYTES: Final = 256 * 1024
"""What a source that reads on may hand in before it is asked to stop again."""
STEP_BACK: Final = 1_000_000
"""Microseconds by which the wall clock must fall behind the last commit to count as set back."""
COMMIT_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
BATCH_EVENTS: Final = (1, 2, 5, 10, 50, 100, 500, 1000, 2000, 5000)
"""Upper bounds of the histograms that `/metrics` shows."""

_INTERNAL: Final = Producer(assurance="internal")


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
        self.hub = hub
        self.counters: Counter[str] = Counter()
        self.draining = False
        self.suspended: JournalFull | None = None
        """Why nothing may be written for now but the daemon's own word on that; None: it may."""
        self.commit_seconds = histogram(*COMMIT_SECONDS)
        self.batch_events = histogram(*BATCH_EVENTS)
        self.last_commit = monotonic()
        """When something was last committed, on the monotonic clock."""
        self.seconds = self.last_took = 0.0
        """Time spent on recording, in all and for the last group: decoding, commit and answers."""
        self.on_commit: Callable[[], None] = lambda: None
        """Called after each commit; the janitor looks whether there is work."""
        self.before_commit: Callable[[], None] = lambda: None
        """Called within each transaction, with all of it written, while a reader holds a snapshot.

        Raises `JournalHeld` where it must not be committed.
        """
        self.failing = Failing(lambda: self._monotonic(), on_failure, self.counters)
        self._committer = Committer(
            journal, admission, versions, self.failing, make_room, lambda: self.before_commit()
        )
        self._answers = Answers(self.counters, lost)
        self._pending = Pending()
        self._waiting_for_room: deque[Callable[[], None]] = deque()
        self._scheduled = False
        self._gathered = 0
        self._now = 0
        self._wall, self._monotonic, self._call_soon = wall, monotonic, call_soon

    @property
    def admission(self) -> Admission:
        """What drafts are held to, from the next group on."""
        return self._committer.admission

    @admission.setter
    def admission(self, admission: Admission) -> None:
        self._committer.admission = admission

    @property
    def versions(self) -> Versions:
        """Which objects are audited, from the next group on."""
        return self._committer.versions

    @versions.setter
    def versions(self, versions: Versions) -> None:
        self._committer.versions = versions

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
        """Whether sources should stop reading until `when_relieved` calls them."""
        return self._pending.backlog > BACKLOG_BYTES

    def when_relieved(self, resume: Callable[[], None]) -> None:
        """Call `resume` once there is room for what its caller may read: who asks first is first."""
        self._waiting_for_room.append(resume)

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
        return self.record_many(
            [draft],
            source=source,
            producer=producer,
            actor=actor,
            devices=devices,
            internal=internal,
            settles=settles,
        )[0]

    def record_many(
        self,
        drafts: Sequence[Draft],
        *,
        source: str,
        producer: Producer | None = None,
        actor: Principal | None = None,
        devices: tuple[dict[str, Any], ...] = (),
        internal: bool = False,
        settles: Callable[[], None] | None = None,
    ) -> list[Receipt]:
        """Admit and commit drafts now, together with whatever is pending; never raises for them."""
        producer = producer or _INTERNAL
        sender = Sender(source, producer, actor or default_actor(source, producer))
        sink = ReceiptSink()
        requests: list[Request] = [validated(draft) for draft in drafts]
        self.flush()
        began = self._monotonic()
        self._commit_group([run_of(requests, sender, sink)], devices, settles, internal=internal)
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
            self.failing.failed(error)
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
        if self._waiting_for_room:
            self._relieve()

    def _relieve(self) -> None:
        """Let as many read on as there is room for: a reply of theirs may never come to tell them."""
        room = BACKLOG_BYTES - self.backlog
        while self._waiting_for_room and room >= 0:
            self._waiting_for_room.popleft()()
            room -= READ_BYTES

    # ── commit and answer ───────────────────────────────────────────────────────────────────────

    def _commit_group(
        self,
        runs: list[Run],
        devices: tuple[dict[str, Any], ...] = (),
        settles: Callable[[], None] | None = None,
        *,
        internal: bool = False,
    ) -> None:
        now = self._now = self._next_moment(int(self._wall() * 1e6))
        began = self._monotonic()
        prefix = assigned_prefix(now, self.journal.tag)
        refusal = self._blocked(internal=internal)
        if refusal is None:
            error = self._committer.commit(Batch(runs, now, devices, settles))
            if error is None:
                self._answer(runs, prefix, began)
                return
            refusal = self.failing.failed(error)
        self._answers.refuse(runs, refusal, prefix)

    def _next_moment(self, wall: int) -> int:
        """The time of recording (µs): never the same twice, and the wall clock's if that steps back."""
        stepped_back = wall < self._now - STEP_BACK
        return wall if stepped_back else max(self._now + 1, wall)

    def _answer(self, runs: list[Run], prefix: str, began: float) -> None:
        """Tell the producers, who wait; then count, and tell whoever else wants to know."""
        committed = self._monotonic()
        self._answers.send(runs, prefix, self._committer.take_warnings())
        first, last = self._answers.count(runs)
        if last:
            self.last_commit = committed
            self.commit_seconds.observe(committed - began)
            self.batch_events.observe(last - first + 1)
            self._publish(first, last)
            self.on_commit()

    def _publish(self, first: int, last: int) -> None:
        """Tell the subscribers. What is committed is answered, even if it cannot be read back."""
        try:
            with translated(self.journal.path):
                self.hub.publish(first, last)
        except JournalError as error:
            self.failing.failed(error)

    def forget(self) -> None:
        """Drop every cached number of the dictionaries: they were cleaned."""
        self._committer.forget()

    # ── a failing disk ──────────────────────────────────────────────────────────────────────────

    def _blocked(self, *, internal: bool = False) -> Rejected | None:
        if self.suspended is not None and not internal:
            return rejection(self.suspended)
        return rejection(self.failing.error) if self.failing.resting else None

    def probe(self) -> None:
        """Try whether a failing disk has recovered, where no producer's commit does."""
        if self.failing.since is None or self.suspended is not None or self.failing.resting:
            return
        try:
            with self.journal.transaction():
                self.journal.set_fact("opened", 1)
        except JournalError as error:
            self.failing.failed(error)
        else:
            self.failing.recovered()

    def trouble(self, error: JournalError) -> None:
        """Somebody else's write failed: leave the disk alone for a while, as after our own."""
        self.failing.failed(error)
