"""Pages, filters and cursors: nothing skipped, nothing twice, and always what was asked for."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.core.matching import matcher
from collector.core.query import Filter
from collector.errors import QueryError
from collector.event import Draft, Entry, Principal
from tests.web.conftest import House

pytestmark = pytest.mark.anyio
URL = "/api/v1/events"
ACTIONS = ["device.lost", "device.updated", "settings.updated", "auth.login", "devices.x"]


def vary(house: House, count: int, seed: int = 1) -> None:
    chance = random.Random(seed)
    drafts = [
        Draft(
            action=chance.choice(ACTIONS),
            category=chance.choice(["device", "auth", None]),
            outcome=chance.choice(["success", "failure", None]),
            actor=Principal(type="user", id=str(chance.randrange(4)), name=chance.choice("AB")),
            object_type="thing",
            object_id=str(chance.randrange(5)),
            tenant_id=chance.choice(["t1", None]),
            message=chance.choice(["lamp kitchen off", "lamp hall on", None]),
        )
        for _ in range(count)
    ]
    house.daemon.intake.record_many(drafts, source="queue")


async def pages(client: Any, query: str, up: bool = False) -> list[dict[str, Any]]:
    """Every entry by following the cursors."""
    found: list[dict[str, Any]] = []
    cursor = "&after_seq=0" if up else ""
    while True:
        page = (await client.get(f"{URL}?limit=7&{query}{cursor}")).json()
        found += page["entries"]
        if not page["has_more"]:
            return found
        name = "after_seq" if up else "before_seq"
        cursor = f"&{name}={page[f'next_{name}']}"


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "action": st.lists(
            st.sampled_from([*ACTIONS, "device.*", "no.such"]), min_size=1, max_size=2
        ),
        "category": st.lists(st.sampled_from(["device", "auth"]), min_size=1, max_size=1),
        "outcome": st.lists(st.sampled_from(["success", "failure"]), min_size=1, max_size=2),
        "actor": st.lists(st.sampled_from(["user:1", "2", "A"]), min_size=1, max_size=2),
        "object_id": st.lists(st.sampled_from("012"), min_size=1, max_size=2),
        "tenant_id": st.just(["t1"]),
        "q": st.sampled_from(["lamp", "kit*", "lamp hall", "device"]),
    },
)


async def test_any_filter_gives_what_a_scan_gives_up_and_down_and_live(house: House) -> None:
    key = house.key("admin")
    vary(house, 300)
    everything: list[Entry] = house.daemon.journal.entries(1, house.daemon.journal.last_seq)

    async def check(asked: dict[str, Any]) -> None:
        plain = {k: v if k == "q" else tuple(v) for k, v in asked.items()}
        passes = matcher(Filter(**plain))
        wanted = [entry.seq for entry in everything if passes(entry)]
        query = urlencode(asked, doseq=True)
        assert [e["seq"] for e in await pages(client, query)] == wanted[::-1]
        assert [e["seq"] for e in await pages(client, query, up=True)] == wanted
        total = (await client.get(f"{URL}?total=true&limit=1&{query}")).json()
        assert (total["total"], total["total_at_least"]) == (len(wanted), None)

    loop = asyncio.get_running_loop()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(FILTERS)
    def holds(asked: dict[str, Any]) -> None:
        asyncio.run_coroutine_threadsafe(check(asked), loop).result(20)

    async with house.client(key) as client:
        await asyncio.to_thread(holds)


async def test_pages_neither_skip_nor_repeat_while_events_arrive_and_pruning_removes(
    house: House,
) -> None:
    """What was there at the first page and is there at the last is seen exactly once."""
    vary(house, 400)
    first = house.daemon.journal.last_seq
    stop = asyncio.Event()

    async def write() -> None:
        number = 0
        while not stop.is_set():
            house.record("noise.made", object_id=str(number))
            number += 1
            await asyncio.sleep(0.001)

    async def prune() -> None:
        from collector.core.control import PruneRequest
        from tests.web.conftest import BOSS

        for keep in range(380, 200, -20):
            entries = house.daemon.journal.last_seq - house.daemon.journal.first_seq() + 1
            await house.daemon.control.prune(
                PruneRequest(max_entries=max(1, min(entries, keep + entries - 400))), BOSS
            )
            await asyncio.sleep(0.005)

    async with house.admin() as client:
        writing, pruning = asyncio.create_task(write()), asyncio.create_task(prune())
        seen = [entry["seq"] for entry in await pages(client, "")]
        await pruning
        stop.set()
        await writing
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, reverse=True)
    still_there = {entry.seq for entry in house.daemon.journal.entries(1, first)}
    assert len(still_there) < first, "pruning did take entries away"
    assert still_there <= set(seen)


async def test_an_entry_is_found_by_seq_and_by_either_spelling_of_its_id(house: House) -> None:
    receipt = house.record("a.b", id="0192F1C4-0000-7000-8000-00000000000A")
    async with house.admin() as client:
        for key in (receipt.seq, receipt.id, str(receipt.id).upper()):
            assert (await client.get(f"{URL}/{key}")).json()["action"] == "a.b"


async def test_an_entry_has_every_key(house: House) -> None:
    house.record()
    async with house.admin() as client:
        entry = (await client.get(f"{URL}?limit=1")).json()["entries"][0]
    assert list(entry) == list(Entry.__struct_fields__)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=ten",
        "limit=5&limit=6",
        "before_seq=-1",
        "before_seq=null",
        "catgory=auth",
        "outcome=good",
        "since=someday",
        "since=now&since=now",
        "q=%21%21",
        "total=perhaps",
        "action=",
        "&".join(f"action=a{i}" for i in range(51)),
        "actor=" + "x" * 1000,
        "action=%2A",
        "action=device%2A",
        "action=Device.Lost",
        "category=%2A",
        "category=Auth",
    ],
    ids=lambda query: query[:30],
)
async def test_a_question_that_makes_no_sense_names_its_parameter(house: House, query: str) -> None:
    async with house.admin() as client:
        answer = await client.get(f"{URL}?{query}")
        assert answer.status_code == 400
        assert answer.json()["code"] in ("invalid_query", "invalid_request")
        assert answer.json()["detail"].startswith(query.partition("=")[0])


async def test_a_misspelt_filter_is_told_its_nearest_name(house: House) -> None:
    async with house.admin() as client:
        assert "did you mean category?" in (await client.get(f"{URL}?catgory=auth")).text


async def test_a_bad_filter_is_told_in_the_words_of_the_command_line(house: House) -> None:
    from collector.cli.filters import NAMES, taken

    given: dict[str, Any] = dict.fromkeys(NAMES, ()) | dict.fromkeys(("since", "until"))
    async with house.admin() as client:
        for name, flag, value in (
            ("action", "-a", "*"),
            ("category", "-c", "Auth!"),
            ("since", "--since", "someday"),
        ):
            asked = given | {name: value if name == "since" else (value,)}
            with pytest.raises(QueryError) as refused:
                taken(asked)
            answer = (await client.get(URL, params={name: value})).json()
            assert (answer["status"], answer["code"]) == (400, "invalid_query")
            assert answer["detail"] == str(refused.value).replace(flag, name, 1)
        everything = (await client.get(f"{URL}?action=*")).json()["detail"]
    assert "leave it out" in everything


async def test_what_an_event_caused_is_found_by_its_id(house: House) -> None:
    cause = house.record("backup.started")
    effects = [house.record("file.copied", causation_id=cause.id).seq for _ in range(3)]
    async with house.admin() as client:
        page = (await client.get(URL, params={"causation_id": cause.id})).json()
        assert [entry["seq"] for entry in page["entries"]] == effects[::-1]
        other = {"causation_id": cause.id, "action": "backup.started"}
        assert (await client.get(URL, params=other)).json()["entries"] == []
        exported = (await client.get(f"{URL}/export", params={"causation_id": cause.id})).text
        assert len(exported.splitlines()) == 3


async def test_times_are_understood_in_the_command_lines_forms(house: House) -> None:
    house.record("a.b")
    async with house.admin() as client:
        for query, count in (
            ({"since": "-2h"}, 1),
            ({"since": "10 min ago", "until": "now"}, 1),
            ({"until": "yesterday"}, 0),
            ({"since": "2020-01-01"}, 1),
            ({"since": "2020-01-01T00:00:00+01:00"}, 1),
        ):
            page = (await client.get(URL, params={"action": "a.b", **query})).json()
            assert len(page["entries"]) == count, query
        unescaped = await client.get(f"{URL}?action=a.b&since=2020-01-01T00:00:00+01:00")
        assert unescaped.status_code == 200


async def test_a_total_beyond_the_cap_is_at_least(house: House) -> None:
    house.daemon.intake.record_many([Draft(action="a.b")] * 10_001, source="queue")
    async with house.admin() as client:
        page = (await client.get(f"{URL}?total=true")).json()
    assert (page["total"], page["total_at_least"]) == (None, 10_000)


async def test_facets_and_stats_count_what_is_there_and_stats_outlive_pruning(house: House) -> None:
    from collector.core.control import PruneRequest
    from tests.web.conftest import BOSS

    vary(house, 100)
    async with house.admin() as client:
        facets = (await client.get(f"{URL}/facets?category=auth")).json()
        assert [value["value"] for value in facets["category"]] == ["auth"]
        assert sum(v["count"] for v in facets["action"]) == facets["category"][0]["count"]
        before = (await client.get("/api/v1/stats?by=action&bucket=day")).json()["counts"]
        await house.daemon.control.prune(PruneRequest(max_entries=10), BOSS)
        after = (await client.get("/api/v1/stats?by=action&bucket=day")).json()["counts"]
        told = [c for c in after if c["value"] != "events.pruned"]
        assert {(c["value"], c["count"]) for c in told} == {
            (c["value"], c["count"]) for c in before
        }
        assert (await client.get(f"{URL}?total=true")).json()["total"] < 20


async def test_a_query_that_takes_too_long_is_stopped_and_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    vary(house, 50)
    monkeypatch.setattr(house.reader, "seconds", -1.0)
    async with house.admin() as client:
        answer = await client.get(f"{URL}?q=lamp")
    assert (answer.status_code, answer.json()["code"]) == (503, "query_timeout")


async def test_questions_that_are_given_up_leave_the_reader_usable(house: House) -> None:
    vary(house, 300)
    for turns in range(40):
        asking = asyncio.create_task(house.reader.page(Filter(q="lamp"), limit=50))
        for _ in range(turns % 8):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert len((await house.reader.page(Filter(), limit=50)).entries) == 50
