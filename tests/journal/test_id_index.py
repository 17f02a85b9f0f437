"""The index of the ids that producers chose: whatever its runs go through, it tells the truth."""

from __future__ import annotations

import functools
import random
import sqlite3
import uuid
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.event import Draft
from collector.journal import id_index
from tests.journal.world import World, indexed, spend, world

RAW = st.binary(min_size=16, max_size=16)


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db", small=True) as made:
        yield made


# ── its layout ──────────────────────────────────────────────────────────────────────────────────


@given(RAW, st.integers(1, 2**48 - 1))
def test_a_record_gives_back_its_seq(raw: bytes, seq: int) -> None:
    one = id_index.record(raw, seq)
    assert len(one) == id_index.RECORD
    assert (one[:16], id_index.seq_of(one)) == (raw, seq)


@given(st.lists(RAW, min_size=1), st.binary(min_size=16, max_size=16), st.integers(0, 12))
def test_an_id_is_looked_for_in_the_bucket_that_it_was_put_into(
    ids: list[bytes], secret: bytes, bits: int
) -> None:
    hash_, buckets = id_index.Hash(secret), [list[bytes]() for _ in range(1 << bits)]
    hash_.put([(raw, 7) for raw in ids], buckets, bits)
    for raw in ids:
        assert id_index.record(raw, 7) in buckets[hash_.of(raw) >> id_index.HASH_BITS - bits]
        assert hash_.of(id_index.record(raw, 9)) == hash_.of(raw)


@pytest.mark.parametrize("alike", ["counted", "at the end", "with one time", "of one checksum"])
def test_ids_that_look_alike_do_not_share_a_bucket(alike: str) -> None:
    """Whoever makes up ids does not know the secret, and the usual ways of making them are no better."""
    rng = random.Random(3)
    made = {
        "counted": [n.to_bytes(16) for n in range(6400)],
        "at the end": [n.to_bytes(2) + bytes(14) for n in range(6400)],
        "with one time": [bytes(6) + rng.randbytes(10) for _ in range(6400)],
        "of one checksum": _of_one_checksum(6400),
    }[alike]
    assert len(set(made)) == 6400
    hash_, buckets = id_index.Hash(rng.randbytes(16)), [list[bytes]() for _ in range(128)]
    hash_.distribute(made, buckets, 7, 0)
    assert max(map(len, buckets)) < 200


def _of_one_checksum(count: int) -> list[bytes]:
    """Ids with the same CRC-32, which is linear: what changes nothing may be combined at will."""
    rng = random.Random(4)
    free: list[
        tuple[int, int]
    ] = []  # by their highest bit: a checksum's difference, and whose it is
    nothing = zlib.crc32(bytes(16))
    same: list[int] = []
    for at in range(128):
        vector = 1 << at
        change = zlib.crc32(vector.to_bytes(16)) ^ nothing
        for other, of in free:
            if change ^ other < change:
                change, vector = change ^ other, vector ^ of
        if change:
            free = sorted([*free, (change, vector)], reverse=True)
        else:
            same.append(vector)
    ids = set()
    while len(ids) < count:
        ids.add(functools.reduce(int.__xor__, rng.sample(same, 20)).to_bytes(16))
    assert len({zlib.crc32(raw) for raw in ids}) == 1
    return sorted(ids)


@pytest.mark.parametrize(
    ("count", "bits"), [(0, 0), (63, 0), (64, 1), (127, 1), (128, 2), (2**30, 24), (2**40, 24)]
)
def test_a_run_has_buckets_of_32_to_64_ids(count: int, bits: int) -> None:
    assert id_index.bucket_bits(count) == bits


def test_the_parts_of_a_run_are_its_keys_in_order() -> None:
    run = id_index.Run(run=3, first=1, last=9, bits=4, size=9)
    assert run.keys() == (3 << 24, (3 << 24) + 15)
    parts = [run.keys(part, of=2) for part in range(4)]
    assert parts == [((3 << 24) + n, (3 << 24) + n + 3) for n in (0, 4, 8, 12)]


