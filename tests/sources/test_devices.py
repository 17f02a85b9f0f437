"""The registry: events and rows together, nothing lost on a full disk, rows saved rarely."""

from __future__ import annotations

from collector.core.device import to_row
from collector.core.discovery import SETTLE
from collector.core.grouping import DEVICES_MAX
from collector.core.rfc3339 import rfc3339
from collector.core.sighting import Sighting, sighting
from collector.core.untold import UNTOLD_MAX, Notice, Untold
from collector.event import Draft, Principal
from collector.sources.devices import REPORT_EVERY, SAVE_SEEN, Registry
from tests.sources.ledger import Ledger


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def mono(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now


def see(name: str = "Lamp", port: int = 80) -> Sighting:
    seen = sighting(
        f"{name}._http._tcp.local.", host=f"{name}.local.", port=port, txt=b"\x04fw=1",
        addresses=["10.0.0.5"],
    )  # fmt: skip
    assert seen is not None
    return seen


def start(rows: list[dict[str, object]] | None = None) -> tuple[Ledger, Clock, Registry]:
    ledger, clock = Ledger(), Clock()
    registry = Registry(ledger, wall=clock.wall, mono=clock.mono)
    registry.load(rows or [])
    return ledger, clock, registry


def known() -> tuple[Ledger, Clock, Registry]:
    ledger, clock, registry = start()
    registry.hear(see())
    clock.now += SETTLE
    registry.tick()
    return ledger, clock, registry


def test_an_event_carries_its_device_its_record_and_its_row() -> None:
    ledger, _, _ = known()
    (draft,) = ledger.drafts
    assert (draft.action, draft.category) == ("device.discovered", "device")
    assert (draft.object_type, draft.object_id, draft.object_name) == (
        "device",
        "host-lamp",
        "Lamp",
    )
    assert draft.record is not None
    assert draft.record["firmware"] == "1"
    assert draft.metadata == {"types": ["_http._tcp"], "addresses": ["10.0.0.5"]}
    assert ledger.sources == ["mdns"]
    assert ledger.rows["host-lamp"]["check"] == "tcp://10.0.0.5:80"


def test_rows_survive_a_restart_without_an_event() -> None:
    ledger, _, registry = known()
    again, clock, restarted = start(list(ledger.rows.values()))
    assert restarted.rows()[0]["id"] == "host-lamp"
    restarted.hear(see())
    clock.now += 60
    restarted.tick()
    assert again.drafts == []
    assert registry.rows()[0]["first_seen"] == restarted.rows()[0]["first_seen"]


def test_a_row_that_is_none_is_skipped_and_counted() -> None:
    _, _, registry = start()
    assert registry.load([{"id": 7}, {}, {"id": "x", "name": "x"}]) == 2
    assert list(registry.devices) == ["x"]


def test_a_last_sight_alone_is_saved_rarely() -> None:
    ledger, clock, registry = known()
    registry.flush()
    saves = ledger.saves
    for _ in range(100):
        clock.now += 5
        registry.hear(see())
        registry.tick()
    assert ledger.saves == saves
    clock.now += SAVE_SEEN
    registry.tick()
    assert ledger.saves == saves + 1
    assert ledger.rows["host-lamp"]["last_seen"].startswith("2023-11-14T22:21:4")


def test_a_goodbye_is_in_the_row_at_the_next_tick() -> None:
    ledger, clock, registry = known()
    registry.part(see().key, "goodbye")
    clock.now += 0.25
    registry.tick()
    assert ledger.rows["host-lamp"]["present"] is False
    assert ledger.actions() == ["device.discovered"]


def test_what_a_full_disk_refused_is_handed_in_again_with_its_id_and_in_order() -> None:
    ledger, clock, registry = known()
    ledger.refuse = "storage_full"
    registry.part(see().key, "goodbye")
    clock.now += 60
    registry.tick()
    registry.hear(see())
    clock.now += 60
    registry.tick()
    assert ledger.actions() == ["device.discovered"]
    ledger.refuse = None
    registry.tick()
    assert ledger.actions() == ["device.discovered", "device.lost", "device.discovered"]
    assert ledger.drafts[1].id == "00000000-0000-7000-8000-000000000001"


def test_what_a_full_disk_kept_of_many_devices_is_told_of_each() -> None:
    """More than a queue of 256 would have kept."""
    ledger, clock, registry = start()
    ledger.refuse = "storage_full"
    for number in range(400):
        registry.hear(see(f"d{number}"))
        if number % 20 == 19:  # the budget for events of discovery is given back with time
            clock.now += 60
            registry.tick()
    clock.now += 3600
    registry.tick()
    assert registry.status()["lost"] == 0
    waiting = registry.status()["waiting"]
    assert waiting > 256
    ledger.refuse = None
    registry.tick()
    assert registry.status()["waiting"] == 0
    assert len(ledger.drafts) == waiting
    assert len({draft.object_id for draft in ledger.drafts}) == waiting


def test_health_that_changed_while_nothing_was_recorded_is_one_transition_at_its_own_time() -> None:
    ledger, clock, registry = known()
    device = registry.devices["host-lamp"]
    registry.observe(device, "success", None)
    told = len(ledger.drafts)
    ledger.refuse = "storage_full"
    for _ in range(300):
        clock.now += 400
        for _ in range(3):
            registry.observe(device, "failure", "refused")
        assert device.state == "offline"
        for _ in range(2):
            clock.now += 60
            registry.observe(device, "success", None)
        assert device.state == "online"
        registry.tick()
    clock.now += 100
    for _ in range(3):
        registry.observe(device, "failure", "refused")
    last = clock.wall()
    clock.now += 5000
    ledger.refuse = None
    registry.tick()
    (draft,) = [d for d in ledger.drafts[told:] if d.action == "device.health_changed"]
    assert draft.occurred_at is not None
    assert draft.occurred_at.timestamp() == last
    assert draft.metadata is not None
    assert (draft.metadata["from"], draft.metadata["to"]) == ("online", "offline")
    assert draft.metadata["merged"] > 600
    assert draft.metadata["since"] < rfc3339(last)
    assert registry.status()["lost"] == 0


def test_what_waits_for_the_recorder_is_bounded_by_the_devices_there_may_be() -> None:
    untold = Untold()
    registry = start()[2]
    for number in range(UNTOLD_MAX + 50):
        untold.add(Notice(Draft(action=f"device.what{number}"), "mdns", None), registry.devices)
    assert len(untold) == UNTOLD_MAX == 8 * DEVICES_MAX
    assert untold.dropped == 50


def test_what_had_to_go_while_nothing_could_be_recorded_is_told_as_lost() -> None:
    ledger, clock, registry = known()
    registry._untold.dropped = 50
    clock.now += REPORT_EVERY
    registry.tick()
    lost = [draft for draft in ledger.drafts if draft.action == "events.lost"]
    assert [(draft.metadata or {})["count"] for draft in lost] == [50]


def test_what_is_refused_for_itself_is_not_tried_for_ever() -> None:
    ledger, clock, registry = start()
    ledger.refuse = "invalid_event"
    registry.hear(see())
    clock.now += SETTLE
    registry.tick()
    assert registry.status()["waiting"] == 0
    assert registry.status()["lost"] == 1


def test_a_user_renames_a_device_and_the_event_says_who() -> None:
    ledger, clock, registry = known()
    ada = Principal(type="user", id="7", name="Ada")
    answer = registry.patch("host-lamp", name="Küche", actor=ada)
    assert answer is not None
    assert answer[0]["display_name"] == "Küche"
    draft = ledger.drafts[-1]
    assert (draft.action, draft.actor) == ("device.updated", ada)
    assert draft.metadata == {"changed": ["custom_name"], "set": {"custom_name": [None, "Küche"]}}
    assert ledger.sources[-1] == "http"
    clock.now += 60
    registry.hear(see())
    clock.now += 60
    registry.tick()
    assert len(ledger.drafts) == 2, "discovery does not tell it a second time"


def test_a_change_that_could_not_be_recorded_did_not_happen() -> None:
    ledger, _, registry = known()
    ledger.refuse = "storage_full"
    answer = registry.patch("host-lamp", name="Küche")
    assert answer is not None
    assert answer[1] is not None
    assert not answer[1].ok
    assert answer[0]["display_name"] == "Lamp"


def test_an_unknown_device_and_an_empty_change() -> None:
    ledger, _, registry = known()
    assert registry.patch("nobody", name="x") is None
    answer = registry.patch("host-lamp", ignored=False)
    assert answer is not None
    assert answer[1] is None
    assert len(ledger.drafts) == 1


def test_an_ignored_device_is_followed_without_events() -> None:
    ledger, clock, registry = known()
    registry.patch("host-lamp", ignored=True)
    registry.part(see().key, "goodbye")
    clock.now += 60
    registry.tick()
    assert ledger.actions() == ["device.discovered", "device.updated"]
    assert ledger.rows["host-lamp"]["present"] is False


def test_a_forgotten_device_that_returns_is_a_new_one() -> None:
    """It left before it was told of: nothing of it may be remembered, not even that it was well."""
    ledger, clock, registry = start()
    for _ in range(12):  # what it did then makes it no restless device now
        registry.hear(see())
        registry.observe(registry.devices["host-lamp"], "success", None)
        registry.part(see().key, "goodbye")
        clock.now += 20
        registry.tick()
        assert registry.devices == {}
        assert ledger.rows["host-lamp"]["forgotten"]
        assert ledger.actions() == []
    registry.hear(see())
    clock.now += SETTLE
    registry.tick()
    assert ledger.actions() == ["device.discovered"]
    device = registry.devices["host-lamp"]
    assert (device.present, device.state, device.forgotten) == (True, "unknown", False)
    registry.observe(device, "success", None)
    registry.tick()
    assert (device.state, device.flapping) == ("online", False)
    assert "device.flapping" not in ledger.actions()
    assert (ledger.rows["host-lamp"]["state"], ledger.rows["host-lamp"]["forgotten"]) == (
        "online",
        False,
    )


def test_a_device_that_made_room_for_others_is_discovered_anew_bounded() -> None:
    """Names cost a stranger nothing: of those forgotten nothing is kept."""
    ledger, clock, registry = start()
    registry.discovery._groups.devices_max = 2
    names = [f"Lamp{number}" for number in range(6)]
    for name in [*names, names[0]]:
        registry.hear(see(name))
        clock.now += SETTLE
        registry.tick()
        registry.part(see(name).key, "goodbye")
        clock.now += 60
        registry.tick()
    told = [draft.object_name for draft in ledger.drafts if draft.action == "device.discovered"]
    assert told == [*names, names[0]]
    assert set(registry.devices) == {"host-lamp5", "host-lamp0"}
    for kept in (registry.vitals._vitals, registry.discovery._told, registry._dirty):
        assert set(kept) <= set(registry.devices)
    assert {name for name, row in ledger.rows.items() if not row["forgotten"]} == set(
        registry.devices
    )


def test_a_device_that_returns_before_its_row_was_deleted_keeps_it() -> None:
    """The row that goes and the one that comes have the same id."""
    ledger, clock, registry = start()
    registry.hear(see())
    registry.part(see().key, "goodbye")
    clock.now += 60
    registry._act(registry.discovery.tick(registry.now()), "mdns")
    assert registry.devices == {}
    registry.hear(see())
    registry.flush()
    assert not ledger.rows["host-lamp"]["forgotten"]
    assert ledger.rows["host-lamp"]["present"]


def test_a_forgotten_device_is_not_loaded() -> None:
    _, _, registry = known()
    row = to_row(registry.devices["host-lamp"]) | {"forgotten": True}
    _, _, again = start([row])
    assert again.devices == {}
