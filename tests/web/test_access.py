"""The role matrix: every path, asked by everyone who can ask, as one table."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from collector.event import Producer
from tests.web.conftest import House

pytestmark = pytest.mark.anyio

ROLES = ("admin", "viewer", "producer", "anonymous", "stranger", "tenant", "peer", "root")
"""`tenant` is an admin key of one tenant, `stranger` anonymous from elsewhere."""
JSON: dict[str, Any] = {"json": {}}
EVENT: dict[str, Any] = {"json": {"action": "x.y"}}
LOGIN: dict[str, Any] = {"json": {"key": "ck_wrong"}}

READ = "200 200 403 200 401 200 200 200"
WHOLE = "200 200 403 200 401 403 200 200"
ADMIN = "200 403 403 401 401 403 403 200"
MATRIX: list[tuple[str, str, dict[str, Any], str]] = [
    ("GET", "/api/v1/events", {}, READ),
    ("GET", "/api/v1/events/facets", {}, READ),
    ("GET", "/api/v1/stats", {}, READ),
    ("GET", "/api/v1/devices-activity", {}, READ),
    ("GET", "/api/v1/events/999999", {}, READ.replace("200", "404")),
    ("GET", "/api/v1/devices-activity/999999", {}, READ.replace("200", "404")),
    ("GET", "/api/v1/events/export", {}, "200 200 403 401 401 200 200 200"),
    ("POST", "/api/v1/events", EVENT, "200 403 200 401 401 200 403 200"),
    ("DELETE", "/api/v1/events?confirm=clear", {}, ADMIN),
    ("GET", "/api/v1/devices", {}, WHOLE),
    ("GET", "/api/v1/devices/nobody", {}, WHOLE.replace("200", "404")),
    ("PATCH", "/api/v1/devices/nobody", JSON, ADMIN.replace("200", "404")),
    ("GET", "/api/v1/settings/retention", {}, WHOLE),
    ("POST", "/api/v1/settings/retention/preview", JSON, ADMIN),
    ("PUT", "/api/v1/settings/retention", JSON, ADMIN),
    ("DELETE", "/api/v1/settings/retention", {}, ADMIN),
    ("GET", "/api/v1/keys", {}, ADMIN),
    ("POST", "/api/v1/keys", JSON, ADMIN.replace("200", "400")),
    ("DELETE", "/api/v1/keys/nobody", {}, ADMIN.replace("200", "404")),
    ("GET", "/api/v1/status", {}, WHOLE),
    ("GET", "/metrics", {}, WHOLE),
    ("GET", "/api/v1/session", {}, " ".join(["200"] * 8)),
    ("POST", "/api/v1/session", LOGIN, " ".join(["401"] * 8)),
    ("DELETE", "/api/v1/session", {}, "204 204 204 401 401 204 204 204"),
    ("GET", "/healthz", {}, " ".join(["200"] * 8)),
    ("GET", "/readyz", {}, " ".join(["200"] * 8)),
    ("GET", "/openapi.json", {}, " ".join(["200"] * 8)),
]


def client_as(house: House, role: str) -> httpx.AsyncClient:
    if role == "tenant":
        return house.client(house.key("admin", tenant="acme"))
    if role in ("peer", "root"):
        uid = 0 if role == "root" else 12_345
        return house.client(peer=Producer(assurance="peercred", uid=uid, user=role))
    if role == "anonymous":
        return house.client()
    if role == "stranger":
        return house.client(address=("192.0.2.9", 5))
    return house.client(house.key(role))  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "path", "body", "expected"), MATRIX, ids=lambda v: str(v)[:40])
async def test_each_role_may_do_what_the_table_says(
    house: House, method: str, path: str, body: dict[str, Any], expected: str
) -> None:
    found = []
    for role in ROLES:
        async with client_as(house, role) as client:
            response = await client.request(method, path, **body)
            found.append(str(response.status_code))
            if response.status_code >= 400:
                assert response.headers["content-type"] == "application/problem+json"
                assert response.json()["status"] == response.status_code
    assert dict(zip(ROLES, found, strict=True)) == dict(zip(ROLES, expected.split(), strict=True))


async def test_the_table_names_every_operation_of_the_document(house: House) -> None:
    async with house.client() as client:
        document = (await client.get("/openapi.json")).json()
    asked = {(method.lower(), path.partition("?")[0]) for method, path, _, _ in MATRIX}
    for path, methods in document["paths"].items():
        for method in methods:
            lead = path.partition("{")[0]
            found = [p for m, p in asked if m == method and p.startswith(lead)]
            assert found or path.endswith("/stream"), f"{method} {path} is in no row"


async def test_a_stream_needs_a_reader(house: House) -> None:
    async with house.client(house.key("producer")) as client:
        assert (await client.get("/api/v1/events/stream")).status_code == 403


async def test_an_unknown_path_is_a_problem_and_an_unknown_method_names_the_known(
    house: House,
) -> None:
    async with house.admin() as client:
        assert (await client.get("/api/v1/nothing")).json()["code"] == "not_found"
        answer = await client.put("/api/v1/events")
        assert answer.status_code == 405
        assert {m.strip() for m in answer.headers["allow"].split(",")} >= {
            *("GET", "HEAD", "POST", "DELETE")
        }
        endless = await client.put("/api/v1/events/export")
        assert "HEAD" not in endless.headers["allow"]
        assert (await client.head("/api/v1/events/export")).status_code == 405
        options = await client.options("/api/v1/events")
        assert options.status_code == 204
        assert options.content == b""
        assert "DELETE" in options.headers["allow"]


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("GET", "/api/v1/events/abc", None, "key: expected a seq, or the id of an entry"),
        ("GET", "/api/v1/stats?by=month", None, "by: 'month' is not one of action, category"),
        ("GET", "/api/v1/stats?bucket=week", None, "bucket: 'week' is not one of hour, day"),
        ("GET", "/api/v1/events/export?format=xml", None, "format: 'xml' is not one of csv, json"),
        ("GET", "/api/v1/nothing", None, "there is no such path; /openapi.json lists"),
        ("PUT", "/api/v1/events", None, "`Allow` names those that it does"),
        ("POST", "/api/v1/keys", {"label": "a", "role": "boss"}, "one of admin, viewer, producer"),
        ("POST", "/api/v1/keys", {"label": "a b", "role": "admin"}, "letters, digits and . _ @ -"),
        ("DELETE", "/api/v1/keys/a%20b", None, "letters, digits and . _ @ -"),
    ],
)
async def test_a_refusal_says_in_words_what_would_do(
    house: House, method: str, path: str, body: Any, said: str
) -> None:
    async with house.admin() as client:
        detail = (await client.request(method, path, json=body)).json()["detail"]
    assert said in detail
    assert "regex" not in detail


async def test_who_may_not_is_told_who_may(house: House) -> None:
    async with house.client(house.key("viewer")) as client:
        answer = await client.post("/api/v1/events", json={"action": "a.b"})
    assert answer.json()["detail"] == (
        "the role viewer may not do this; it needs admin or producer"
    )


async def test_nothing_of_the_log_is_kept_by_a_browser(house: House) -> None:
    async with house.admin() as client:
        for path in ("/api/v1/events", "/api/v1/keys", "/api/v1/nothing", "/metrics"):
            assert (await client.get(path)).headers["cache-control"] == "no-store"
        types = [
            (await client.get(path)).headers["content-type"]
            for path in ("/api/v1/events/export?format=csv", "/metrics")
        ]
    assert [kind.count("charset") for kind in types] == [1, 1]


async def test_viewers_see_no_whole_address_and_admins_do(house: House) -> None:
    house.record("a.b", ip="192.0.2.7")
    for key, seen in ((None, "192.0.2.x"), (house.key("admin"), "192.0.2.7")):
        async with house.client(key) as client:
            listed = (await client.get("/api/v1/events?action=a.b")).json()["entries"][0]
            single = (await client.get(f"/api/v1/events/{listed['seq']}")).json()
            assert listed["ip"] == single["ip"] == seen
    async with house.client(house.key("viewer")) as client:
        for form in ("csv", "json", "ndjson"):
            text = (await client.get(f"/api/v1/events/export?format={form}&action=a.b")).text
            assert "192.0.2.x" in text
            assert "192.0.2.7" not in text


async def test_a_key_of_a_tenant_sees_and_writes_only_that_tenant(house: House) -> None:
    other = house.record("a.b", tenant_id="other")
    house.record("a.b")
    async with house.client(house.key("admin", tenant="acme")) as client:
        ours = (await client.post("/api/v1/events", json={"action": "c.d"})).json()["replies"][0]
        assert [e["action"] for e in (await client.get("/api/v1/events")).json()["entries"]] == [
            "c.d"
        ]
        assert (await client.get(f"/api/v1/events/{ours['seq']}")).json()["tenant_id"] == "acme"
        assert (await client.get(f"/api/v1/events/{other.seq}")).status_code == 404
        assert (await client.get("/api/v1/events?tenant_id=other")).status_code == 400
        counts = (await client.get("/api/v1/stats")).json()["counts"]
        assert [count["value"] for count in counts] == ["c.d"]
        assert "a.b" not in (await client.get("/api/v1/events/export")).text
        refused = await client.post("/api/v1/events", json={"action": "c.d", "tenant_id": "other"})
        assert (refused.status_code, refused.json()["code"]) == (403, "denied")
        lines = b'{"action":"e.f"}\n{"action":"e.f","tenant_id":"other"}\n'
        mixed = await client.post(
            "/api/v1/events", content=lines, headers={"Content-Type": "application/x-ndjson"}
        )
        assert [reply["ok"] for reply in mixed.json()["replies"]] == [True, False]


async def test_anonymous_roles_are_the_configurations(tmp_path: Any) -> None:
    from tests.web.conftest import house_at

    for role, status in (("none", 401), ("viewer", 200), ("admin", 200)):
        async with house_at(tmp_path, web={"anonymous": role}) as house, house.client() as client:
            assert (await client.get("/api/v1/events")).status_code == status
            assert (await client.put("/api/v1/settings/retention", json={})).status_code == 401


async def test_what_is_recorded_over_http_carries_the_key_as_its_producer(house: House) -> None:
    async with house.client(house.key("producer", label="backup-host")) as client:
        await client.post("/api/v1/events", json={"action": "a.b"})
    entry = (await house.reader.page(msgspec.convert({"action": ["a.b"]}, _filter()))).entries[0]
    assert entry.source == "http"
    assert (entry.producer.assurance, entry.producer.key) == ("key", "backup-host")
    assert entry.actor is not None
    assert (entry.actor.type, entry.actor.id) == ("key", "backup-host")


def _filter() -> type:
    from collector.core.query import Filter

    return Filter