def test_an_id_that_two_neighbours_happen_to_spell_is_not_found() -> None:
    """In a bucket 8 bytes of one id, its seq and 2 bytes of the next may look like an id of 16. What is
    taken for a seq then is no entry with that id."""
    asked = b"a" * 16
    entries = id_index.record(b"b" * 8 + b"a" * 8, 0x616161616161) + id_index.record(
        b"aa" + b"b" * 14, 7
    )
    assert asked in entries
    with closing(sqlite3.connect(":memory:")) as connection:
        run = connection.execute
        run("CREATE TABLE id_runs (run, first, last, bits, size)")
        run("CREATE TABLE ids (key INTEGER PRIMARY KEY, entries)")
        run("CREATE TABLE log (seq, id)")
        connection.executemany("INSERT INTO log VALUES (?, ?)", [(n, asked) for n in range(20)])
        run("INSERT INTO id_runs VALUES (1, 1, 9, 0, 2)")
        run("INSERT INTO ids VALUES (1 << 24, ?)", (entries,))

        def stored() -> dict[bytes, int]:
            hash_ = id_index.Hash(bytes(16))
            return id_index.stored_seqs(lambda *sql: run(*sql).fetchall(), hash_, [asked])

        assert stored() == {}
        run("UPDATE ids SET entries = ?", (entries + id_index.record(asked, 9),))
        assert stored() == {asked: 9}


# ── its life ────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), small=st.just(True))
def test_every_id_is_known_as_long_as_its_entry_is_stored(
    tmp_path_factory: pytest.TempPathFactory, seed: int, small: bool
) -> None:
    """Through recording, runs, folds, pruning, sweeps, errors, crashes and reindexing, in any order."""
    rng = random.Random(seed)
    with world(tmp_path_factory.mktemp("ids") / "events.db", small=small) as w:
        used: list[str] = []
        for _ in range(40):
            _do_something(w, rng, used)
            _compare(w, rng, used)
        w.follow()
        spend(w.sweep())
        stored = {seq: raw for raw, seq in _stored(w).items()}
        assert all(stored[seq] == raw for raw, seq in indexed(w))


def _do_something(w: World, rng: random.Random, used: list[str]) -> None:
    match rng.randrange(10):
        case 0 | 1 | 2 | 3:
            ids = [_uuid(rng) for _ in range(rng.choice((1, 5, 40)))]
            used += ids
            recorded(w, ids)
        case 4 | 5 | 6:
            w.step("ids", rng.choice((1, 2, 7, 50)))
        case 7:
            if rng.random() < 0.5:
                spend(w.pruner.oldest(rng.choice((1, 10, 60)), "entries"))
            else:
                _remove_some(w, rng)
        case 8:
            _end_job(w, rng)
            spend(w.rooms.thinning.stale_ids(w.journal))
        case 9:
            if rng.random() < 0.3:
                _end_job(w, rng)
                spend(w.rooms.reindexing.rebuild(w.journal))
            elif rng.random() < 0.5:
                w.crash()
                w.open()
                if rng.random() < 0.7:
                    spend(w.journal.ids.fill_sieve())


def _end_job(w: World, rng: random.Random) -> None:
    """The janitor does one job after the other, and drops them where a step has failed."""
    if rng.random() < 0.5:
        w.jobs.clear()
    while "ids" in w.jobs:
        w.step("ids")


def _remove_some(w: World, rng: random.Random) -> None:
    """Entries from the midst, as limits by category do."""
    first, last = w.journal.first_seq(), w.journal.last_seq
    w.pruner._remove(first, last, " AND seq % 3 = ?", (rng.randrange(3),), "age")


def _stored(w: World) -> dict[bytes, int]:
    return dict(w.journal.connection.execute("SELECT id, seq FROM log WHERE id <> x''"))


def _compare(w: World, rng: random.Random, used: list[str]) -> None:
    stored = _stored(w)
    asked = [uuid.UUID(one).bytes for one in rng.sample(used, min(len(used), 60))]
    expected = {raw: stored[raw] for raw in asked if raw in stored}
    assert w.journal.ids.stored(asked) == expected
    assert _sizes(w) == _counted(w)


def _sizes(w: World) -> dict[int, int]:
    runs = w.rooms.followers.runs.all_runs(w.journal)
    return {run.run: run.size for run in runs if run.size}


