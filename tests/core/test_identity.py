"""Which ids a service states, and what they make of a device's id."""

import re

from hypothesis import given
from hypothesis import strategies as st

from collector.core.identity import contradict, device_id, identities, normal_mac, slug


def test_mac_addresses_in_any_notation_are_one() -> None:
    assert normal_mac("AA:BB:CC:00:11:22") == normal_mac("aa-bb-cc-00-11-22") == "aabbcc001122"
    assert normal_mac("aabbcc001122") == "aabbcc001122"


def test_placeholders_are_no_identity() -> None:
    assert normal_mac("00:00:00:00:00:00") is None
    assert normal_mac("aa:bb:cc") is None
    assert identities("_x._tcp", "x", {"id": "1", "serial": "000000"}) == []


def test_a_mac_is_surer_than_an_id() -> None:
    txt = {"id": "kitchen-7", "mac": "AABBCC001122"}
    assert identities("_esphomelib._tcp", "k", txt) == ["mac:aabbcc001122", "id:kitchen-7"]


def test_airplay_and_raop_of_one_device_agree() -> None:
    airplay = identities("_airplay._tcp", "TV", {"deviceid": "AA:BB:CC:00:11:22"})
    assert airplay == identities("_raop._tcp", "AABBCC001122@TV", {}) == ["mac:aabbcc001122"]


def test_two_ids_of_one_kind_contradict_and_others_do_not() -> None:
    assert contradict(["id:aaaaaa1"], ["id:bbbbbb2"])
    assert not contradict(["id:aaaaaa1"], ["mac:aabbcc001122"])
    assert not contradict(["id:aaaaaa1", "uuid:x"], ["id:aaaaaa1", "uuid:y"])
    assert not contradict([], ["id:aaaaaa1"])


def test_device_ids_are_readable() -> None:
    assert device_id(["mac:aabbcc001122"], "h.local", "_a._tcp", "x") == "mac-aabbcc001122"
    assert device_id([], "Printer.local.", "_ipp._tcp", "x") == "host-printer"
    assert device_id([], None, "_ipp._tcp", "x").startswith("service-x-ipp.-tcp")


@given(st.text(max_size=300))
def test_a_slug_is_safe_in_a_url_and_bounded(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9.-]{1,80}", slug(text))


def test_names_that_look_alike_in_a_slug_stay_apart() -> None:
    assert slug("a/b") != slug("a b") != slug("a-b")
