"""Audited resources end to end: versions, differences, the SQL view, the child resource, x-audit."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import House, house_at

pytestmark = pytest.mark.anyio
RESOURCE = {
    "slug": "categories",
    "object_type": "category",
    "audit": True,
    "ignore": ["touched_at"],
    "labels": {"name": "Name"},
}
URL = "/api/v1/categories-activity"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[House]:
    async with house_at(tmp_path, resources=[RESOURCE]) as made:
        yield made


def change(shop: House, action: str, id_: str, record: dict[str, Any] | None, **more: Any) -> None:
    fields = {"object_type": "category", "object_id": id_, "actor": "user:ada", **more}
    assert shop.record(f"category.{action}", record=record, **fields).ok


async def test_versions_are_changesets_newest_first_and_by_object(shop: House) -> None:
    change(shop, "created", "7", {"name": "Tea", "price": 1, "touched_at": 1})
    change(shop, "updated", "7", {"name": "Tea", "price": 1, "touched_at": 2})
    change(shop, "updated", "7", {"name": "Green tea", "price": 1})
    change(shop, "updated", "7", {"name": "Never"}, outcome="failure")
    change(shop, "created", "8", {"name": "Coffee"})
    change(shop, "deleted", "7", None)
    async with shop.admin() as client:
        page = (await client.get(URL)).json()
        assert [(c["object_id"], c["change_type"]) for c in page["items"]] == [
            ("7", "delete"),
            ("8", "create"),
            ("7", "update"),
            ("7", "create"),
        ]
        update = page["items"][2]
        assert update["fields"] == {"name": ["Tea", "Green tea"]}
        assert update["actor"] == "ada"
        only = (await client.get(f"{URL}?object_id=8")).json()["items"]
        assert [c["object_id"] for c in only] == ["8"]
        one = (await client.get(f"{URL}/{update['id']}")).json()
        assert one == update
        assert (await client.get(f"{URL}/1")).status_code == 404, "an entry that made no version"
        entry = (await client.get(f"/api/v1/events/{update['seq']}")).json()
        assert entry["changes"] == [{"field": "name", "old": "Tea", "new": "Green tea"}]


async def test_pages_of_changesets_follow_their_cursor(shop: House) -> None:
    for number in range(25):
        change(shop, "updated", str(number % 3), {"n": number})
    found: list[int] = []
    async with shop.admin() as client:
        cursor = ""
        while True:
            page = (await client.get(f"{URL}?limit=7{cursor}")).json()
            found += [item["seq"] for item in page["items"]]
            if not page["has_more"]:
                break
            cursor = f"&before_seq={page['next_before_seq']}"
    assert len(found) == len(set(found)) == 25
    assert found == sorted(found, reverse=True)


async def test_a_secret_that_changes_shows_and_the_secret_does_not(shop: House) -> None:
    change(shop, "created", "7", {"api_key": "canary-1"})
    change(shop, "updated", "7", {"api_key": "canary-1"})
    change(shop, "updated", "7", {"api_key": "canary-2"})
    async with shop.admin() as client:
        text = (await client.get(URL)).text
    first, _ = json.loads(text)["items"]
    assert len(json.loads(text)["items"]) == 2, "an unchanged secret is no version"
    old, new = first["fields"]["api_key"]
    assert old != new
    assert "canary" not in text


async def test_the_sql_view_says_the_same(shop: House, tmp_path: Path) -> None:
    change(shop, "created", "7", {"name": "Tea"})
    with sqlite3.connect(f"file:{tmp_path}/events.db?mode=ro", uri=True) as shell:
        rows = shell.execute(
            "SELECT object_id, actor, change_type, fields FROM categories_activity"
        ).fetchall()
    shell.close()
    assert [(a, b, c, json.loads(d)) for a, b, c, d in rows] == [
        ("7", "ada", "create", {"name": [None, "Tea"]})
    ]


async def test_the_document_marks_the_child_resource(shop: House) -> None:
    async with shop.client() as client:
        document = (await client.get("/openapi.json")).json()
    for path in (URL, f"{URL}/{{key}}"):
        audit = document["paths"][path]["get"]["x-audit"]
        assert audit["parent"] == "categories"
        assert audit["labels"] == {"name": "Name"}
    devices = document["paths"]["/api/v1/devices-activity"]["get"]["x-audit"]
    assert devices["parent"] == "devices"


async def test_a_record_of_an_unaudited_type_is_dropped_with_a_warning(shop: House) -> None:
    event = {"action": "a.b", "object_type": "other", "object_id": "1", "record": {"x": 1}}
    async with shop.admin() as client:
        reply = (await client.post("/api/v1/events", json=event)).json()["replies"][0]
    assert "other" in reply["warnings"][0]


async def test_changesets_of_another_tenant_are_not_there(shop: House) -> None:
    change(shop, "created", "7", {"name": "Tea"}, tenant_id="other")
    change(shop, "created", "8", {"name": "Mate"}, tenant_id="acme")
    async with shop.client(shop.key("viewer", tenant="acme")) as client:
        items = (await client.get(URL)).json()["items"]
        assert [item["object_id"] for item in items] == ["8"]
        foreign = items[0]["seq"] - 1
        assert (await client.get(f"{URL}/{foreign}")).status_code == 404
