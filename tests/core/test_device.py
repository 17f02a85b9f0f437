"""A device's row survives storage, its record is bounded, and a user's changes are checked."""

import json

import msgspec
import pytest

from collector.core.device import (
    RECORD_BUDGET,
    Device,
    Service,
    from_row,
    patch,
    record_of,
    to_row,
)
from collector.errors import InvalidEvent
from collector.event import RECORD_MAX


def lamp(**changes: object) -> Device:
    service = Service(
        type="_http._tcp",
        instance="Lamp",
        host="lamp.local",
        port=80,
        txt={"md": "L1", "fw_version": "1.2", "manufacturer": "Acme"},
        identities=["mac:aabbcc001122"],
        addresses=["10.0.0.5"],
    )
    device = Device(id="lamp", name="Lamp", services=[service], addresses=["10.0.0.5"])
    device.first_seen = device.last_seen = device.state_since = 1_700_000_000.25
    return msgspec.structs.replace(device, **changes)


def test_a_row_is_plain_json_with_times_in_rfc3339() -> None:
    row = json.loads(json.dumps(to_row(lamp(maintenance_until=1_700_000_001.0))))
    assert row["first_seen"] == "2023-11-14T22:13:20.250000Z"
    assert row["maintenance_until"] == "2023-11-14T22:13:21.000000Z"
    assert row["types"] == ["_http._tcp"]
    for key in [
        "id",
        "name",
        "display_name",
        "state",
        "present",
        "addresses",
        "services",
        "first_seen",
        "last_seen",
        "last_change",
        "state_since",
        "check",
        "attempts",
        "flapping",
        "initial",
        "ignored",
        "maintenance_until",
        "custom_name",
    ]:
        assert key in row


def test_a_row_comes_back_as_it_was_but_for_health() -> None:
    device = lamp(state="online", reported="online", attempts=2, custom_name="Küche", initial=True)
    again = from_row(json.loads(json.dumps(to_row(device))))
    assert again.state == "unknown"
    assert again.attempts == 0
    assert again.reported == "online"
    assert msgspec.structs.replace(again, state="online", attempts=2) == device


@pytest.mark.parametrize(
    "row", [{}, {"id": 5, "name": "x"}, {"id": "x", "name": "x", "first_seen": "yesterday"}]
)
def test_what_is_no_row_is_refused(row: dict[str, object]) -> None:
    with pytest.raises(InvalidEvent):
        from_row(row)


def test_a_row_of_a_later_version_is_read() -> None:
    assert from_row({"id": "x", "name": "x", "battery": 80}).id == "x"


def test_the_record_holds_what_people_ask_of_a_device() -> None:
    record = record_of(lamp())
    assert record["manufacturer"] == "Acme"
    assert record["model"] == "L1"
    assert record["firmware"] == "1.2"
    assert record["mac"] == "aa:bb:cc:00:11:22"
    assert record["services"]["_http._tcp/Lamp"]["port"] == 80


def test_health_and_sight_are_no_part_of_the_record() -> None:
    well = lamp(state="online", last_seen=2.0, attempts=7, flapping=True)
    assert record_of(well) == record_of(lamp())


def test_a_record_bounded() -> None:
    txt = {f"k{number}": "\\x00" * 60 for number in range(8)}
    services = [Service(type="_x._tcp", instance=f"{n}" * 60, txt=txt) for n in range(32)]
    record = record_of(lamp(services=services))
    assert len(msgspec.json.encode(record)) <= RECORD_BUDGET < RECORD_MAX
    assert record["truncated"] is True
    assert len(record["services"]) == 32


def test_a_user_names_ignores_and_maintains() -> None:
    device, changed = patch(
        lamp(), now=100.0, name="  Küche ", ignored=True, maintenance_until=200.0
    )
    assert device.shown_name == "Küche"
    assert changed == {
        "custom_name": [None, "Küche"],
        "ignored": [False, True],
        "maintenance_until": [None, 200.0],
    }
    assert device.suspended(100.0)


def test_an_empty_name_gives_the_advertised_one_back() -> None:
    device, changed = patch(lamp(custom_name="Küche"), now=0.0, name=" ")
    assert device.shown_name == "Lamp"
    assert changed == {"custom_name": ["Küche", None]}


def test_a_patch_that_changes_nothing_says_so() -> None:
    assert patch(lamp(), now=0.0, name=None, ignored=False)[1] == {}


def test_maintenance_ends_by_itself_and_lies_in_the_future() -> None:
    device, _ = patch(lamp(), now=100.0, maintenance_until=200.0)
    assert device.suspended(199.9)
    assert not device.suspended(200.0)
    for wrong in (99.0, 100.0, 1e12):
        with pytest.raises(InvalidEvent):
            patch(lamp(), now=100.0, maintenance_until=wrong)


def test_a_name_is_bounded_and_escaped() -> None:
    with pytest.raises(InvalidEvent):
        patch(lamp(), now=0.0, name="x" * 201)
    assert patch(lamp(), now=0.0, name="a\x1bb")[0].custom_name == "a\\x1bb"
