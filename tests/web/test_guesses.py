"""Wrong keys: an address has a few tries, then it waits; what strangers make us remember is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from collector.core.control import Key
from collector.event import Producer
from collector.web.guesses import ADDRESS_KEY, ADDRESSES_MAX, BURST, EVERY, WORKED_MAX, Guesses
from collector.web.identity import PEER_KEY
from collector.web.problems import Refused
from tests.web.conftest import House

KEYS = {f"good-{n}": Key(f"k{n}", "viewer", "2026-01-01T00:00:00Z") for n in range(2 * WORKED_MAX)}


class Desk:
    """Guesses under a clock of ours, with what was looked up."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.looked_up: list[str] = []
        self.guesses = Guesses(self._find, lambda: self.now)

    def _find(self, secret: str) -> Key | None:
        self.looked_up.append(secret)
        return KEYS.get(secret)

    def tries(self, secret: str, address: str | None = "192.0.2.9", **scope: Any) -> str:
        """What became of a try: `in`, `no`, or the seconds to wait."""
        try:
            found = self.guesses.find(secret, {ADDRESS_KEY: address, **scope})
        except Refused as refused:
            return refused.headers["Retry-After"]
        return "in" if found else "no"


def test_past_a_few_wrong_keys_an_address_waits_and_nothing_is_compared() -> None:
    desk = Desk()
    assert [desk.tries("x") for _ in range(BURST)] == ["no"] * BURST
    looked_up = len(desk.looked_up)
    assert desk.tries("good-1") == str(int(EVERY)), "even a right key, or waiting would tell"
    assert len(desk.looked_up) == looked_up
    assert desk.tries("x", "192.0.2.10") == "no", "others are not held up"


def test_time_gives_tries_back_one_by_one_and_at_last_all() -> None:
    desk = Desk()
    for _ in range(BURST):
        desk.tries("x")
    desk.now += EVERY - 0.5
    assert desk.tries("x") == "1"
    desk.now += 0.5
    assert [desk.tries("x"), desk.tries("x")] == ["no", str(int(EVERY))]
    desk.now += EVERY * BURST
    assert [desk.tries("x") for _ in range(BURST + 1)] == ["no"] * BURST + [str(int(EVERY))]


def test_wrong_keys_of_long_ago_buy_no_more_tries() -> None:
    desk = Desk()
    desk.tries("x")
    for _ in range(3):
        desk.now += 1000 * EVERY
        tries = [desk.tries("x") for _ in range(3 * BURST)]
        assert tries.count("no") == BURST
        assert tries[:BURST] == ["no"] * BURST


def test_a_key_that_has_worked_is_let_in_until_it_is_revoked() -> None:
    desk = Desk()
    assert desk.tries("good-1") == "in"
    for _ in range(BURST):
        desk.tries("x")
    assert [desk.tries("good-1"), desk.tries("good-1")] == ["in", "in"]
    gone = KEYS.pop("good-1")
    try:
        assert desk.tries("good-1") == "no"
        assert desk.tries("good-1") not in ("in", "no"), "now it is a wrong key like any other"
    finally:
        KEYS["good-1"] = gone


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        (None, None, True),
        ("::1", "::1", True),
    ],
)
def test_whose_tries_count_together(one: str | None, other: str | None, together: bool) -> None:
    desk = Desk()
    for _ in range(BURST):
        desk.tries("x", one)
    assert (desk.tries("x", other) != "no") is together


def test_users_of_the_unix_socket_are_told_apart() -> None:
    desk = Desk()
    peers = [{PEER_KEY: Producer(assurance="peercred", uid=uid)} for uid in (1, 2)]
    for _ in range(BURST):
        desk.tries("x", None, **peers[0])
    assert desk.tries("x", None, **peers[0]) != "no"
    assert desk.tries("x", None, **peers[1]) == "no"


def test_what_is_remembered_of_strangers_and_keys_is_bounded() -> None:
    desk = Desk()
    for number in range(3 * ADDRESSES_MAX):
        desk.tries("x", f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    for secret in KEYS:
        desk.tries(secret, "192.0.2.77")
    assert len(desk.guesses._free_at) <= ADDRESSES_MAX + 1
    assert len(desk.guesses._worked) <= WORKED_MAX
    assert desk.tries("x", "198.51.100.1") not in ("in", "no"), "the crowd shares one account"
    assert desk.tries("x", "10.0.0.1") == "no", "who was there before has an account of its own"
    desk.now += EVERY * 3 * ADDRESSES_MAX
    assert desk.tries("x", "198.51.100.1") == "no"


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["bearer", "login"])
async def test_over_http_it_is_429_with_a_time_to_wait_and_is_recorded_once(
    house: House, way: str
) -> None:
    stranger = ("192.0.2.9", 5)
    good = house.key("admin")

    async def once(number: int) -> Any:
        wrong = f"ck_wrong-{number}"
        if way == "login":
            async with house.client(address=stranger) as client:
                return await client.post("/api/v1/session", json={"key": wrong})
        async with house.client(wrong, address=stranger) as client:
            return await client.get("/api/v1/events")

    answers = [await once(number) for number in range(BURST + 5)]
    assert [answer.status_code for answer in answers] == [401] * BURST + [429] * 5
    refused = answers[-1]
    assert (refused.json()["code"], refused.json()["retry"]) == ("rate_limited", True)
    assert 0 < int(refused.headers["retry-after"]) <= EVERY
    assert refused.headers["content-type"] == "application/problem+json"
    async with house.client(good) as client:
        found = (await client.get("/api/v1/events?action=auth.denied")).json()["entries"]
    assert [(entry["metadata"]["reason"], entry["ip"]) for entry in found] == [
        ("rate_limited", "192.0.2.9"),
        ("unauthorized", "192.0.2.9"),
    ]
