"""Devices are audited without being asked; a table of theirs adds to that and cannot end it."""

from __future__ import annotations

from collector.config import Resource
from collector.core.audited import DEVICES, audited


def test_devices_come_with_whatever_is_configured() -> None:
    own = Resource(slug="prices", object_type="price", audit=True)
    off = Resource(slug="notes", object_type="note")
    assert [each.slug for each in audited([own, off])] == ["devices", "prices"]
    assert audited([]) == (DEVICES,)


def test_a_table_for_devices_adds_labels_and_ignored_fields() -> None:
    own = Resource(
        slug="devices", object_type="device", ignore=("services",), labels={"name": "Called"}
    )
    [devices] = audited([own])
    assert devices.audit
    assert devices.ignore == ("services",)
    assert devices.labels["name"] == "Called"
    assert devices.labels["firmware"] == "Firmware"
