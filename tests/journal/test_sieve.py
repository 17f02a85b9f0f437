"""The sieve may only ever say that an id is new if it is: whatever it says of others costs time."""

from __future__ import annotations

import random
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import JournalError
from collector.event import Draft
from collector.journal.known_ids import FILL_ROWS
from collector.journal.sieve import WORD_BITS, WORD_BITS_MOST, WORD_IDS, Sieve
from tests.journal.world import World, spend, world

RAW = st.binary(min_size=16, max_size=16)


@given(st.lists(RAW), st.lists(RAW))
def test_what_was_added_is_possible_and_nothing_is_added_by_asking(
    added: list[bytes], others: list[bytes]
) -> None:
    sieve = Sieve()
    sieve.add(added)
    assert sieve.possible(others + added)[-len(added) or len(others) :] == added
    assert [one for one in added if one not in sieve.possible([one])] == []


def test_most_new_ids_need_no_look() -> None:
    rng = random.Random(1)
    sieve = Sieve()
    assert sieve.possible([bytes(16), b"x" * 16]) == []
    sieve.add([rng.randbytes(16) for _ in range(100_000)])
    asked = [rng.randbytes(16) for _ in range(10_000)]
    assert len(sieve.possible(asked)) < 10  # 0.1 ids a word: one of 4 is expected, at the utmost


def test_a_sieve_is_worn_once_it_has_taken_what_it_is_made_for_or_twice_what_there_was() -> None:
    few, many = [b"x"] * 1000, WORD_IDS << WORD_BITS_MOST
    for expected, most in ((0, WORD_IDS << WORD_BITS), (many, 2 * many)):
        sieve = Sieve(expected)
        sieve._added = most - 1000
        sieve.add(few)
        assert not sieve.worn
        sieve.add(few)
        assert sieve.worn


def test_an_indexed_id_is_known_before_during_and_after_the_filling(tmp_path: Path) -> None:
    with world(tmp_path / "events.db", small=True) as w:
        ids = [str(uuid.UUID(int=n * 7919 + 10**6)) for n in range(4 * FILL_ROWS)]
        recorded(w, ids)
        w.follow()
        assert w.journal.ids.sifted
        repeated(w, ids)
        w.close()
        w.open()
        assert not w.journal.ids.sifted
        repeated(w, ids)
        filling = w.journal.ids.fill_sieve()
        next(filling)
        repeated(w, ids)
        fresh = [str(uuid.UUID(int=n)) for n in range(50)]
        recorded(w, fresh)
        w.follow()
        spend(filling)
        assert w.journal.ids.sifted
        repeated(w, ids + fresh)


def test_ids_that_move_while_the_sieve_is_filled_are_known(tmp_path: Path) -> None:
    """A fold moves them from rows that were not read yet to others."""
    with world(tmp_path / "events.db", small=True) as w:
        ids = [str(uuid.UUID(int=n * 7919 + 10**6)) for n in range(400)]
        recorded(w, ids)
        w.step("ids", 40)
        w.close()
        w.open()
        filling = w.journal.ids.fill_sieve()
        for _ in filling:
            w.step("ids", 3)
        w.follow()
        assert w.journal.ids.sifted
        repeated(w, ids)


def test_ids_that_are_not_indexed_are_known_to_a_sieve_that_is_refilled(tmp_path: Path) -> None:
    """Those of the tail, and those that are committed while it is filled."""
    with world(tmp_path / "events.db", small=True) as w:
        indexed = [str(uuid.UUID(int=n * 7919 + 10**6)) for n in range(4 * FILL_ROWS)]
        recorded(w, indexed)
        w.follow()
        tail = [str(uuid.UUID(int=n + 1)) for n in range(3)]
        recorded(w, tail)
        w.journal.ids._sieve._most = 1
        assert not w.journal.ids.sifted
        meanwhile = []
        for step, _ in enumerate(w.journal.ids.fill_sieve()):
            meanwhile.append(str(uuid.UUID(int=1000 + step)))
            recorded(w, meanwhile[-1:])
        assert len(meanwhile) > 2
        assert w.journal.ids.sifted
        repeated(w, indexed + tail + meanwhile)


def test_an_id_recorded_anew_while_its_old_entry_is_indexed_stays_known(tmp_path: Path) -> None:
    with world(tmp_path / "events.db", small=True) as w:
        (first, second) = ids = [str(uuid.UUID(int=n * 7919 + 10**6)) for n in range(2)]
        recorded(w, ids)
        behind = list(w.journal.ids.tail.items())  # what the follower has read, and will write
        spend(w.pruner.oldest(2, "entries"))
        recorded(w, [first])
        w.journal.ids.indexed(behind)
        repeated(w, [first])
        recorded(w, [second])
        w.follow()
        repeated(w, ids)


def test_a_worn_sieve_is_made_anew_without_what_is_gone(tmp_path: Path) -> None:
    with world(tmp_path / "events.db", small=True) as w:
        ids = [str(uuid.UUID(int=n * 7919 + 1)) for n in range(200)]
        recorded(w, ids)
        w.follow()
        w.journal.ids._sieve._most = 100
        assert not w.journal.ids.sifted
        repeated(w, ids)
        spend(w.pruner.oldest(190, "entries"))
        spend(w.rooms.thinning.stale_ids(w.journal))
        spend(w.journal.ids.fill_sieve())
        assert w.journal.ids.sifted
        assert w.journal.ids._sieve._added == 10
        repeated(w, ids[190:])
        recorded(w, ids[:190])


def test_an_index_that_cannot_be_read_is_the_journals_error(tmp_path: Path) -> None:
    """Any other error would end the janitor."""
    with world(tmp_path / "events.db") as w:
        w.journal.connection.execute("ALTER TABLE ids RENAME TO elsewhere")
        with pytest.raises(JournalError):
            spend(w.journal.ids.fill_sieve())


def recorded(w: World, ids: list[str]) -> None:
    receipts = w.record([Draft(action="a.b", id=one) for one in ids])
    assert not any(receipt.duplicate for receipt in receipts)


def repeated(w: World, ids: list[str]) -> None:
    receipts = w.record([Draft(action="a.b", id=one) for one in ids])
    assert [receipt.id for receipt in receipts if receipt.duplicate] == ids
