"""Devices: list, detail with uptime, what people may set, and their history."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.web.conftest import House, house_at

pytestmark = pytest.mark.anyio
TABLE = [{"name": "Router", "address": "192.0.2.1", "check": "tcp://192.0.2.1:80"}]


@pytest.fixture
async def home(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with house_at(tmp_path, devices=TABLE) as made:
        yield made


async def test_a_device_is_listed_and_shown_with_uptime_and_activity(home: House) -> None:
    async with home.admin() as client:
        [device] = (await client.get("/api/v1/devices")).json()["devices"]
        assert (device["name"], device["addresses"]) == ("Router", ["192.0.2.1"])
        now = dt.datetime.now(dt.UTC)
        for hours, before, after in ((12, "online", "offline"), (6, "offline", "online")):
            home.record(
                "device.health_changed",
                category="device",
                object_type="device",
                object_id=device["id"],
                occurred_at=now - dt.timedelta(hours=hours),
                metadata={"from": before, "to": after},
            )
        detail = (await client.get(f"/api/v1/devices/{device['id']}")).json()
    assert set(detail["uptime"]) == {"24h", "7d", "30d"}
    assert "device.discovered" in {entry["action"] for entry in detail["activity"]}
    assert 0.4 < detail["uptime"]["24h"] < 0.6, "known for 12 hours, up for 6 of them"


async def test_people_may_rename_ignore_and_maintain(home: House) -> None:
    async with home.client(home.key("admin", label="ada")) as client:
        id_ = (await client.get("/api/v1/devices")).json()["devices"][0]["id"]
        url = f"/api/v1/devices/{id_}"
        assert (await client.patch(url, json={"name": "Edge"})).json()["display_name"] == "Edge"
        until = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)).isoformat()
        row = (await client.patch(url, json={"ignored": True, "maintenance_until": until})).json()
        assert row["ignored"] is True
        assert row["maintenance_until"][:13] == until[:13]
        assert row["display_name"] == "Edge", "what is left out stays"
        assert (await client.patch(url, json={"maintenance_until": None})).status_code == 200
        assert (await client.patch(url, json={"name": None})).json()["display_name"] == "Router"
        updated = (await client.get("/api/v1/events?action=device.updated")).json()["entries"]
        assert {entry["actor"]["id"] for entry in updated} == {"ada"}
        for bad in ({"name": 5}, {"nmae": "x"}, {"ignored": "yes"}, {"name": "x" * 201}):
            assert (await client.patch(url, json=bad)).status_code == 400
        far = {"maintenance_until": "2999-01-01T00:00:00Z"}
        assert (await client.patch(url, json=far)).status_code == 400


async def test_a_devices_changes_are_an_audited_resource(home: House) -> None:
    async with home.admin() as client:
        id_ = (await client.get("/api/v1/devices")).json()["devices"][0]["id"]
        await client.patch(f"/api/v1/devices/{id_}", json={"name": "Edge"})
        found = (await client.get(f"/api/v1/devices-activity?object_id={id_}")).json()["items"]
    assert [change["change_type"] for change in found] == ["update", "create"]
    assert found[0]["fields"]["name"] == ["Router", "Edge"]
