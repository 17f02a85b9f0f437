"""What became of a group: every sender hears of its own events, and each outcome is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from collector.core.protocol import Answer, receipts, replies
from collector.errors import Rejected
from collector.intake.failing import SPARE, named
from collector.intake.submissions import ReceiptSink, Run


class Answers:
    """Sends answers to the sinks, and adds them up in `counters`."""

    def __init__(self, counters: Counter[str], lost: Callable[[str, int], None]) -> None:
        self._counters, self._lost = counters, lost

    def send(self, runs: list[Run], prefix: str, warnings: Mapping[int, list[str]]) -> None:
        """Tell the senders of committed runs; `prefix` begins the ids that the daemon assigned."""
        for run in runs:
            self._send(run, run.answers, prefix, warnings)

    def count(self, runs: list[Run]) -> tuple[int, int]:
        """Count the answers of committed runs; the first and last seq that is new, or 0 and 0."""
        first = last = 0
        for run in runs:
            stored = [answer for answer in run.answers if type(answer) is int]
            if stored:
                first, last = first or stored[0], stored[-1]
                self._counters[run.sender.counter] += len(stored)
            if len(stored) != len(run.drafts):
                self._count_others(run.answers)
        return first, last

    def refuse(self, runs: list[Run], refusal: Rejected, prefix: str) -> None:
        """Answer a group that could not be committed; each reply carries the id to send again with."""
        spare = SPARE
        for run in runs:
            self._counters[f"rejected.{refusal.code}"] += len(run.drafts)
            if run.sender.source != "collector" and run.drafts:
                self._lost(refusal.code, len(run.drafts))
            for index, draft in enumerate(run.drafts):
                if not draft.id:
                    seq = run.answers[index] if index < len(run.answers) else None
                    if not isinstance(seq, int):
                        seq = spare = spare - 1
                    run.drafts[index] = named(draft, prefix, seq)
            self._send(run, [refusal] * len(run.drafts), prefix, {})

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
                self._counters[f"rejected.{error.code}"] += 1
        if isinstance(sink, ReceiptSink):
            sink.take(receipts(answers, drafts, prefix, warnings))
        else:
            sink.reply(replies(answers, drafts, prefix, warnings))

    def _count_others(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if isinstance(answer, tuple):
                self._counters["duplicates"] += 1
            elif isinstance(answer, Rejected):
                self._counters[f"rejected.{answer.code}"] += 1
