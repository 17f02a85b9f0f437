"""Fingerprints: whatever the values are, a segment's buckets say where each of them occurs."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.query import Filter
from collector.journal import fingerprints
from collector.journal.fingerprints import (
    SEEDS,
    Packed,
    bucket_of,
    fingerprint_of,
    frequent_term,
    occurrence,
    packed,
    trace,
)
from collector.journal.postings import DENSE, SEGMENT, as_bits, bits, decode
from tests.journal import samples
from tests.journal.world import world

FIELDS = ("object_id", "correlation_id", "causation_id")


pytestmark = pytest.mark.anyio


def looked_up(rows: Packed, field: str, text: str) -> int:
    """The offsets that a reader finds for a value, as it looks them up."""
    fingerprint = fingerprint_of(field, text)
    stored = dict(rows.buckets).get(bucket_of(fingerprint), b"")
    found = fingerprints.found(stored, fingerprint)
    if found is None or found:
        assert trace(fingerprint) in stored, "a reader would not have been given the row"
    if found is None:
        found = decode(dict(rows.frequent)[frequent_term(fingerprint)])
    return as_bits(found)


def written(values: list[tuple[int, str, str]]) -> Packed:
    rows = packed(sorted(occurrence(SEEDS[field], text, at) for at, field, text in values))
    for keys in (rows.buckets, rows.frequent):
        assert len(dict(keys)) == len(keys)  # each row has its own key
    return rows


@given(
    st.lists(
        st.tuples(st.integers(0, SEGMENT - 1), st.sampled_from(FIELDS), st.text(max_size=9)),
        max_size=300,
    )
)
def test_every_value_is_found_exactly_where_it_occurs(values: list[tuple[int, str, str]]) -> None:
    expected: dict[tuple[str, str], set[int]] = defaultdict(set)
    for at, field, text in values:
        expected[field, text].add(at)
    rows = written(values)
    for (field, text), offsets in expected.items():
        found = looked_up(rows, field, text)
        # A foreign value may share the fingerprint, so more may be found, but never less.
        assert found & bits(offsets) == bits(offsets)
    by_print: dict[int, set[int]] = defaultdict(set)
    for (field, text), offsets in expected.items():
        by_print[fingerprint_of(field, text)] |= offsets
    for field, text in expected:
        assert looked_up(rows, field, text) == bits(by_print[fingerprint_of(field, text)])


def test_a_value_of_half_the_segment_is_a_bitmap_and_its_bucket_keeps_the_others() -> None:
    often = [(at, "object_id", "global") for at in range(0, SEGMENT, 2)]
    bucket = bucket_of(fingerprint_of("object_id", "global"))
    neighbours = [
        name
        for name in map(str, range(5000))
        if bucket_of(fingerprint_of("object_id", name)) == bucket
    ]
    assert neighbours
    rest = [(at, "object_id", name) for at, name in enumerate(neighbours)]
    rows = written(often + rest)
    assert [len(bitmap) for _, bitmap in rows.frequent] == [SEGMENT // 8]
    assert len(dict(rows.buckets)[bucket]) < SEGMENT // 8
    assert looked_up(rows, "object_id", "global") == bits(range(0, SEGMENT, 2))
    for at, name in enumerate(neighbours):
        assert looked_up(rows, "object_id", name) == bits([at])


def test_values_just_below_the_bitmaps_size_stay_in_their_bucket() -> None:
    rows = written([(at, "correlation_id", "job") for at in range(DENSE - 1)])
    ((_, stored),) = rows.buckets
    assert not rows.frequent
    assert len(stored) == 4 * (DENSE - 1)
    assert looked_up(rows, "correlation_id", "job") == bits(range(DENSE - 1))


def test_what_is_no_longer_stored_goes_and_the_rest_stays() -> None:
    rows = written([(at, "object_id", f"lamp-{at % 7}") for at in range(700)])
    live = bits(at for at in range(700) if at % 3)
    rows.buckets = [(bucket, fingerprints.only(stored, live)) for bucket, stored in rows.buckets]
    for lamp in range(7):
        expected = bits(at for at in range(lamp, 700, 7) if at % 3)
        assert looked_up(rows, "object_id", f"lamp-{lamp}") == expected
    assert {fingerprints.only(stored, 0) for _, stored in rows.buckets} == {b""}


def test_what_points_to_a_bitmap_stays_when_its_own_entry_is_gone() -> None:
    rows = written([(at, "object_id", "global") for at in range(DENSE)])
    ((bucket, stored),) = rows.buckets
    rows.buckets = [(bucket, fingerprints.only(stored, bits(range(1, DENSE))))]
    assert looked_up(rows, "object_id", "global") == bits(range(DENSE))


async def test_an_index_of_the_first_format_counts_as_none_and_is_replaced(tmp_path: Path) -> None:
    """A journal that an older collector indexed: its rows say nothing that a reader believes."""
    with world(tmp_path / "events.db", small=True) as w:
        rng = random.Random(5)
        w.record([samples.draft(rng, w.now) for _ in range(400)])
        run = w.journal.connection.execute
        run("INSERT INTO facts VALUES ('cursor.postings', 383)")
        run("INSERT INTO postings VALUES (0, x'69726f6f6d2d31', x'0000')")
        wanted = next(entry.object_id for entry in w.entries() if entry.object_id)
        expected = [entry.seq for entry in reversed(w.entries()) if entry.object_id == wanted]
        assert expected
        for _ in range(2):  # before the index is built, and after
            async with w.rooms.reader.Reader.open(w.path) as reader:
                page = await reader.page(Filter(object_id=(wanted,)), limit=200)
                assert [entry.seq for entry in page.entries] == expected
            w.follow()
        assert w.journal.cursor("postings") >= 383
        assert not run("SELECT 1 FROM postings WHERE term = x'69726f6f6d2d31'").fetchall()
