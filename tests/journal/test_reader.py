"""Readers against hostile and expensive questions, and what one answer costs."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from collector.core.query import KIND_FIELDS, Filter
from collector.errors import CollectorError, JournalError, QueryError, QueryTimeout
from collector.event import Draft, Principal
from collector.journal.finding import BATCH
from collector.journal.planning import VALUES_MAX
from collector.journal.reader import Reader
from tests.journal import samples
from tests.journal.world import World, spend, world

pytestmark = pytest.mark.anyio
TEXTUAL = (*KIND_FIELDS, "object_id", "actor", "target", "tenant_id", "org_id", "correlation_id")
HOSTILE = ("' OR 1=1 --", "\ud800", "a\0b", "%", "_", "*", ".*", "x" * 100_000, ":" * 150, "\U0010ffff*",
           "'; DROP TABLE log; --", "-1", "NULL", "")  # fmt: skip


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path / "events.db", small=True) as made:
        rng = random.Random(5)
        made.record([samples.draft(rng, made.now) for _ in range(400)])
        for name in ("totals", "postings", "words"):
            while made.journal.cursor(name) < 200:
                made.step(name)
        yield made


@pytest.mark.parametrize("field", TEXTUAL)
async def test_a_hostile_value_matches_nothing_and_breaks_nothing(w: World, field: str) -> None:
    async with w.rooms.reader.Reader.open(w.path) as reader:
        for text in HOSTILE:
            assert (await reader.page(Filter(**{field: (text,)}))).entries == [], text[:50]
        assert (await reader.count(Filter()))[0] == 400


@pytest.mark.parametrize("after", [None, 0], ids=["newest first", "oldest first"])
async def test_a_search_of_a_tail_of_several_batches_tells_each_match_once(
    tmp_path: Path, after: int | None
) -> None:
    """Nothing is indexed yet, so every row is looked at; matches stand at the batches' borders."""
    count = 3 * BATCH + 7
    needles = {3, BATCH - 1, BATCH, count - BATCH - 1, count - BATCH}
    with world(tmp_path / "events.db") as w:
        w.record([
            Draft(action="a.b", message="needle" if n in needles else "hay") for n in range(count)
        ])  # fmt: skip
        found = [entry.seq for entry in w.entries() if entry.message == "needle"]
        async with Reader.open(w.path) as reader:
            page = await reader.page(Filter(q="needle"), after=after, limit=50)
    assert len(found) == len(needles)
    assert [entry.seq for entry in page.entries] == (found if after == 0 else found[::-1])


async def test_as_many_objects_as_are_allowed_can_be_asked_for_and_no_more(w: World) -> None:
    objects = tuple(("device", str(number)) for number in range(VALUES_MAX + 1))
    async with w.rooms.reader.Reader.open(w.path) as reader:
        await reader.page(Filter(object=objects[:-1]))
        with pytest.raises(QueryError, match=f"at most {VALUES_MAX}"):
            await reader.page(Filter(object=objects))


@pytest.mark.parametrize("q", [*HOSTILE[:-1], "NEAR(a b)", '"', "a" * 10_000 + "*", "AND OR NOT"])
async def test_a_hostile_search_finds_words_or_is_refused(w: World, q: str) -> None:
    async with w.rooms.reader.Reader.open(w.path) as reader:
        try:
            await reader.page(Filter(q=q))
        except QueryError as error:
            refused = error.field
        else:
            refused = "q"
        assert refused == "q"


@pytest.mark.parametrize("number", [0, -1, -(2**70), 2**62, 2**63, 2**70])
async def test_numbers_of_any_size_are_cursors_and_times(w: World, number: int) -> None:
    async with w.rooms.reader.Reader.open(w.path) as reader:
        below = (await reader.page(Filter(), before=number, limit=500)).entries
        above = (await reader.page(Filter(), after=number, limit=500)).entries
        assert (len(below), len(above)) == ((400, 0) if number > 400 else (0, 400))
        assert (await reader.count(Filter(since=number)))[0] == len(
            [e for e in w.entries() if _time(e) >= number]
        )
        assert (await reader.count(Filter(until=number)))[0] == len(
            [e for e in w.entries() if _time(e) < number]
        )
        await reader.counts("action", "hour", Filter(since=number))
        assert await reader.entry(number) is None


def _time(entry: Any) -> int:
    from collector.core.rfc3339 import from_rfc3339

    return from_rfc3339(entry.occurred_at)


@pytest.mark.parametrize("field", TEXTUAL)
async def test_too_many_values_are_refused_by_name(w: World, field: str) -> None:
    async with w.rooms.reader.Reader.open(w.path) as reader:
        many = tuple(f"v{n}" for n in range(VALUES_MAX))
        assert (await reader.page(Filter(**{field: many}))).entries == []
        with pytest.raises(QueryError) as caught:
            await reader.page(Filter(**{field: (*many, "one-more")}))
        assert caught.value.field == field


async def test_thousands_of_kinds_and_actors_of_one_name_are_no_obstacle(tmp_path: Path) -> None:
    """More numbers than a statement should list, and more terms than are worth looking up."""
    with world(tmp_path / "events.db", small=True) as w:
        for start in range(0, 6000, 1000):
            w.record([
                Draft(action=f"many.a{n}", actor=Principal(name="Ada", role=f"r{n}"))
                for n in range(start, start + 1000)
            ])  # fmt: skip
        w.record([Draft(action="other.one", actor="user:1")])
        w.step("postings", 10_000)
        async with w.rooms.reader.Reader.open(w.path) as reader:
            for f in (Filter(action=("many.*",)), Filter(actor=("Ada",))):
                assert await reader.count(f) == (6000, True)
                assert (await reader.page(f, limit=1)).entries[0].seq == 6000
            both = Filter(action=("many.*",), actor=("user:1",))
            assert (await reader.page(both)).entries == []


