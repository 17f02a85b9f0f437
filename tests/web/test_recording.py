"""POST: one draft, arrays, NDJSON; each event answered alone, the request an error only as a whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from collector.web.batches import EVENT_BYTES_MAX, EVENTS_MAX
from tests.web.conftest import House

pytestmark = pytest.mark.anyio
NDJSON = {"Content-Type": "application/x-ndjson"}
URL = "/api/v1/events"
ID = "0192f1c4-0000-7000-8000-000000000001"


async def lines(client: httpx.AsyncClient, *events: Any) -> dict[str, Any]:
    body = "\n".join(e if isinstance(e, str) else json.dumps(e) for e in events).encode()
    answer = await client.post(URL, content=body, headers=NDJSON)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_a_draft_may_be_pretty_printed(house: House) -> None:
    async with house.admin() as client:
        body = json.dumps({"action": "a.b", "metadata": {"x": 1}}, indent=2).encode()
        answer = await client.post(URL, content=body, headers={"Content-Type": "application/json"})
        assert answer.json()["accepted"] == 1
        assert answer.json()["replies"][0]["seq"] == house.daemon.journal.last_seq


async def test_each_line_and_each_element_has_its_own_reply_in_order(house: House) -> None:
    events = [{"action": "a.b", "id": ID}, {"action": 5}, {"op": "status"}, {"action": "c.d"}]
    async with house.admin() as client:
        by_line = await lines(client, *events, "nonsense", "", {"action": "e.f", "id": ID})
        replies = by_line["replies"]
        assert [reply["ok"] for reply in replies] == [True, False, False, True, False, True]
        assert [r.get("code") for r in replies if not r["ok"]] == [
            "invalid_event",
            "invalid_event",
            "invalid_json",
        ]
        assert (by_line["accepted"], by_line["duplicates"], by_line["rejected"]) == (2, 1, 3)
        assert replies[5]["seq"] == replies[0]["seq"]
        array = (await client.post(URL, json=events)).json()
        assert [reply["ok"] for reply in array["replies"]] == [True, False, False, True]
        assert array["duplicates"] == 1


async def test_a_large_batch_is_answered_whole_and_in_order(house: House) -> None:
    async with house.admin() as client:
        found = await lines(client, *({"action": f"a.b{i % 7}"} for i in range(12_000)))
    seqs = [reply["seq"] for reply in found["replies"]]
    assert len(seqs) == found["accepted"] == 12_000
    assert seqs == list(range(seqs[0], seqs[0] + 12_000))


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b'{"action":5}', "application/json", 400, "invalid_event"),
        (b'{"action":"A B"}', "application/json", 400, "invalid_event"),
        (b"{", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b"[", "application/json", 400, "invalid_json"),
        (b'"x"', "application/json", 400, "invalid_event"),
        (b'{"action":"\xff"}', "application/json", 400, "invalid_json"),
        (b"[" * 5000, "application/json", 400, "invalid_json"),
        (b'{"action":"a.b"}', "text/plain", 415, "unsupported_media_type"),
        (b"action=a.b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b" " * (17 * 1024 * 1024), "application/json", 413, "too_large"),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_a_request_that_is_no_event_is_a_problem(
    house: House, body: bytes, kind: str, status: int, code: str
) -> None:
    async with house.admin() as client:
        answer = await client.post(URL, content=body, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_nothing_to_record_is_no_error(house: House) -> None:
    async with house.admin() as client:
        assert (await client.post(URL, json=[])).json()["accepted"] == 0
        assert (await lines(client, "", ""))["replies"] == []


async def test_secrets_are_redacted_on_this_way_in_too(house: House) -> None:
    async with house.admin() as client:
        await lines(client, {"action": "a.b", "metadata": {"password": "canary-9"}})
        await client.post(URL, json={"action": "a.b", "message": "token=canary-9"})
        assert "canary-9" not in (await client.get(URL)).text


async def test_a_disk_that_fails_is_said_with_a_way_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collector.errors import JournalIOError

    def broken() -> None:
        raise JournalIOError("no")

    async with house.admin() as client:
        monkeypatch.setattr(house.daemon.journal, "begin", broken)
        for answer in (
            await client.post(URL, json={"action": "a.b"}),
            await client.post(URL, content=b'{"action":"a.b"}\n', headers=NDJSON),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "io_error")
            assert answer.json()["retry"] is True
            assert answer.headers["retry-after"] == "1"


async def test_more_events_than_a_request_may_have_are_refused_whole(house: House) -> None:
    async with house.admin() as client:
        before = house.daemon.journal.last_seq
        for body, kind in (
            (b'{"action":"a.b"}\n' * (EVENTS_MAX + 1), "application/x-ndjson"),
            (b"[" + b"0," * EVENTS_MAX + b"0]", "application/json"),
        ):
            answer = await client.post(URL, content=body, headers={"Content-Type": kind})
            assert answer.status_code == 413
            assert answer.json()["code"] == "too_large"
        assert house.daemon.journal.last_seq == before


async def test_a_body_that_is_no_event_is_small(house: House) -> None:
    async with house.admin() as client:
        answer = await client.post("/api/v1/session", json={"key": "x" * 65 * 1024})
    assert answer.status_code == 413
    assert "every other path 64 KiB" in answer.json()["detail"]


async def test_an_event_that_is_too_long_fails_alone(house: House) -> None:
    long = b'{"action":"a.b","metadata":{"x":[' + b"[]," * (EVENT_BYTES_MAX // 3) + b"[]]}}"
    good = b'{"action":"a.b"}'
    async with house.admin() as client:
        for body, kind in (
            (b"\n".join([good, long, good]), "application/x-ndjson"),
            (b"[" + b",".join([good, long, good]) + b"]", "application/json"),
        ):
            found = (await client.post(URL, content=body, headers={"Content-Type": kind})).json()
            codes = [reply.get("code") for reply in found["replies"]]
            assert codes == [None, "too_large", None]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[" + (b"[" + b"[]," * 50 + b"0],") * 20_000 + b"0]", "application/json"),
        (b"[[" + b"[]," * 1_000_000 + b"[]]]", "application/json"),
        (b"\n" * 5_000_000, "application/x-ndjson"),
        (b'{"acton":1}\n' * 90_000, "application/x-ndjson"),
    ],
    ids=["many", "one", "blank", "mistaken"],
)
async def test_a_hostile_body_leaves_the_loop_to_others(
    house: House, body: bytes, kind: str
) -> None:
    """Others get their turn while it is worked on: counted in turns, since a machine may be slow."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with house.admin() as client, asyncio.TaskGroup() as group:
        other = group.create_task(others())
        answer = await client.post(URL, content=body, headers={"Content-Type": kind})
        other.cancel()
    assert answer.status_code in (200, 400, 413)
    assert turns > 30
