"""The one way in. What arrives in one turn of the loop is admitted and committed together.

Sources hand in chunks of lines (or drafts) with a `Sink` for the replies; the first submission of a
turn schedules one flush, which runs after every other callback of that turn. A flush takes what is
pending in groups of at most 5,000 events or 4 MiB, commits each group in one transaction, and only
then answers. Between the commit and the publication to subscribers nothing is awaited.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import msgspec

from collector.core.admission import Admission, Admitted, Origin
from collector.core.control import histogram
from collector.core.decoding import Request, decode_chunk, decode_lines
from collector.core.ids import assigned_prefix, parse_id
from collector.core.protocol import Answer, receipts, replies
from collector.errors import InvalidEvent, JournalCorrupt, JournalError, JournalFull, Rejected
from collector.event import Draft, Principal, Producer, Receipt
from collector.hub import Hub
from collector.journal.connection import RowRefused, translated
from collector.journal.versions import Versions
from collector.journal.writer import PAGE, ROWS_A_PAGE, Journal

GROUP_EVENTS: Final = 5_000
GROUP_BYTES: Final = 4 * 1024 * 1024
"""One commit holds at most this much, so that an acknowledgement never waits for an endless batch."""
JSON_SAVED: Final = 140
"""Bytes of an event's JSON that its row does not have, about: names of keys, texts that repeat."""
BACKLOG_BYTES: Final = 4 * 1024 * 1024
"""Past this much unflushed input, sources stop reading until they are answered."""
STEP_BACK: Final = 1_000_000
"""Microseconds by which the wall clock must fall behind the last commit to count as set back."""
COMMIT_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
BATCH_EVENTS: Final = (1, 2, 5, 10, 50, 100, 500, 1000, 2000, 5000)
"""Upper bounds of the histograms that `/metrics` shows."""
RETRY_FIRST, RETRY_MOST = 0.1, 5.0
"""Seconds for which a failed disk is left alone before the next commit is tried, doubled each time."""
GIVE_UP_AFTER: Final = 60.0
"""Seconds of failing commits after which the daemon ends with exit code 74."""

_SPARE: Final = 1 << 48
"""Below this are the seqs in the ids of events that never had one: no journal grows up to there."""
_INTERNAL: Final = Producer(assurance="internal")
_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where the replies to a submission go, in the order of its requests."""

    def reply(self, lines: bytes) -> None:
        """Reply lines for events that were stored or refused."""

    def command(self, command: dict[str, Any], rest: list[Request]) -> None:
        """A command was met; what came before it is answered, `rest` is the sink's to submit again."""


class ReceiptSink:
    """Takes receipts instead of lines, for callers inside the process."""

    def __init__(self, take: Callable[[list[Receipt]], None] | None = None) -> None:
        self.receipts: list[Receipt] = []
        self.take = take or self.receipts.extend

    def reply(self, lines: bytes) -> None:
        """Unused: the intake sees this class and appends receipts directly."""

    def command(self, command: dict[str, Any], rest: list[Request]) -> None:
        """Commands never come this way."""


class Sender(msgspec.Struct, eq=False):
    """Who submits: kept by a source for each connection, resolved to numbers when first used."""

    source: str
    producer: Producer
    actor: Principal
    origin: Origin | None = None
    epoch: int = -1


class _Submission(msgspec.Struct, eq=False):
    content: bytes | list[Request]
    sender: Sender
    sink: Sink