def _counted(w: World) -> dict[int, int]:
    """How many ids the runs of `_sizes` really have."""
    rows = w.journal.connection.execute(
        "SELECT key >> 24, sum(length(entries) / 22) FROM ids GROUP BY 1"
    ).fetchall()
    return {run: count for run, count in rows if run in _sizes(w)}


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def recorded(w: World, ids: list[str]) -> None:
    """Record an event for each id; all of them are new."""
    receipts = w.record([Draft(action="a.b", id=one) for one in ids])
    assert not any(receipt.duplicate for receipt in receipts)


def several_runs(w: World, ids: int = 320) -> list[str]:
    """Ids that are indexed in some runs, which are not folded yet."""
    rng = random.Random(1)
    made = [_uuid(rng) for _ in range(ids)]
    recorded(w, made)
    pairs = list(w.journal.ids.tail.items())
    for start in range(0, ids, 80):
        spend(w.rooms.followers.runs.written(w.journal, pairs[start : start + 80]))
    with w.journal.transaction():
        w.followers[1].advance(w.journal.last_seq)
    w.close()
    w.open()
    assert not w.journal.ids.tail
    return made


def test_folding_leaves_fewer_runs_with_the_same_ids(w: World) -> None:
    several_runs(w)
    before, runs = indexed(w), w.rooms.followers.runs
    assert len(before) == 320
    assert len(runs.all_runs(w.journal)) == 4
    w.follow()
    assert indexed(w) == before
    assert len(runs.all_runs(w.journal)) == 1
    sizes = w.journal.connection.execute("SELECT length(entries) / 22 FROM ids").fetchall()
    assert len(sizes) > 64, "more ids, more buckets"


def test_a_fold_does_not_bring_back_what_was_swept_away_meanwhile(w: World) -> None:
    several_runs(w)
    w.step("ids", 20)
    spend(w.pruner.oldest(100, "entries"))
    spend(w.rooms.thinning.stale_ids(w.journal))
    assert [seq for _, seq in indexed(w)] == list(range(101, 321))
    w.follow()
    assert [seq for _, seq in indexed(w)] == list(range(101, 321))


def test_at_every_moment_of_a_fold_each_id_is_there_once(w: World) -> None:
    several_runs(w)
    before = indexed(w)
    pages = w.journal.connection.execute("PRAGMA page_count").fetchone()[0]
    moments = 0
    while w.journal.ids.unfolded:
        w.step("ids")
        moments += 1
        assert indexed(w) == before
        assert _sizes(w) == _counted(w)
    assert moments > 30
    assert w.journal.connection.execute("PRAGMA page_count").fetchone()[0] <= pages + 8


@pytest.mark.parametrize("steps", [7, 15, 31])
def test_a_fold_goes_on_after_a_crash(w: World, steps: int) -> None:
    several_runs(w)
    before = indexed(w)
    w.step("ids", steps)
    assert any(run.target for run in w.rooms.followers.runs.all_runs(w.journal))
    w.crash()
    w.open()
    assert indexed(w) == before
    w.follow()
    assert indexed(w) == before
    assert len(w.rooms.followers.runs.all_runs(w.journal)) == 1


def test_what_a_crash_leaves_twice_is_there_once_after_a_fold(w: World) -> None:
    """Between the last row of a run and the cursor: the same ids become a run once more."""
    recorded(w, [str(uuid.UUID(int=n + 1)) for n in range(8)])
    while len(indexed(w)) < 8:
        w.step("ids")
    w.crash()
    w.open()
    assert len(w.journal.ids.tail) == 8
    while len(indexed(w)) < 16:
        w.step("ids")
    w.follow()
    assert len(indexed(w)) == 8
    assert _sizes(w) == _counted(w)


def test_small_folds_go_before_large_ones(w: World) -> None:
    """Else small runs pile up for as long as millions of ids are moved."""
    several_runs(w)
    runs = w.rooms.followers.runs
    w.step("ids", 12)
    large = {run.target for run in runs.all_runs(w.journal) if run.target}
    for start in (1, 9):
        recorded(w, [str(uuid.UUID(int=n)) for n in range(start, start + 8)])
        taken = list(w.journal.ids.tail.items())[-8:]
        spend(runs.written(w.journal, taken))
    runs.begin_fold(w.journal)
    fold = runs.Fold.smallest(w.journal)
    assert fold.target.run not in large
    assert fold.target.bits < 5


