"""Retention at run time, its bounds, its life beyond a restart; clearing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import House, house_at

pytestmark = pytest.mark.anyio
URL = "/api/v1/settings/retention"


async def test_a_change_is_in_force_recorded_and_visible_and_a_delete_takes_it_back(
    house: House,
) -> None:
    async with house.client(house.key("admin", label="ada")) as client:
        before = (await client.get(URL)).json()
        assert before["override"] is None
        assert before["max_days"] == before["file"]["max_days"] == 90
        change = {"max_days": 30, "categories": {"auth": {"max_days": 365}}}
        after = (await client.put(URL, json=change)).json()
        assert (after["max_days"], after["categories"]) == (30, {"auth": {"max_days": 365}})
        assert after["max_entries"] == before["max_entries"], "what is left out stays"
        assert after["file"] == before["file"]
        assert house.daemon.janitor.limits.max_days == 30
        assert (await client.get("/api/v1/status")).json()["retention"]["overridden"] is True
        assert (await client.delete(URL)).json() == before
        events = (await client.get("/api/v1/events?action=settings.updated")).json()["entries"]
    back, there = events
    assert there["metadata"]["changes"]["max_days"] == {"from": 90, "to": 30}
    assert back["metadata"]["changes"]["max_days"] == {"from": 30, "to": 90}
    assert {entry["actor"]["id"] for entry in events} == {"ada"}


@pytest.mark.parametrize(
    "change",
    [
        {"max_days": -1},
        {"max_days": 3651},
        {"max_days": "30"},
        {"max_days": 1.5},
        {"max_entries": 100_000_001},
        {"max_bytes": 1000},
        {"enabled": 1},
        {"categories": {"nonsense": {"max_days": 1}}},
        {"categories": {"auth": {"max_days": 3651}}},
        {"categories": {"auth": 5}},
        {"max_dyas": 5},
        [],
    ],
    ids=str,
)
async def test_a_value_out_of_bounds_changes_nothing(house: House, change: Any) -> None:
    async with house.admin() as client:
        before = (await client.get(URL)).json()
        answer = await client.put(URL, json=change)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert (await client.get(URL)).json() == before


async def test_settings_outlive_a_restart_and_a_categorys_name_may_be_the_configurations(
    tmp_path: Path,
) -> None:
    own = {"categories": ["invoices"]}
    async with house_at(tmp_path, **own) as house, house.admin() as client:
        change = {"enabled": False, "categories": {"invoices": {"max_days": 0}}}
        assert (await client.put(URL, json=change)).status_code == 200
    async with house_at(tmp_path, **own) as house, house.admin() as client:
        found = (await client.get(URL)).json()
    assert (found["enabled"], found["override"]["enabled"], found["file"]["enabled"]) == (
        False,
        False,
        True,
    )
    assert found["categories"] == {"invoices": {"max_days": 0}}


async def test_a_preview_removes_nothing(house: House) -> None:
    async with house.admin() as client:
        for _ in range(30):
            house.record()
        last = house.daemon.journal.last_seq
        found = (await client.get(f"{URL}/preview?max_entries=10")).json()
        assert found["count"] == last - 10
        assert found["dry_run"] is True
        assert house.daemon.journal.first_seq() == 1


async def test_clearing_needs_its_word_and_leaves_one_entry_with_who_and_how_many(
    house: House,
) -> None:
    async with house.client(house.key("admin", label="ada")) as client:
        for _ in range(20):
            house.record()
        for query in ("", "?confirm=yes", "?confirm="):
            assert (await client.delete(f"/api/v1/events{query}")).status_code == 400
        count = house.daemon.journal.last_seq
        assert (await client.delete("/api/v1/events?confirm=clear")).json() == {"count": count}
        page = (await client.get("/api/v1/events")).json()
    [entry] = page["entries"]
    assert (entry["action"], entry["metadata"]["count"]) == ("events.cleared", count)
    assert entry["seq"] == count + 1, "a seq is never used again"
    assert entry["actor"]["id"] == "ada"