# ── time ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_query_ends_at_its_time_limit_and_the_reader_lives(w: World) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    async with w.rooms.reader.Reader.open(w.path, seconds=0.2) as reader:
        start = time.monotonic()
        with pytest.raises(QueryTimeout, match=r"0\.2 s"):
            await reader.fetch(endless)
        assert time.monotonic() - start < 5
        assert len((await reader.page(Filter())).entries) == 50
        assert w.journal.wipe(), "its snapshot is gone"


async def test_no_time_at_all_is_a_timeout_for_every_question(w: World) -> None:
    async with w.rooms.reader.Reader.open(w.path) as reader:
        reader.seconds = -1
        f = Filter(q="device")
        for ask in (
            lambda: reader.page(f),
            lambda: reader.count(f),
            lambda: reader.facets(f),
            lambda: reader.facets(Filter()),
            lambda: reader.counts("action", None, f),
        ):
            with pytest.raises(QueryTimeout):
                await ask()


async def test_a_question_nobody_waits_for_any_more_ends(w: World) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    async with w.rooms.reader.Reader.open(w.path, seconds=60) as reader:
        with anyio.move_on_after(0.1) as scope:
            await reader.fetch(endless)
        assert scope.cancelled_caught
        with anyio.fail_after(10):
            assert len((await reader.page(Filter())).entries) == 50


async def test_a_slow_question_holds_up_no_other_connections(w: World) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    async with (
        w.rooms.reader.Reader.open(w.path, seconds=60, connections=2) as reader,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(reader.fetch, endless)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(20):
            for _ in range(5):
                await reader.page(Filter())
        tasks.cancel_scope.cancel()


async def test_questions_at_once_on_one_reader_are_each_answered(w: World) -> None:
    async with w.rooms.reader.Reader.open(w.path) as reader:
        found: dict[int, int] = {}

        async def ask(before: int) -> None:
            page = await reader.page(Filter(), before=before, limit=1)
            found[before] = page.entries[0].seq

        async with anyio.create_task_group() as group:
            for before in range(2, 60):
                group.start_soon(ask, before)
        assert found == {before: before - 1 for before in range(2, 60)}


async def test_a_page_waits_for_the_thread_once(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many statements it takes, so that a busy event loop delays it once and not ten times."""
    async with w.rooms.reader.Reader.open(w.path) as reader:
        hops = 0
        run = reader._connections[0]._execute

        async def counted(*args: Any) -> Any:
            nonlocal hops
            hops += 1
            return await run(*args)

        monkeypatch.setattr(reader._connections[0], "_execute", counted)
        rng = random.Random(1)
        for _ in range(20):
            hops = 0
            await reader.page(samples.any_filter(rng, w.now))
            assert hops == 1


async def test_facets_do_not_read_what_postings_tell(w: World) -> None:
    """Rows of indexed segments may be damaged, or be millions: they are not looked at."""
    async with w.rooms.reader.Reader.open(w.path) as reader:
        before = await reader.facets(Filter())
        segments = (w.journal.cursor("postings") + 1) // 64
        assert segments >= 3
        spend(w.pruner.oldest(70, "entries"))
        after = await reader.facets(Filter())
        assert sum(n for _, n in before["action"]) - sum(n for _, n in after["action"]) == 70
        # Behind the log's back: only a scan would notice.
        w.journal.connection.execute("DELETE FROM log WHERE seq = 130")
        assert await reader.facets(Filter()) == after


# ── one entry ───────────────────────────────────────────────────────────────────────────────────


async def test_an_entry_is_found_by_seq_and_by_either_kind_of_id(w: World) -> None:
    async with w.rooms.reader.Reader.open(w.path) as reader:
        for _ in range(2):
            for entry in w.entries()[::17]:
                assert await reader.entry(entry.seq) == entry
                assert await reader.entry(entry.id) == entry
                assert await reader.entry(entry.id.upper()) == entry
            spend(w.followers[1].steps())
        gone = w.entries()[0]
        spend(w.pruner.oldest(1, "entries"))
        for key in (gone.seq, gone.id, "no id", "0" * 32, 401):
            assert await reader.entry(key) is None


async def test_a_journal_that_is_not_there_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="daemon running"):
        await Reader.open(tmp_path / "events.db")
    (tmp_path / "other").write_text("no database at all, but long enough to be looked at" * 20)
    with pytest.raises(CollectorError):
        await Reader.open(tmp_path / "other")


async def test_an_answer_is_of_one_moment_however_many_statements_it_takes(w: World) -> None:
    between, recorded = threading.Event(), threading.Event()
    answer: list[int] = []

    def question(fetch: Any) -> None:
        answer.append(fetch("SELECT count(*) FROM log", ())[0][0])
        between.set()
        assert recorded.wait(20)
        answer.append(fetch("SELECT count(*) FROM log", ())[0][0])

    async with w.rooms.reader.Reader.open(w.path, seconds=60) as reader:
        async with anyio.create_task_group() as group:
            group.start_soon(reader._ask, question)
            assert await anyio.to_thread.run_sync(between.wait, 20)
            assert w.record([Draft(action="note.added")])[0].ok
            recorded.set()
        assert answer == [400, 400]
        assert (await reader.count(Filter()))[0] == 401
