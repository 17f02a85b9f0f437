"""Retention at run time, its bounds, its life beyond a restart; clearing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collector.event import Draft
from tests.web.conftest import House, eventually, house_at

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


async def test_a_preview_tells_what_the_change_then_removes_and_removes_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each category's own days included: thirty old entries, of which ten may stay."""
    daemon, now = house.daemon, house.daemon.wall
    aged = [Draft(action="n.a", category=each) for each in ("auth", "device", "entity") * 10]
    daemon.intake._wall = lambda: now() - 40 * 86_400
    daemon.intake.record_many(aged, source="queue")
    daemon.intake._wall = now
    monkeypatch.setattr(daemon.clock, "trusted", lambda: True)
    change = {"max_days": 30, "categories": {"auth": {"max_days": 365}, "device": {"max_days": 7}}}
    async with house.admin() as client:
        stored = daemon.janitor.pruner.entries
        said = (await client.post(f"{URL}/preview", json=change)).json()
        assert (said["count"], said["dry_run"]) == (20, True)
        assert daemon.janitor.pruner.entries == stored
        assert daemon.janitor.limits.max_days == 90
        off = (await client.post(f"{URL}/preview", json={**change, "enabled": False})).json()
        assert off["count"] == 0
        kept = {"categories": {"auth": {"max_days": 365}}, "max_days": 365}
        assert (await client.post(f"{URL}/preview", json=kept)).json()["count"] == 0
        assert (await client.put(URL, json=change)).status_code == 200
        await eventually(lambda: daemon.janitor.pruner.total >= 20)
        left = (await client.get("/api/v1/events?action=n.a&limit=200")).json()["entries"]
        [told] = (await client.get("/api/v1/events?action=events.pruned")).json()["entries"]
    assert [entry["category"] for entry in left] == ["auth"] * 10
    assert (told["metadata"]["count"], told["metadata"]["to_seq"]) == (20, said["to_seq"])


@pytest.mark.parametrize("change", [{"max_days": -1}, {"max_dyas": 1}, [], {"max_bytes": 5}])
async def test_a_preview_is_held_to_the_bounds_of_the_change(house: House, change: Any) -> None:
    async with house.admin() as client:
        answer = await client.post(f"{URL}/preview", json=change)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


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