def test_a_fold_that_failed_is_begun_anew(w: World) -> None:
    """As where the disk is full; the janitor drops the job then."""
    several_runs(w)
    before = indexed(w)
    w.step("ids", 20)
    w.journal.connection.execute("PRAGMA query_only = ON")
    with pytest.raises(w.rooms.connection.JournalError):
        w.step("ids", 1_000)
    w.journal.connection.execute("PRAGMA query_only = OFF")
    w.jobs.clear()
    w.follow()
    assert indexed(w) == before
    assert len(w.rooms.followers.runs.all_runs(w.journal)) == 1


def test_a_fold_of_runs_that_were_swept_away_ends(w: World) -> None:
    several_runs(w)
    w.step("ids", 12)
    spend(w.pruner.oldest(10**6, "entries"))
    spend(w.rooms.thinning.stale_ids(w.journal))
    w.follow()
    assert indexed(w) == []
    assert w.rooms.followers.runs.all_runs(w.journal) == []
    assert not w.followers[1].due(True)


def test_reindexing_in_the_midst_of_a_fold_leaves_each_id_once(w: World) -> None:
    """The new runs are there before the old ones go."""
    several_runs(w)
    before = indexed(w)
    w.step("ids", 20)
    for _ in w.rooms.reindexing.rebuild(w.journal):
        assert sorted(set(indexed(w)), key=lambda pair: pair[1]) == before
    w.follow()
    assert indexed(w) == before


def test_the_ids_of_pruned_entries_leave_every_run(w: World) -> None:
    several_runs(w)
    spend(w.pruner.oldest(150, "entries"))
    before = w.journal.connection.execute("SELECT count(*) FROM id_runs WHERE size > 0").fetchone()[
        0
    ]
    spend(w.rooms.thinning.stale_ids(w.journal))
    assert [seq for _, seq in indexed(w)] == list(range(151, 321))
    after = w.journal.connection.execute("SELECT count(*) FROM id_runs WHERE size > 0").fetchone()[
        0
    ]
    assert (before, after) == (4, 3), "the first run is gone as a whole"


def test_reindexing_brings_back_what_the_index_had_lost(w: World) -> None:
    """Lost ids are not in a sieve that was filled from the index, either."""
    ids = several_runs(w)
    w.journal.connection.execute("DELETE FROM ids WHERE key % 2")
    w.close()
    w.open()
    spend(w.journal.ids.fill_sieve())
    spend(w.rooms.reindexing.rebuild(w.journal))
    receipts = w.record([Draft(action="a.b", id=one) for one in ids])
    assert all(receipt.duplicate for receipt in receipts)


@pytest.mark.anyio
async def test_a_reader_finds_an_id_in_any_run_and_in_the_indexes_of_earlier_schemas(
    w: World,
) -> None:
    ids = several_runs(w)
    recorded(w, [str(uuid.UUID(int=5))])
    pairs = indexed(w)
    run = w.journal.connection.execute
    for schema in (3, 2, 1):
        if schema < 3:
            run("DROP TABLE ids")
            run(
                "CREATE TABLE ids (block, id, seq)" if schema == 2 else "CREATE TABLE ids (id, seq)"
            )
            marks = "?2 / 50, ?1, ?2" if schema == 2 else "?1, ?2"
            w.journal.connection.executemany(f"INSERT INTO ids VALUES ({marks})", pairs)
            run(f"PRAGMA user_version = {schema}")
        async with w.rooms.reader.Reader.open(w.path) as reader:
            for seq in (1, 100, 320):
                found = await reader.entry(ids[seq - 1])
                assert found is not None, (schema, seq)
                assert found.seq == seq
            newest = await reader.entry(str(uuid.UUID(int=5)))
            assert newest is not None
            assert newest.seq == 321, "of the tail"
            assert await reader.entry(str(uuid.UUID(int=6))) is None
