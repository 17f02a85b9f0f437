"""Export: complete, formula-safe, in constant memory, and itself an entry."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from collector.core.csv_form import CSV_COLUMNS
from collector.event import Draft
from tests.web.conftest import House
from tests.web.running import running

pytestmark = pytest.mark.anyio
URL = "/api/v1/events/export"


async def test_each_form_holds_everything_that_matches_oldest_first(house: House) -> None:
    house.daemon.intake.record_many(
        [Draft(action="a.b")] * 1203 + [Draft(action="c.d")], source="queue"
    )
    async with house.admin() as client:
        rows = list(
            csv.reader(io.StringIO((await client.get(f"{URL}?format=csv&action=a.b")).text))
        )
        assert rows[0] == list(CSV_COLUMNS)
        whole = json.loads((await client.get(f"{URL}?format=json&action=a.b")).text)
        answer = await client.get(f"{URL}?action=a.b")
        by_line = [json.loads(line) for line in answer.text.splitlines()]
        assert whole == by_line
        assert [entry["seq"] for entry in whole] == sorted(entry["seq"] for entry in whole)
        assert len(whole) == len(rows) - 1 == 1203
        assert 'filename="events.ndjson"' in answer.headers["content-disposition"]


async def test_nothing_that_matches_is_an_empty_export(house: House) -> None:
    async with house.admin() as client:
        assert json.loads((await client.get(f"{URL}?format=json&action=no.such")).text) == []
        assert (await client.get(f"{URL}?format=ndjson&action=no.such")).text == ""
        assert (await client.get(f"{URL}?format=xml")).status_code == 400


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
async def test_no_cell_is_a_formula(house: House, start: str) -> None:
    house.record("a.b", object_name=f"{start}cmd|' /C calc'!A0", message=f'{start}1,"\n2')
    async with house.admin() as client:
        text = (await client.get(f"{URL}?format=csv&action=a.b")).text
    row = dict(zip(*csv.reader(io.StringIO(text)), strict=True))
    assert row["object_name"].startswith("'")
    assert row["message"].startswith("'")
    assert "\n" not in row["message"]


async def test_an_export_is_recorded_with_who_and_how_many(house: House) -> None:
    for _ in range(3):
        house.record("a.b")
    async with house.client(house.key("viewer", label="auditor")) as client:
        await client.get(f"{URL}?format=csv&action=a.b")
        [entry] = (await client.get("/api/v1/events?action=events.exported")).json()["entries"]
    assert entry["metadata"] == {"format": "csv", "count": 3, "complete": True}
    assert entry["actor"]["id"] == "auditor"
    assert entry["producer"] == {"assurance": "key", "key": "auditor"}


@pytest.mark.slow
def test_a_large_export_takes_constant_memory_and_one_cut_short_says_so(tmp_path: Path) -> None:
    """40,000 entries: what is sent is three times what memory may grow by."""
    with running(tmp_path) as daemon, daemon.api() as client:
        body = b'{"action":"a.b","message":"%s"}\n' % (b"x" * 400) * 10_000
        for _ in range(4):
            headers = {"Content-Type": "application/x-ndjson"}
            client.post("/api/v1/events", content=body, headers=headers)
        with client.stream("GET", URL) as response:
            for _ in response.iter_bytes():
                pass
        before, most, size = daemon.memory(), 0, 0
        with client.stream("GET", URL) as response:
            for chunk in response.iter_bytes():
                size += len(chunk)
                most = max(most, daemon.memory())
        assert size > 24_000_000
        assert most - before < 8_000_000
        with client.stream("GET", URL) as response:
            next(response.iter_bytes())
        deadline = 50
        found: list[bool] = []
        while len(found) < 3 and deadline:
            page = client.get("/api/v1/events?action=events.exported").json()
            found = [entry["metadata"]["complete"] for entry in page["entries"]]
            deadline -= 1
        assert found == [False, True, True]
