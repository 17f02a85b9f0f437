"""Discovery: what the network says, told once, as differences; a model under any order of it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collector.core.budget import EACH
from collector.core.device import Device, Instant, from_row, record_of, to_row
from collector.core.device_changes import Change, Reason
from collector.core.discovery import AWAIT, PATIENCE, SETTLE, Discovery
from collector.core.sighting import Sighting, sighting

GRACE = 15.0


def at(seconds: float) -> Instant:
    return Instant(wall=1_700_000_000.0 + seconds, mono=seconds)


def see(
    name: str = "Lamp._http._tcp.local.",
    host: str = "lamp.local.",
    port: int = 80,
    txt: bytes = b"\x06path=/",
    addresses: tuple[str, ...] = ("10.0.0.5",),
) -> Sighting:
    seen = sighting(name, host=host, port=port, txt=txt, addresses=addresses)
    assert seen is not None
    return seen


class Network:
    """A discovery with a clock that a test moves by hand; what is told is kept."""

    def __init__(self, devices: dict[str, Device] | None = None, **options: bool | int) -> None:
        self.devices: dict[str, Device] = {} if devices is None else devices
        self.now = 0.0
        self.model = Discovery(self.devices, at(0.0), grace=GRACE, **options)  # type: ignore[arg-type]
        self.signals: list[str] = []
        self.events: list[Change] = []

    def hear(self, seen: Sighting) -> None:
        self._take(self.model.hear(seen, at(self.now)))

    def part(self, seen: Sighting, reason: Reason = "goodbye") -> None:
        self._take(self.model.part(seen.key, reason, at(self.now)))

    def wait(self, seconds: float) -> None:
        """Let time pass, with a tick at every moment that is due."""
        end = self.now + seconds
        while (due := self.model.next_due()) is not None and due <= end:
            self.now = max(self.now, due)
            self._take(self.model.tick(at(self.now)))
        self.now = end

    def _take(self, changes: list[Change]) -> None:
        for change in changes:
            if change.kind in ("arrived", "left", "forgotten"):
                self.signals.append(change.kind)
            else:
                self.events.append(change)

    def told(self) -> list[str]:
        """The kinds of events since the last call."""
        kinds = [change.kind for change in self.events]
        self.events.clear()
        return kinds

    @property
    def only(self) -> Device:
        (device,) = self.devices.values()
        return device


def known() -> Network:
    """A network with one lamp that was told of."""
    network = Network()
    network.hear(see())
    network.wait(SETTLE)
    assert network.told() == ["discovered"]
    return network


def test_a_new_device_is_in_the_registry_at_once_and_told_when_settled() -> None:
    network = Network()
    network.hear(see())
    assert network.only.name == "Lamp"
    assert network.signals == ["arrived"]
    network.wait(SETTLE - 0.1)
    assert network.told() == []
    network.wait(0.1)
    assert network.told() == ["discovered"]


def test_the_same_announcement_again_says_nothing() -> None:
    network = known()
    for _ in range(5):
        network.hear(see())
        network.wait(60)
    assert network.told() == []


def test_names_are_compared_without_case() -> None:
    network = known()
    network.hear(see(name="LAMP._HTTP._tcp.local.", host="Lamp.LOCAL."))
    network.wait(60)
    assert network.told() == []
    assert len(network.devices) == 1


def test_a_changed_txt_is_one_update_that_names_the_field() -> None:
    network = known()
    network.hear(see(txt=b"\x07path=/x\x05fw=12"))
    network.wait(SETTLE)
    (change,) = network.events
    assert change.kind == "updated"
    assert change.metadata["changed"] == [
        "firmware", "services._http._tcp/Lamp.txt.fw", "services._http._tcp/Lamp.txt.path",
    ]  # fmt: skip


def test_a_change_that_is_taken_back_before_it_settles_says_nothing() -> None:
    network = known()
    network.hear(see(port=81))
    network.hear(see())
    network.wait(60)
    assert network.told() == []


def test_back_within_the_grace_is_one_restart() -> None:
    network = known()
    network.part(see())
    assert not network.only.present
    network.wait(GRACE - 0.1)
    assert network.told() == []
    network.hear(see())
    network.wait(600)
    assert network.told() == ["restarted"]
    assert network.only.present
    assert network.signals[-2:] == ["left", "arrived"]


def test_a_restart_with_another_firmware_is_also_an_update() -> None:
    network = known()
    network.part(see())
    network.wait(3)
    network.hear(see(txt=b"\x04fw=2"))
    network.wait(60)
    assert network.told() == ["restarted", "updated"]


def test_gone_after_the_grace_is_lost_and_back_later_is_returned() -> None:
    network = known()
    network.part(see())
    network.wait(GRACE)
    (lost,) = network.events
    assert (lost.kind, lost.metadata["reason"]) == ("lost", "goodbye")
    network.told()
    network.wait(3_600)
    network.hear(see(addresses=("10.0.0.9",)))
    network.wait(60)
    assert [(one.kind, one.metadata.get("returned")) for one in network.events] == [
        ("discovered", True),
        ("updated", None),
    ]
    assert network.events[1].metadata["changed"] == ["addresses"]


def test_an_unchanged_device_that_returns_is_not_updated() -> None:
    network = known()
    network.part(see())
    network.wait(GRACE)
    network.told()
    network.hear(see())
    network.wait(60)
    assert network.told() == ["discovered"]


def test_an_expired_device_that_answers_after_all_did_not_restart() -> None:
    network = known()
    network.part(see(), "expired")
    network.wait(5)
    network.hear(see())
    network.wait(60)
    assert network.told() == []


def test_expiry_proves_nothing_while_we_cannot_see() -> None:
    network = known()
    network.model.blind = True
    network.part(see(), "expired")
    network.wait(3_600)
    assert network.told() == []
    assert network.only.present
    network.model.blind = False
    network.model.expect(at(network.now))
    network.wait(AWAIT)
    assert network.told() == ["lost"]


def test_a_device_that_leaves_before_it_was_told_of_was_never_there() -> None:
    network = Network()
    network.hear(see())
    network.part(see())
    network.wait(600)
    assert network.told() == []
    assert network.devices == {}
    assert network.model.next_due() is None


def test_a_device_that_returns_and_leaves_at_once_is_not_lost_twice() -> None:
    network = known()
    network.part(see())
    network.wait(60)
    network.told()
    network.hear(see())
    network.part(see())
    network.wait(600)
    assert network.told() == []
    network.hear(see())
    network.wait(60)
    assert network.told() == ["discovered"]


def test_services_of_one_host_are_one_device() -> None:
    network = Network()
    network.hear(see())
    network.hear(see(name="Lamp._ssh._tcp.local.", port=22))
    network.wait(SETTLE)
    assert network.told() == ["discovered"]
    assert network.only.types == ["_http._tcp", "_ssh._tcp"]


def test_one_of_two_services_that_leaves_is_an_update_after_the_grace() -> None:
    network = Network()
    ssh = see(name="Lamp._ssh._tcp.local.", port=22)
    network.hear(see())
    network.hear(ssh)
    network.wait(SETTLE)
    network.told()
    network.part(ssh)
    assert network.only.present
    network.wait(60)
    assert network.told() == ["updated"]
    assert [service.type for service in network.only.services] == ["_http._tcp"]


def test_a_service_that_restarts_alone_says_nothing() -> None:
    network = Network()
    ssh = see(name="Lamp._ssh._tcp.local.", port=22)
    network.hear(see())
    network.hear(ssh)
    network.wait(SETTLE)
    network.told()
    network.part(ssh)
    network.wait(GRACE / 2)
    network.hear(ssh)
    network.wait(60)
    assert network.told() == []


def test_a_stated_id_makes_one_device_of_two_hosts() -> None:
    network = Network()
    mac = b"\x15mac=AA:BB:CC:00:11:22"
    network.hear(see(txt=mac))
    network.hear(see(name="Lamp-2._http._tcp.local.", host="lamp-2.local.", txt=mac))
    assert network.only.id == "mac-aabbcc001122"


def test_accessories_behind_one_host_stay_apart() -> None:
    network = Network()
    network.hear(see(name="A._hap._tcp.local.", host="bridge.local.", txt=b"\x0aid=aaaaaa1"[:11]))
    network.hear(see(name="B._hap._tcp.local.", host="bridge.local.", txt=b"\x0aid=bbbbbb2"[:11]))
    assert len(network.devices) == 2


def test_hardware_that_took_over_a_name_is_another_device() -> None:
    network = Network()
    network.hear(see(txt=b"\x15mac=AA:BB:CC:00:11:22"))
    network.wait(SETTLE)
    network.hear(see(txt=b"\x15mac=AA:BB:CC:00:11:33"))
    assert sorted(network.devices) == ["mac-aabbcc001122", "mac-aabbcc001133"]


def test_a_host_renamed_by_a_conflict_is_the_same_device() -> None:
    network = known()
    network.hear(see(host="lamp-2.local."))
    network.wait(60)
    assert network.told() == ["updated"]
    assert network.only.id == "host-lamp"


def test_a_family_of_addresses_that_aged_out_of_the_cache_is_kept() -> None:
    network = Network()
    network.hear(see(addresses=("10.0.0.5", "fe80::1%eth0")))
    network.wait(SETTLE)
    network.told()
    network.hear(see(addresses=("10.0.0.5",)))
    network.hear(see(addresses=()))
    network.wait(60)
    assert network.told() == []
    network.hear(see(addresses=("10.0.0.6",)))
    network.wait(60)
    assert network.only.addresses == ["10.0.0.6", "fe80::1%eth0"]


def test_what_is_not_complete_yet_is_waited_for() -> None:
    network = Network()
    partial = sighting("Lamp._http._tcp.local.")
    assert partial is not None
    network.hear(partial)
    network.wait(PATIENCE - 0.1)
    assert network.told() == []
    network.hear(see())
    network.wait(1)
    assert network.told() == ["discovered"]
    assert network.only.addresses == ["10.0.0.5"]


def test_what_is_found_in_the_first_minute_of_a_new_journal_is_initial() -> None:
    network = Network(new_journal=True)
    network.wait(59)
    network.hear(see())
    network.wait(10)
    network.hear(see(name="New._http._tcp.local.", host="new.local."))
    network.wait(10)
    assert [one.metadata.get("initial") for one in network.events] == [True, None]


def restarted_with(rows: list[dict[str, object]]) -> Network:
    devices = {device.id: device for device in map(from_row, rows)}
    network = Network(devices, new_journal=False)
    network.model.expect(at(0.0))
    return network


def test_a_restart_of_ours_tells_only_real_differences() -> None:
    again = restarted_with([to_row(known().only)])
    again.hear(see())
    again.wait(60)
    assert again.told() == []
    again.hear(see(port=8080))
    again.wait(60)
    assert again.told() == ["updated"]


def test_a_device_that_left_while_we_were_down_is_lost() -> None:
    again = restarted_with([to_row(known().only)])
    again.wait(AWAIT)
    (lost,) = again.events
    assert (lost.kind, lost.metadata["reason"]) == ("lost", "silent")


def test_a_device_heard_after_a_restart_is_not_silent() -> None:
    again = restarted_with([to_row(known().only)])
    again.hear(see())
    again.wait(2 * AWAIT)
    assert again.told() == []


def test_a_silent_device_that_health_proves_alive_is_not_lost() -> None:
    again = restarted_with([to_row(known().only)])
    again.only.state = "online"
    again.wait(AWAIT)
    assert again.told() == []


def test_devices_bounded() -> None:
    network = Network(devices_max=50)
    for number in range(200):
        network.hear(see(name=f"d{number}._http._tcp.local.", host=f"h{number}.local."))
    assert len(network.devices) == 50
    assert network.model.dropped == 150


def test_a_full_registry_makes_room_by_forgetting_what_is_gone() -> None:
    network = Network(devices_max=2)
    network.hear(see())
    network.hear(see(name="Pet._http._tcp.local.", host="pet.local."))
    network.wait(SETTLE)
    network.part(see())
    network.wait(60)
    network.hear(see(name="New._http._tcp.local.", host="new.local."))
    assert sorted(network.devices) == ["host-new", "host-pet"]
    assert network.signals[-2:] == ["forgotten", "arrived"]


def test_a_device_that_a_user_named_is_never_forgotten() -> None:
    network = Network(devices_max=1)
    network.hear(see())
    network.wait(SETTLE)
    network.only.custom_name = "My lamp"
    network.part(see())
    network.wait(60)
    network.hear(see(name="New._http._tcp.local.", host="new.local."))
    assert network.only.custom_name == "My lamp"


def test_services_of_one_device_bounded() -> None:
    network = Network()
    for number in range(500):
        network.hear(see(name=f"s{number}._http._tcp.local."))
    assert len(network.only.services) == 32
    assert network.model.dropped == 468


def test_events_of_one_device_bounded() -> None:
    network = known()
    for number in range(1_000):
        network.hear(see(port=1 + number))
        network.wait(1.0)
    updates = network.told()
    assert len(updates) <= EACH + 1_000 / 60 + 1
    network.wait(120)
    assert network.told()[-1:] == ["updated"], "the last state is told in the end"
    assert network.only.services[0].port == 1_000


def test_a_device_that_keeps_restarting_bounded() -> None:
    network = known()
    for _ in range(500):
        network.part(see())
        network.wait(1.0)
        network.hear(see())
        network.wait(1.0)
    assert network.told().count("restarted") <= EACH + 1_000 / 60 + 1
    assert network.model.suppressed > 400


def test_what_discovery_remembers_bounded() -> None:
    network = Network(devices_max=20)
    for number in range(300):
        seen = see(name=f"d{number}._http._tcp.local.", host=f"h{number}.local.")
        network.hear(seen)
        network.wait(SETTLE)
        network.part(seen)
        network.wait(GRACE)
    for memory in ("_told", "_news", "_leaving", "_gone"):
        assert len(getattr(network.model, memory)) <= 20
    assert len(network.model._allowance._each) <= 20
    for index in ("_by_service", "_by_identity", "_by_host"):
        assert len(getattr(network.model._groups, index)) <= 20


@pytest.mark.parametrize(
    "lie",
    ["0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "::", "no address", "240.0.0.1"],
)
def test_an_address_that_no_host_can_have_is_dropped(lie: str) -> None:
    assert see(addresses=(lie, "10.0.0.5")).addresses == ("10.0.0.5",)


def test_addresses_bounded() -> None:
    seen = see(addresses=tuple(f"10.0.{n // 250}.{n % 250}" for n in range(900)))
    assert len(seen.addresses) == 16
    assert seen.dropped == 884


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "local.",
        "_http._tcp.local.",
        "x._http._tcp.example.",
        "x._http._sctp.local.",
        "x." * 99,
    ],
)
def test_a_name_that_is_no_service_is_none(name: str) -> None:
    assert sighting(name) is None


def test_a_control_character_in_a_name_is_shown_escaped() -> None:
    seen = sighting("Bad\x1b[2J\x00.name._http._tcp.local.")
    assert seen is not None
    assert seen.instance == "Bad\\x1b[2J\\x00.name"


NAMES = ["Lamp", "TV", "Printer"]
HOSTS = ["lamp.local.", "tv.local."]
TXTS = [b"", b"\x04fw=1", b"\x04fw=2", b"\x15mac=AA:BB:CC:00:11:22", b"\x15mac=AA:BB:CC:00:11:33"]


class DiscoveryModel(RuleBasedStateMachine):
    """Any announcements, goodbyes, pauses and restarts of ours, against what must hold."""

    @initialize()
    def begin(self) -> None:
        self.network = Network()
        self.present_told: dict[str, bool] = {}

    @rule(
        name=st.sampled_from(NAMES),
        host=st.sampled_from(HOSTS),
        txt=st.sampled_from(TXTS),
        type_=st.sampled_from(["_http._tcp", "_ipp._tcp"]),
    )
    def announce(self, name: str, host: str, txt: bytes, type_: str) -> None:
        seen = see(name=f"{name}.{type_}.local.", host=host, txt=txt)
        self.network.hear(seen)
        found = self.network.model._groups.of_service(seen.key)
        assert found is not None
        assert found[0].present
        assert found[1].present
        self._follow()

    @rule(
        name=st.sampled_from(NAMES),
        type_=st.sampled_from(["_http._tcp", "_ipp._tcp"]),
        reason=st.sampled_from(["goodbye", "expired"]),
    )
    def end(self, name: str, type_: str, reason: Reason) -> None:
        self.network.part(see(name=f"{name}.{type_}.local."), reason)
        self._follow()

    @rule(seconds=st.sampled_from([0.5, 2.0, 15.0, 60.0, 700.0]))
    def pause(self, seconds: float) -> None:
        self.network.wait(seconds)
        due = self.network.model.next_due()
        assert due is None or due > self.network.now, "everything due is done"
        self._follow()

    @rule()
    def restart_ours(self) -> None:
        """Whatever was settled before a restart is not told again after it."""
        self.network.wait(3_600)
        self._follow()
        rows = [to_row(device) for device in self.network.devices.values()]
        self.network = restarted_with(rows)

    def _follow(self) -> None:
        """Events make sense in their order: discovered before all else, lost only what is there."""
        for change in self.network.events:
            name = change.device.id
            there = self.present_told.get(name)
            if change.kind == "discovered":
                assert not there
                assert bool(change.metadata.get("returned")) == (there is False)
                self.present_told[name] = True
            elif change.kind == "lost":
                assert there
                self.present_told[name] = False
            else:
                assert there
        self.network.events.clear()

    @invariant()
    def rows_are_true(self) -> None:
        """Presence follows the services; at rest, the record that was told is the device's."""
        if not hasattr(self, "network"):
            return
        model = self.network.model
        for name, device in self.network.devices.items():
            assert device.present == any(service.present for service in device.services)
            if name not in model._news and device.present and not model._gone:
                assert model._told[name] == record_of(device)


DiscoveryModel.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestDiscoveryModel = DiscoveryModel.TestCase
