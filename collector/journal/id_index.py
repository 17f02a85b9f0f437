"""The index of the ids that producers chose: how it is laid out, and how an id is found in it.

Ids are random, so an ordered tree of them touches a page for each one that it takes in. Here they are
never put in order: each batch becomes a run of its own, whose ids lie in as many buckets as it takes
to have some 32 to 64 in each, told apart by the upper bits of their checksum. A run is written once,
front to back. Sixteen runs of like size become one (see `followers.runs`), so there are few, and an id
costs a look at one row of each. What is found is believed only if the log has that id at that seq.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

RECORD: Final = 20
"""Bytes of an indexed id: its 16, and the lower 32 bits of its entry's seq, little-endian."""
BUCKET_IDS: Final = 32
"""Ids that a bucket holds at least, on average."""
KEY_BITS: Final = 24
"""The lower bits of a row's key are the bucket, the others the run."""
CHECKSUM_BITS: Final = 32
RUNS_SINCE: Final = 3
"""The first schema whose index of ids has runs."""

Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

_RAW: Final = 16
_SEQ_MASK: Final = (1 << 32) - 1
_FIND: Final = (
    "SELECT id_runs.first, ids.entries FROM id_runs CROSS JOIN ids"
    f" ON ids.key = (id_runs.run << {KEY_BITS}) + (?1 >> ({CHECKSUM_BITS} - id_runs.bits))"
    " WHERE id_runs.size > 0"
)
_OLDER: Final = {
    1: "SELECT seq FROM ids WHERE id = ?",
    2: "WITH RECURSIVE blocks (n) AS (SELECT min(block) FROM ids UNION ALL"
    " SELECT (SELECT min(block) FROM ids WHERE block > n) FROM blocks WHERE n IS NOT NULL)"
    " SELECT ids.seq FROM blocks CROSS JOIN ids ON ids.block = blocks.n WHERE ids.id = ?",
}
"""How earlier schemas are asked: readers open journals and backups that nobody has converted."""


class Run(NamedTuple):
    """A row of `id_runs`: the seqs it spans, the bits that tell its buckets apart, how many ids it has.

    One without ids is not looked at: it is being written, or about to be removed.
    """

    run: int
    first: int
    last: int
    bits: int
    size: int

    def keys(self, part: int = 0, of: int = 0) -> tuple[int, int]:
        """The first and last key of one of the 2^`of` equal parts of the run."""
        width = self.bits - of
        first = self.run << KEY_BITS | part << width
        return first, first + (1 << width) - 1


def bucket_bits(count: int) -> int:
    """The bits that tell the buckets of a run of so many ids apart."""
    return max(0, min(KEY_BITS, (count // BUCKET_IDS).bit_length() - 1))


def record(raw: bytes, seq: int) -> bytes:
    """What is stored of an id."""
    return raw + (seq & _SEQ_MASK).to_bytes(4, "little")


def seq_of(entry: bytes, first: int) -> int:
    """The seq of a record in a run that begins with seq `first`."""
    return first + (int.from_bytes(entry[_RAW:], "little") - first & _SEQ_MASK)


def records(entries: bytes) -> Iterator[bytes]:
    """The records of one bucket, or of several joined."""
    return (entries[at : at + RECORD] for at in range(0, len(entries), RECORD))


def checksum(entry: bytes) -> int:
    """The checksum by which the id of a record is found."""
    return crc32(entry[:_RAW])


def distributed(entries: Iterable[bytes], buckets: list[list[bytes]], bits: int, base: int) -> None:
    """Put records into their buckets, of which the first of `buckets` has the number `base`."""
    shift = CHECKSUM_BITS - bits
    for entry in entries:
        buckets[(crc32(entry[:_RAW]) >> shift) - base].append(entry)


def joined(run: Run, base: int, buckets: list[list[bytes]]) -> list[tuple[int, bytes]]:
    """The rows of a run for buckets of it, the first of which has the number `base`."""
    key = run.keys()[0] + base
    return [(key + n, b"".join(bucket)) for n, bucket in enumerate(buckets) if bucket]


def stored_seq(fetch: Fetch, raw: bytes, schema: int = RUNS_SINCE) -> int | None:
    """The seq of the entry that has this id; None where the index knows of none that is stored."""
    for seq in _candidates(fetch, raw, schema):
        if fetch("SELECT 1 FROM log WHERE seq = ? AND id = ?", (seq, raw)):
            return seq
    return None


def _candidates(fetch: Fetch, raw: bytes, schema: int) -> Iterator[int]:
    if schema < RUNS_SINCE:
        yield from (seq for (seq,) in fetch(_OLDER[schema], (raw,)))
        return
    for first, entries in fetch(_FIND, (crc32(raw),)):
        at = entries.find(raw)
        while at >= 0:
            yield seq_of(entries[at : at + RECORD], first)
            at = entries.find(raw, at + 1)
