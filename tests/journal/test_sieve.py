"""The sieve may only ever say that an id is new if it is: whatever it says of others costs time."""

from __future__ import annotations

import random
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import JournalError
from collector.event import Draft
from collector.journal.sieve import FILL_ROWS, Sieve
from tests.journal.world import World, spend, world

RAW = st.binary(min_size=16, max_size=16)


@given(st.lists(RAW), st.lists(RAW))
def test_what_was_added_is_possible_and_nothing_is_added_by_asking(
    added: list[bytes], others: list[bytes]
) -> None:
    sieve = Sieve(complete=True)
    sieve.add(added)
    assert sieve.possible(others + added)[-len(added) or len(others) :] == added
    assert [one for one in added if one not in sieve.possible([one])] == []


def test_most_new_ids_need_no_look() -> None:
    rng = random.Random(1)
    sieve = Sieve(complete=True)
    sieve.add(rng.randbytes(16) for _ in range(100_000))
    asked = [rng.randbytes(16) for _ in range(10_000)]
    assert len(sieve.possible(asked)) < 10  # 0.1 ids a word: one of 4 is expected, at the utmost


def test_until_it_is_filled_everything_is_possible() -> None:
    asked = [bytes(16), b"x" * 16]
    assert Sieve(complete=False).possible(asked) == asked
    assert Sieve(complete=True).possible(asked) == []


def test_an_indexed_id_is_known_before_during_and_after_the_filling(tmp_path: Path) -> None:
    with world(tmp_path / "events.db", small=True) as w:
        ids = [str(uuid.UUID(int=n * 7919 + 10**6)) for n in range(3 * FILL_ROWS)]
        recorded(w, ids)
        spend(w.followers[1].steps())
        assert w.journal.ids.sieve.complete
        repeated(w, ids)
        w.close()
        w.open()
        assert not w.journal.ids.sieve.complete
        repeated(w, ids[::100])
        filling = w.journal.ids.fill_sieve()
        next(filling)
        repeated(w, ids[::100])
        fresh = [str(uuid.UUID(int=n)) for n in range(50)]  # they sort before where the filling is
        recorded(w, fresh)
        spend(w.followers[1].steps())
        spend(filling)
        assert w.journal.ids.sieve.complete
        repeated(w, ids[::100] + fresh)


def test_an_index_that_cannot_be_read_is_the_journals_error(tmp_path: Path) -> None:
    """Any other error would end the janitor."""
    path = tmp_path / "no.db"
    with closing(sqlite3.connect(path)) as connection, pytest.raises(JournalError):
        spend(Sieve(complete=False).fill(connection, path))


def recorded(w: World, ids: list[str]) -> None:
    receipts = w.record([Draft(action="a.b", id=one) for one in ids])
    assert not any(receipt.duplicate for receipt in receipts)


def repeated(w: World, ids: list[str]) -> None:
    receipts = w.record([Draft(action="a.b", id=one) for one in ids])
    assert [receipt.id for receipt in receipts if receipt.duplicate] == ids
