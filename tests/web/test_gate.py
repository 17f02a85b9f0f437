"""Host, Origin, proxies, wrong keys, and what becomes of refusals."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import House, house_at

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8477", 200),
        ("LOCALHOST.", 200),
        ("127.0.0.1:9", 200),
        ("[::1]:8477", 200),
        ("log.home.arpa", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:8477", 421),
        ("10.0.0.1", 421),
        ("", 421),
    ],
)
async def test_only_our_own_hosts_are_answered(tmp_path: Any, host: str, status: int) -> None:
    async with house_at(tmp_path, web={"hosts": ["log.home.arpa"]}) as house:
        for path in ("/api/v1/events", "/healthz", "/nothing"):
            async with house.client(headers={"Host": host}) as client:
                answer = await client.get(path)
                assert answer.status_code == (
                    404 if path == "/nothing" and status == 200 else status
                )
                assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "https://localhost"}, 200),
        ({"Origin": "http://localhost:8080"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, 200),
    ],
)
async def test_pages_of_other_sites_may_not_write(
    house: House, headers: dict[str, str], status: int
) -> None:
    async with house.client(house.key("admin"), headers=headers) as client:
        answer = await client.post("/api/v1/events", json={"action": "a.b"})
        assert answer.status_code == status
        assert (await client.get("/api/v1/events")).status_code == 200
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "authorization",
    ["Bearer wrong", "Bearer", "bearer  ", "Basic dXNlcjpwYXNz", "", "Bearer ck_" + "A" * 10_000],
)
async def test_a_wrong_key_is_refused_even_where_anonymous_may_read(
    house: House, authorization: str
) -> None:
    async with house.client(headers={"Authorization": authorization}) as client:
        answer = await client.get("/api/v1/events")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_revoked_key_ends_at_once(house: House) -> None:
    key = house.key("viewer", label="gone")
    async with house.client(key) as client, house.admin() as admin:
        assert (await client.get("/api/v1/events")).status_code == 200
        assert (await admin.delete("/api/v1/keys/gone")).status_code == 204
        assert (await client.get("/api/v1/events")).status_code == 401


FORWARDED = {"X-Forwarded-For": "192.0.2.4"}


@pytest.mark.parametrize(
    ("proxies", "headers", "status"),
    [
        ([], FORWARDED, 401),
        ([], {"Forwarded": "for=192.0.2.4"}, 401),
        (["127.0.0.0/8"], FORWARDED, 401),
        (["127.0.0.0/8"], {"X-Forwarded-For": "127.0.0.1, 192.0.2.4"}, 401),
        (["127.0.0.0/8", "192.0.2.0/24"], {"X-Forwarded-For": "::1, 192.0.2.4"}, 200),
        (["127.0.0.0/8"], {"X-Forwarded-For": "nonsense"}, 401),
        (["127.0.0.0/8"], {}, 200),
    ],
    ids=str,
)
async def test_only_a_trusted_proxy_can_say_that_a_caller_is_local(
    tmp_path: Any, proxies: list[str], headers: dict[str, str], status: int
) -> None:
    """Behind a proxy on this machine the whole world would be on loopback."""
    async with (
        house_at(tmp_path, web={"trusted_proxies": proxies}) as house,
        house.client(headers=headers) as client,
    ):
        assert (await client.get("/api/v1/events")).status_code == status


async def test_refusals_are_recorded_once_a_minute_each_with_cause_and_address(
    house: House,
) -> None:
    for _ in range(5):
        async with house.client(headers={"Authorization": "Bearer ck_secret-canary"}) as client:
            await client.get("/api/v1/events")
    async with house.client(address=("192.0.2.9", 1)) as client:
        await client.delete("/api/v1/events?confirm=clear")
    async with house.admin() as admin:
        page = (await admin.get("/api/v1/events?action=auth.denied")).json()
        text = (await admin.get("/metrics")).text
    assert [(e["metadata"]["reason"], e["ip"]) for e in page["entries"]] == [
        ("unauthorized", "192.0.2.9"),
        ("unauthorized", "127.0.0.1"),
    ]
    assert all(e["outcome"] == "denied" for e in page["entries"])
    assert "collector_http_denied_total 6.0" in text
    assert "secret-canary" not in str(page)


async def test_what_strangers_can_make_it_remember_is_bounded(house: House) -> None:
    for number in range(1000):
        async with house.client(address=(f"10.0.{number // 250}.{number % 250}", 1)) as client:
            await client.get("/api/v1/events")
    async with house.admin() as admin:
        page = (await admin.get("/api/v1/events?action=auth.denied&total=true")).json()
    assert page["total"] <= 257


async def test_a_browser_that_logged_in_keeps_a_cookie_that_scripts_and_sites_cannot_use(
    house: House,
) -> None:
    key = house.key("admin", label="laptop")
    async with house.client() as browser:
        assert (await browser.get("/api/v1/session")).json()["known"] is False
        answer = await browser.post("/api/v1/session", json={"key": key})
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert key not in cookie
        session = (await browser.get("/api/v1/session")).json()
        assert (session["role"], session["actor"]["id"]) == ("admin", "laptop")
        assert (await browser.get("/api/v1/events/export")).status_code == 200
        foreign = {"Origin": "http://evil.example"}
        assert (await browser.delete("/api/v1/keys/laptop", headers=foreign)).status_code == 403
        value = browser.cookies["collector_session"]
        for forged in (value[:-1] + ("0" if value[-1] != "0" else "1"), "x", "a.1.b", value + "é"):
            headers = {"Cookie": f"collector_session={forged}".encode()}
            async with house.client() as other:
                answer = await other.get("/api/v1/session", headers=headers)  # type: ignore[arg-type]
                assert answer.json()["known"] is False
        assert (await browser.delete("/api/v1/session")).status_code == 204
        assert (await browser.get("/api/v1/session")).json()["known"] is False


async def test_a_session_ends_with_its_key_and_with_its_time(tmp_path: Any) -> None:
    from collector.core.control import Key
    from collector.web.session import LIFETIME, Sessions

    now = [1_000_000.0]
    keys = {"a": Key("a", "viewer", "2026-01-01T00:00:00Z")}
    sessions = Sessions(b"s" * 32, lambda: now[0], keys.get)
    value = sessions.issue(keys["a"])
    assert sessions.read(value) == keys["a"]
    keys["a"] = Key("a", "admin", "2026-01-02T00:00:00Z")
    assert sessions.read(value) is None, "a key made anew under the same label is another key"
    value = sessions.issue(keys["a"])
    now[0] += LIFETIME
    assert sessions.read(value) is None
    assert Sessions(b"t" * 32, lambda: now[0] - 1, keys.get).read(value) is None
