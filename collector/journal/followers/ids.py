"""The index of the ids that producers chose, behind the tail that the writer keeps in memory."""

from __future__ import annotations

from itertools import islice
from typing import Final

from collector.journal.followers.base import WRITE_ROWS, Follower, Step, derived
from collector.journal.sieve import ID_BLOCK_BITS

IDS_BATCH: Final = 32_768
"""Ids merged into their index at once: random ones touch a page each, so few large merges."""
IDS_MOST: Final = 131_072
"""Ids merged at once where a flood has left more; each step over them stays small."""
IDS_SMALL: Final = 4_096
"""Ids that are worth a merge when there is nothing else to do."""
IDS_LAG: Final = 65_536
"""Entries behind which the cursor may stay at most, however few ids they brought: a start, and a look
for an id, go through the log from there on."""


class Ids(Follower):
    """The index of ids that producers chose, behind the tail that the writer keeps in memory."""

    name = "ids"

    def due(self, idle: bool) -> bool:
        ids, far = len(self.journal.tail_ids), self.lag >= IDS_LAG
        return ids >= IDS_SMALL or far if idle else ids >= IDS_BATCH or (far and ids < IDS_SMALL)

    def steps(self) -> Step:
        journal = self.journal
        taken = list(islice(journal.tail_ids.items(), IDS_MOST))
        whole = len(taken) == len(journal.tail_ids)
        up_to = journal.last_seq if whole else taken[-1][1]
        yield
        buckets: list[list[tuple[bytes, int]]] = [[] for _ in range(256)]
        for start in range(0, len(taken), IDS_SMALL):
            part = taken[start : start + IDS_SMALL]
            for item in part:
                buckets[item[0][0]].append(item)
            journal.sieve.add(raw for raw, _ in part)
            yield
        for bucket in buckets:
            bucket.sort()
            for start in range(0, len(bucket), WRITE_ROWS):
                batch = bucket[start : start + WRITE_ROWS]
                with derived(journal):
                    journal.connection.executemany(_ADD_ID, batch)
                yield
        with derived(journal):
            self.advance(up_to)
        self.cursor = journal.ids_cursor = up_to
        yield
        for start in range(0, len(taken), IDS_SMALL):
            for raw, seq in taken[start : start + IDS_SMALL]:
                if journal.tail_ids.get(raw) == seq:  # else pruned, and perhaps recorded anew
                    del journal.tail_ids[raw]
            yield


_ADD_ID: Final = f"INSERT OR REPLACE INTO ids VALUES (?2 >> {ID_BLOCK_BITS}, ?1, ?2)"
