"""The index of the ids that producers chose: how it is laid out, and how ids are found in it.

Ids are random, so an ordered tree of them touches a page for each one that it takes in. Here they are
never put in order: each batch becomes a run of its own, whose ids lie in as many buckets as it takes
to have some 32 to 64 in each, told apart by the upper bits of a hash. A run is written once, front to
back, and sixteen runs of like size become one in time (see `followers.runs`). An id is looked for in
one bucket of each run, the newest first, and what is found is believed only if the log has that id at
that seq. So a record that is there twice, or speaks of an entry that is gone, does no harm.

The hash has a secret of the journal's own, or whoever wanted could fill a single bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

RECORD: Final = 22
"""Bytes of an indexed id: its 16, and its entry's seq, little-endian."""
BUCKET_IDS: Final = 32
"""Ids that a bucket holds at least, on average."""
KEY_BITS: Final = 24
"""The lower bits of a row's key are the bucket, the others the run."""
HASH_BITS: Final = 32
RUNS_SINCE: Final = 3
"""The first schema whose index of ids has runs."""
SECRET: Final = "ids_key"
"""The fact that holds the secret of the hash, 16 bytes."""
LOOK_KEYS: Final = 256
"""Buckets that are fetched at once."""

Fetch = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

_RAW: Final = 16
_SEQ: Final = RECORD - _RAW
_HASHED: Final = (1 << HASH_BITS) - 1
_ROWS: Final = "SELECT key, entries FROM ids WHERE key IN (SELECT value FROM json_each(?))"
_STORED: Final = "SELECT id, seq FROM log WHERE seq IN (SELECT value FROM json_each(?))"
_OLDER: Final = {
    1: "SELECT seq FROM ids WHERE id = ?",
    2: "WITH RECURSIVE blocks (n) AS (SELECT min(block) FROM ids UNION ALL"
    " SELECT (SELECT min(block) FROM ids WHERE block > n) FROM blocks WHERE n IS NOT NULL)"
    " SELECT ids.seq FROM blocks CROSS JOIN ids ON ids.block = blocks.n WHERE ids.id = ?",
}
"""How earlier schemas are asked: readers open journals and backups that nobody has converted."""


class Hash:
    """The hash of one journal's index: an id times a secret odd number, of which 32 bits are taken."""

    def __init__(self, secret: bytes) -> None:
        self._factor = int.from_bytes(secret) | 1

    def of(self, raw: bytes) -> int:
        """The hash of an id, or of a record that begins with it."""
        return int.from_bytes(raw[:_RAW]) * self._factor >> 96 & _HASHED

    def put(self, ids: Iterable[tuple[bytes, int]], buckets: list[list[bytes]], bits: int) -> None:
        """Put records of ids and their seqs into their buckets, 2^`bits` of them."""
        factor, shift, mask, number = self._factor, 128 - bits, (1 << bits) - 1, int.from_bytes
        for raw, seq in ids:
            one = raw + seq.to_bytes(_SEQ, "little")
            buckets[number(raw) * factor >> shift & mask].append(one)

    def distribute(
        self, records_: Iterable[bytes], buckets: list[list[bytes]], bits: int, base: int
    ) -> None:
        """Put records into their buckets, of which the first of `buckets` has the number `base`."""
        factor, shift, mask, number = self._factor, 128 - bits, (1 << bits) - 1, int.from_bytes
        for one in records_:
            buckets[(number(one[:_RAW]) * factor >> shift & mask) - base].append(one)


class Run(NamedTuple):
    """A row of `id_runs`: the seqs it spans, about, the bits that tell its buckets apart, how many ids
    it has, and the run that they are being moved to, 0 where they are not."""

    run: int
    first: int
    last: int
    bits: int
    size: int
    target: int = 0

    def keys(self, part: int = 0, of: int = 0, parts: int = 1) -> tuple[int, int]:
        """The first and last key of one, or some, of the 2^`of` equal parts of the run."""
        width = self.bits - of
        first = self.run << KEY_BITS | part << width
        return first, first + (parts << width) - 1


def bucket_bits(count: int) -> int:
    """The bits that tell the buckets of a run of so many ids apart."""
    return max(0, min(KEY_BITS, (count // BUCKET_IDS).bit_length() - 1))


def record(raw: bytes, seq: int) -> bytes:
    """What is stored of an id."""
    return raw + seq.to_bytes(_SEQ, "little")


def seq_of(one: bytes) -> int:
    """The seq of a record."""
    return int.from_bytes(one[_RAW:], "little")


def records(entries: bytes) -> Iterator[bytes]:
    """The records of one bucket, or of several joined."""
    return (entries[at : at + RECORD] for at in range(0, len(entries), RECORD))


def rows_of(run: Run, base: int, buckets: list[list[bytes]]) -> list[tuple[int, bytes]]:
    """The rows of a run for buckets of it, the first of which has the number `base`."""
    key = run.keys()[0] + base
    return [(key + n, b"".join(bucket)) for n, bucket in enumerate(buckets) if bucket]


def stored_seqs(fetch: Fetch, hash_: Hash, ids: Collection[bytes]) -> dict[bytes, int]:
    """The seqs of those ids that the index has, and whose entries are stored."""
    found: dict[bytes, int] = {}
    pending = sorted((hash_.of(raw), raw) for raw in ids)
    runs = fetch("SELECT run, bits FROM id_runs WHERE size > 0 ORDER BY last DESC", ())
    for run, bits in runs:
        for start in range(0, len(pending), LOOK_KEYS):
            _look(fetch, run, HASH_BITS - bits, pending[start : start + LOOK_KEYS], found)
        if found:
            pending = [pair for pair in pending if pair[1] not in found]
        if not pending:
            break
    return found


def _look(
    fetch: Fetch, run: int, shift: int, ids: list[tuple[int, bytes]], found: dict[bytes, int]
) -> None:
    """Look for some ids in one run; what it has is added to `found` if it is stored."""
    asked: dict[int, list[bytes]] = {}
    for number, raw in ids:
        asked.setdefault(run << KEY_BITS | number >> shift, []).append(raw)
    candidates: dict[int, bytes] = {}
    for key, entries in fetch(_ROWS, (_json(asked),)):
        for raw in asked[key]:
            at = entries.find(raw)
            while at >= 0:
                candidates[seq_of(entries[at : at + RECORD])] = raw
                at = entries.find(raw, at + 1)
    if candidates:
        rows = ids_at(fetch, candidates)
        found |= {raw: seq for raw, seq in rows if candidates[seq] == raw}


def ids_at(fetch: Fetch, seqs: Iterable[int]) -> list[tuple[Any, ...]]:
    """The ids and seqs of those entries that are stored."""
    return fetch(_STORED, (_json(seqs),))


def _json(numbers: Iterable[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"


def stored_seq(fetch: Fetch, raw: bytes, schema: int) -> int | None:
    """The seq of the entry that has this id, for a reader; None where the index knows of none."""
    if schema < RUNS_SINCE:
        for (seq,) in fetch(_OLDER[schema], (raw,)):
            if fetch("SELECT 1 FROM log WHERE seq = ? AND id = ?", (seq, raw)):
                return int(seq)
        return None
    secret = fetch("SELECT value FROM facts WHERE name = ?", (SECRET,))[0][0]
    return stored_seqs(fetch, Hash(secret), [raw]).get(raw)
