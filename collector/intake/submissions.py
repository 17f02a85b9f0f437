"""What sources hand in, and how what is pending becomes groups for one commit each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from collector.core.admission import Origin
from collector.core.decoding import Request, decode_chunk, decode_lines
from collector.core.ids import parse_ids
from collector.core.protocol import Answer
from collector.errors import InvalidEvent, Rejected
from collector.event import Draft, Principal, Producer, Receipt

GROUP_EVENTS: Final = 5_000
GROUP_BYTES: Final = 4 * 1024 * 1024
"""One commit holds at most this much, so that an acknowledgement never waits for an endless batch."""
BACKLOG_BYTES: Final = 4 * 1024 * 1024
"""Past this much unflushed input, sources stop reading until they are answered."""


REQUEST_BYTES: Final = 300
"""What a decoded request counts for in the backlog: the length of a usual line."""


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
    counter: str = ""
    """The name of the counter of its events."""

    def __post_init__(self) -> None:
        self.counter = f"recorded.{self.source}"


class Run(msgspec.Struct, eq=False):
    """Drafts of one sender within a group, and the refusals that stand between them."""

    drafts: list[Draft]
    sender: Sender
    sink: Sink
    checked: bool
    refused: dict[int, Rejected]
    answers: list[Answer] = []
    """One a draft, once the run is committed or its events have failed."""

    def woven(self, answers: Sequence[Answer]) -> tuple[list[Answer], list[Draft]]:
        """Answers and drafts with the refusals of lines that never became drafts where they stood."""
        nothing = Draft(action="")
        both = iter(zip(answers, self.drafts, strict=True))
        total = len(self.drafts) + len(self.refused)
        refused = self.refused
        pairs = [(refused[i], nothing) if i in refused else next(both) for i in range(total)]
        return [answer for answer, _ in pairs], [draft for _, draft in pairs]


class Group(msgspec.Struct, eq=False):
    """What one commit takes: runs in order, and the commands to carry out behind it."""

    runs: list[Run]
    commands: list[Callable[[], None]]
    events: int = 0
    size: int = 0
    """Bytes of lines that it came from."""


class _Submission(msgspec.Struct, eq=False):
    content: bytes | list[Request]
    sender: Sender
    sink: Sink

    @property
    def size(self) -> int:
        """Bytes of its lines; where they are decoded already, about as many."""
        content = self.content
        return len(content) if isinstance(content, bytes) else len(content) * REQUEST_BYTES


class Pending:
    """Submissions in the order in which they came."""

    def __init__(self) -> None:
        self.backlog = 0
        """Bytes of lines that wait."""
        self._items: deque[_Submission] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, content: bytes | list[Request], sender: Sender, sink: Sink) -> None:
        """Queue whole lines, or decoded requests."""
        item = _Submission(content, sender, sink)
        self._items.append(item)
        self.backlog += item.size

    def take(self) -> Group:
        """The next group. A command ends it, since what comes behind waits for the command's reply."""
        group = Group([], [])
        while self._items and group.events < GROUP_EVENTS and group.size < GROUP_BYTES:
            item = self._items.popleft()
            content = item.content
            self.backlog -= item.size
            if isinstance(content, bytes):
                group.size += len(content)
                drafts = decode_chunk(content)
                if drafts is not None:
                    checked = b"\\" not in content or b"\\u0000" not in content
                    self._take_drafts(group, item, drafts, checked)
                    continue
                content = decode_lines(content)
            if self._take_requests(group, item, content):
                break
        return group

    def _take_drafts(
        self, group: Group, item: _Submission, drafts: list[Draft], checked: bool
    ) -> None:
        room = GROUP_EVENTS - group.events
        if len(drafts) > room:
            self._put_back(list(drafts[room:]), item)
            drafts = drafts[:room]
        group.events += len(drafts)
        group.runs.append(Run(drafts, item.sender, item.sink, checked, {}))

    def _take_requests(self, group: Group, item: _Submission, requests: list[Request]) -> bool:
        """Requests of any kind; whether there was a command among them."""
        sender, sink = item.sender, item.sink
        room = GROUP_EVENTS - group.events
        taken, rest = requests[:room], requests[room:]
        at = next((i for i, request in enumerate(taken) if isinstance(request, dict)), None)
        if at is not None:
            after = taken[at + 1 :] + rest + self._take_back(sender)
            group.commands.append(_deferred(sink, taken[at], after))
            taken = taken[:at]
        elif rest:
            self._put_back(rest, item)
        group.events += len(taken)
        if taken:
            group.runs.append(run_of(taken, sender, sink))
        return at is not None

    def _take_back(self, sender: Sender) -> list[Request]:
        """What a sender has submitted behind a command."""
        later = [item for item in self._items if item.sender is sender]
        requests: list[Request] = []
        for item in later:
            self._items.remove(item)
            self.backlog -= item.size
            content = item.content
            requests += decode_lines(content) if isinstance(content, bytes) else content
        return requests

    def _put_back(self, rest: list[Request], item: _Submission) -> None:
        """What has no room in this group is the first of the next."""
        left = _Submission(rest, item.sender, item.sink)
        self._items.appendleft(left)
        self.backlog += left.size


def run_of(requests: list[Request], sender: Sender, sink: Sink) -> Run:
    """The run of some requests without commands."""
    drafts = [item for item in requests if isinstance(item, Draft)]
    refused = {i: item for i, item in enumerate(requests) if isinstance(item, Rejected)}
    return Run(drafts, sender, sink, False, refused)


def parsed_ids(runs: list[Run]) -> dict[str, bytes]:
    """The ids that producers sent, by their spelling; admission refuses what is none."""
    return parse_ids([draft.id for run in runs for draft in run.drafts if draft.id])


def default_actor(source: str, producer: Producer) -> Principal:
    """Who an event without an actor is ascribed to: the kernel's user, the key, or the daemon."""
    if producer.assurance == "peercred":
        return Principal(type="user", id=str(producer.uid), name=producer.user)
    if producer.assurance == "key":
        return Principal(type="key", id=producer.key)
    return Principal(type="service", id=producer.plugin or "collector")


def validated(draft: Draft) -> Request:
    """A draft built in the process, held to the same types and lengths as one from the wire."""
    try:
        return msgspec.convert(msgspec.to_builtins(draft), Draft)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError, OverflowError) as error:
        return InvalidEvent(str(error))


def _deferred(sink: Sink, command: Request, rest: list[Request]) -> Callable[[], None]:
    assert isinstance(command, dict)
    return lambda: sink.command(command, rest)
