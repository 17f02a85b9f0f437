"""What health tells of a device, and when it keeps quiet."""

from collector.core.device import Device, Instant
from collector.core.health import Observation, Policy
from collector.core.vitals import Vitals


def at(seconds: float) -> Instant:
    return Instant(wall=1_000.0 + seconds, mono=seconds)


def told(
    vitals: Vitals, device: Device, *steps: tuple[float, Observation]
) -> list[tuple[str, object]]:
    tellings = [
        telling
        for when, observation in steps
        for telling in vitals.observe(device, observation, "why", at(when))
    ]
    return [(telling.kind, telling.metadata.get("to")) for telling in tellings]


def test_the_first_online_is_told_with_one_success() -> None:
    device = Device(id="x", name="x")
    (telling,) = Vitals(Policy()).observe(device, "success", None, at(0))
    assert telling.metadata == {"from": "unknown", "to": "online", "reason": None, "attempts": 1}
    assert (device.state, device.reported, device.state_since) == ("online", "online", 1_000.0)


def test_a_goodbye_changes_the_row_and_tells_nothing_yet() -> None:
    vitals, device = Vitals(Policy()), Device(id="x", name="x")
    vitals.observe(device, "success", None, at(0))
    device.present = False
    assert told(vitals, device, (1, "goodbye"), (20, "failure")) == []
    assert device.state == "suspect"


def test_back_within_the_grace_tells_nothing_of_health() -> None:
    vitals, device = Vitals(Policy()), Device(id="x", name="x")
    vitals.observe(device, "success", None, at(0))
    device.present = False
    vitals.observe(device, "goodbye", None, at(1))
    device.present = True
    assert told(vitals, device, (5, "returned"), (5.1, "success")) == []


def test_lost_and_back_is_offline_then_online() -> None:
    vitals, device = Vitals(Policy()), Device(id="x", name="x")
    vitals.observe(device, "success", None, at(0))
    device.present = False
    assert told(vitals, device, (1, "goodbye"), (16, "lost")) == []
    assert device.reported == "offline"
    device.present = True
    steps = ((60.0, "returned"), (60.1, "success"))
    assert told(vitals, device, *steps) == [("health_changed", "online")]  # type: ignore[arg-type]


def test_flapping_is_told_once_and_ends_quietly() -> None:
    policy = Policy(failures=1, successes=1)
    vitals, device = Vitals(policy), Device(id="x", name="x")
    steps: list[tuple[float, Observation]] = [(0, "success")]
    steps += [(10.0 * n, "success" if n % 2 else "failure") for n in range(1, 9)]
    kinds = [kind for kind, _ in told(vitals, device, *steps)]
    assert kinds.count("flapping") == 1
    assert kinds.count("health_changed") > 5, "what happens while it flaps is kept"
    assert device.flapping
    assert not vitals.quiet(device, at(300))
    assert vitals.quiet(device, at(700))
    assert not device.flapping


def test_health_waits_for_the_discovery_to_be_told() -> None:
    untold = True
    vitals = Vitals(Policy(), lambda device: untold)
    device = Device(id="x", name="x")
    assert vitals.observe(device, "success", None, at(0)) == []
    untold = False
    assert [one.kind for one in vitals.due(device, at(1))] == ["health_changed"]
    assert vitals.due(device, at(2)) == []


def test_a_suspended_device_is_unknown_and_resumes_quietly() -> None:
    vitals, device = Vitals(Policy()), Device(id="x", name="x")
    vitals.observe(device, "success", None, at(0))
    assert vitals.suspend(device, at(1))
    assert not vitals.suspend(device, at(2))
    assert device.state == "unknown"
    assert told(vitals, device, (100, "success")) == []


def test_what_is_kept_of_forgotten_devices_bounded() -> None:
    vitals = Vitals(Policy())
    for number in range(100):
        vitals.observe(Device(id=f"{number}", name="x"), "failure", None, at(number))
        vitals.forget(f"{number}")
    assert vitals._vitals == {}