class _Run(msgspec.Struct, eq=False):
    """Drafts of one sender within a group, and the refusals that stand between them."""

    drafts: list[Draft]
    sender: Sender
    sink: Sink
    checked: bool
    refused: dict[int, Rejected]
    answers: list[Answer] = []
    """One a draft, once the run is committed or its events have failed."""


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
        self.backlog = 0
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
        self.failing_since: float | None = None
        self.last_error: JournalError | None = None
        self._pending: deque[_Submission] = deque()
        self._settles: Callable[[], None] | None = None
        self._scheduled = False
        self._epoch = 0
        self._now = 0
        self._began = 0.0
        self._retry_at = 0.0
        self._backoff = RETRY_FIRST
        self._wall, self._monotonic, self._call_soon = wall, monotonic, call_soon
        self._make_room, self._on_failure, self._lost = make_room, on_failure, lost
        self._warnings: dict[int, list[str]] = {}
        """What producers should hear about the events of the group under way, by seq."""

    # ── for sources ─────────────────────────────────────────────────────────────────────────────

    def submit(self, content: bytes | list[Request], sender: Sender, sink: Sink) -> None:
        """Take a chunk of whole lines, or decoded requests; answers come to `sink` after the commit."""
        self._pending.append(_Submission(content, sender, sink))
        self.backlog += len(content) if isinstance(content, bytes) else 0
        self._schedule()

    @property
    def congested(self) -> bool:
        """Whether sources should stop reading until their next reply."""
        return self.backlog > BACKLOG_BYTES

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
        with self._timed():
            self._commit_group([self._run(requests, sender, sink, checked=False)], devices)
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
            with self._timed():
                self._flush_group()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        with self._timed():
            self._flush_group()
        if self._pending:
            self._schedule()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = self._monotonic()
        try:
            yield
        finally:
            self.last_took = self._monotonic() - began
            self.seconds += self.last_took

    def _flush_group(self) -> None:
        runs: list[_Run] = []
        events = size = 0
        commands: list[Callable[[], None]] = []
        while self._pending and events < GROUP_EVENTS and size < GROUP_BYTES:
            submission = self._pending.popleft()
            content, sender, sink = submission.content, submission.sender, submission.sink
            if isinstance(content, bytes):
                self.backlog -= len(content)
                size += len(content)
                drafts = decode_chunk(content)
                checked = b"\\" not in content or b"\\u0000" not in content
                if drafts is not None:
                    room = GROUP_EVENTS - events
                    if len(drafts) > room:
                        rest = _Submission(list(drafts[room:]), sender, sink)
                        self._pending.appendleft(rest)
                        drafts = drafts[:room]
                    events += len(drafts)
                    runs.append(_Run(drafts, sender, sink, checked, {}))
                    continue
                content = decode_lines(content)
            room = GROUP_EVENTS - events
            taken, rest_ = content[:room], content[room:]
            command = next((i for i, item in enumerate(taken) if isinstance(item, dict)), None)
            if command is not None:
                after = taken[command + 1 :] + rest_ + self._take_back(sender)
                commands.append(_deferred(sink, taken[command], after))
                taken = taken[:command]
            elif rest_:
                self._pending.appendleft(_Submission(rest_, sender, sink))
            events += len(taken)
            if taken:
                runs.append(self._run(taken, sender, sink, checked=False))
            if command is not None:
                break
        if runs:
            self._commit_group(runs)
            pages = (size - JSON_SAVED * events) / PAGE
            self.journal.frames += max(0.0, pages - events / ROWS_A_PAGE)
        for command_ in commands:
            command_()

    def _take_back(self, sender: Sender) -> list[Request]:
        """What a sender has submitted behind a command: it waits for the command's reply."""
        later = [item for item in self._pending if item.sender is sender]
        requests: list[Request] = []
        for item in later:
            self._pending.remove(item)
            if isinstance(item.content, bytes):
                self.backlog -= len(item.content)
                requests += decode_lines(item.content)
            else:
                requests += item.content
        return requests

    def _run(self, requests: list[Request], sender: Sender, sink: Sink, *, checked: bool) -> _Run:
        drafts = [item for item in requests if isinstance(item, Draft)]
        refused = {i: item for i, item in enumerate(requests) if isinstance(item, Rejected)}
        return _Run(drafts, sender, sink, checked, refused)

    # ── commit ──────────────────────────────────────────────────────────────────────────────────

    def _commit_group(self, runs: list[_Run], devices: tuple[dict[str, Any], ...] = ()) -> None:
        self._now = self._next_moment(int(self._wall() * 1e6))
        self._began = self._monotonic()
        prefix = assigned_prefix(self._now, self.journal.tag)
        error: JournalError | Rejected | None = self._blocked()
        if error is None:
            try:
                if self.failing_since is not None:
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

    def _commit(self, runs: list[_Run], devices: tuple[dict[str, Any], ...]) -> None:
        journal = self.journal
        seq = journal.last_seq + 1
        parsed = _parsed_ids(runs)
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
        self._recovered()

    def _append(
        self,
        runs: list[_Run],
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
        self, runs: list[_Run], devices: tuple[dict[str, Any], ...], prefix: str
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
        runs: list[_Run],
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
                single = _Run([draft], run.sender, run.sink, run.checked, {})
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

    def _commit_one(self, single: _Run, devices: tuple[dict[str, Any], ...]) -> JournalError | None:
        try:
            self._commit([single], devices)
        except JournalError as error:
            return error
        except Exception as refused:
            reason = Rejected("failed", f"the database refuses it: {refused}")
            single.answers = [reason]
        return None

    def _too_late(self, single: _Run, error: JournalError, id_: str) -> _Run:
        """An event that the disk failed after others of its batch were stored."""
        if not single.drafts[0].id:
            single.drafts[0] = msgspec.structs.replace(single.drafts[0], id=id_)
        single.answers = [self.rejection(error)]
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

    def _answer(self, runs: list[_Run], prefix: str) -> None:
        first = last = 0
        for run in runs:
            stored = [answer for answer in run.answers if type(answer) is int]
            if stored:
                first, last = first or stored[0], stored[-1]
                self.counters[f"recorded.{run.sender.source}"] += len(stored)
            if len(stored) != len(run.drafts):
                self._count_others(run.answers)
        if last:
            self.last_commit = self._monotonic()
            self.commit_seconds.observe(self.last_commit - self._began)
            self.batch_events.observe(last - first + 1)
            self._publish(first, last)
            self.on_commit()
        warnings, self._warnings = self._warnings, {}
        for run in runs:
            self._send(run, run.answers, prefix, warnings)

    def _publish(self, first: int, last: int) -> None:
        """Tell the subscribers. What is committed is answered, even if it cannot be read back."""
        try:
            with translated(self.journal.path):
                self.hub.publish(first, last)
        except JournalError as error:
            self._failed(error)

    def _send(
        self,
        run: _Run,
        answers: Sequence[Answer],
        prefix: str,
        warnings: Mapping[int, list[str]],
    ) -> None:
        sink, drafts = run.sink, run.drafts
        if run.refused:
            answers, drafts = _woven(answers, drafts, run.refused)
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

    def _refuse(self, runs: list[_Run], error: JournalError | Rejected, prefix: str) -> None:
        """Answer a group that could not be committed; each reply carries the id to send again with."""
        rejection = error if isinstance(error, Rejected) else self._failed(error)
        spare = _SPARE
        for run in runs:
            self.counters[f"rejected.{rejection.code}"] += len(run.drafts)
            if run.sender.source != "collector" and run.drafts:
                self._lost(rejection.code, len(run.drafts))
            answers = run.answers
            for index, draft in enumerate(run.drafts):
                if not draft.id:
                    seq = answers[index] if index < len(answers) else None
                    if not isinstance(seq, int):
                        seq = spare = spare - 1
                    run.drafts[index] = msgspec.structs.replace(draft, id=f"{prefix}{seq:012x}")
            self._send(run, [rejection] * len(run.drafts), prefix, {})

    # ── a failing disk ──────────────────────────────────────────────────────────────────────────

    def _blocked(self) -> Rejected | None:
        if self.suspended:
            return self.rejection(JournalFull(""))
        if self.failing_since is not None and self._monotonic() < self._retry_at:
            return self.rejection(self.last_error)
        return None

    def _failed(self, error: JournalError) -> Rejected:
        now = self._monotonic()
        self.last_error = error
        if self.failing_since is None:
            self.failing_since = now
            self._backoff = RETRY_FIRST
        else:
            self._backoff = min(self._backoff * 2, RETRY_MOST)
        self._retry_at = now + self._backoff
        self.counters["commit_failures"] += 1
        self._on_failure(error)
        return self.rejection(error)

    def probe(self) -> None:
        """Try whether a failing disk has recovered, where no producer's commit does."""
        if self.failing_since is None or self.suspended or self._monotonic() < self._retry_at:
            return
        try:
            self.journal.checkpoint()
            with self.journal.transaction():
                self.journal.set_fact("opened", 1)
        except JournalError as error:
            self._failed(error)
        else:
            self._recovered()

    def trouble(self, error: JournalError) -> None:
        """Somebody else's write failed: leave the disk alone for a while, as after our own."""
        self._failed(error)

    @staticmethod
    def rejection(error: JournalError | None) -> Rejected:
        if isinstance(error, JournalCorrupt):
            return Rejected(
                "failed", "the journal is damaged; the daemon restarts with a fresh one"
            )
        if isinstance(error, JournalFull):
            return Rejected(
                "storage_full", "no space is left for the journal; free some, send again"
            )
        return Rejected("io_error", "the journal cannot be written; send again with the same id")

    def _recovered(self) -> None:
        if self.failing_since is not None:
            self.failing_since = None
            self.last_error = None


def _parsed_ids(runs: list[_Run]) -> dict[str, bytes]:
    """The ids that producers sent, by their spelling; admission refuses what is none."""
    parsed: dict[str, bytes] = {}
    for run in runs:
        for draft in run.drafts:
            if draft.id:
                try:
                    parsed[draft.id] = parse_id(draft.id)
                except InvalidEvent:
                    continue
    return parsed


def default_actor(source: str, producer: Producer) -> Principal:
    """Who an event without an actor is ascribed to: the kernel's user, the key, or the daemon."""
    if producer.assurance == "peercred":
        return Principal(type="user", id=str(producer.uid), name=producer.user)
    if producer.assurance == "key":
        return Principal(type="key", id=producer.key)
    return Principal(type="service", id=producer.plugin or "collector")


def _deferred(sink: Sink, command: Request, rest: list[Request]) -> Callable[[], None]:
    assert isinstance(command, dict)
    return lambda: sink.command(command, rest)


def validated(draft: Draft) -> Request:
    """A draft built in the process, held to the same types and lengths as one from the wire."""
    try:
        return msgspec.convert(msgspec.to_builtins(draft), Draft)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError, OverflowError) as error:
        return InvalidEvent(str(error))


def _woven(
    answers: Sequence[Answer], drafts: list[Draft], refused: dict[int, Rejected]
) -> tuple[list[Answer], list[Draft]]:
    """Put the refusals of lines that never became drafts back where they stood."""
    nothing = Draft(action="")
    both = iter(zip(answers, drafts, strict=True))
    total = len(drafts) + len(refused)
    woven = [(refused[i], nothing) if i in refused else next(both) for i in range(total)]
    return [answer for answer, _ in woven], [draft for _, draft in woven]
