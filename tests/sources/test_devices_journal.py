"""The registry on the real intake and journal: what it hands in is admitted, stored and read back."""

from __future__ import annotations

import time
from pathlib import Path

from collector.core.discovery import SETTLE
from collector.core.hostile import TXT_KEYS_MAX
from collector.core.sighting import sighting
from collector.sources.devices import Registry
from tests.cli.harness import Book


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def mono(self) -> float:
        return self.now


def registry_on(book: Book, clock: Clock, *, new: bool) -> Registry:
    registry = Registry(book.intake, wall=time.time, mono=clock.mono, new_journal=new)
    assert registry.load(book.journal.devices()) == 0
    return registry


def test_a_device_lives_in_the_journal_and_survives_a_restart(tmp_path: Path) -> None:
    book, clock = Book(tmp_path / "events.db"), Clock()
    registry = registry_on(book, clock, new=True)
    seen = sighting(
        "Lamp._http._tcp.local.", host="l.local.", port=80, txt=b"\x04fw=1", addresses=["10.0.0.5"]
    )
    assert seen is not None
    registry.hear(seen)
    clock.now += SETTLE
    registry.tick()
    registry.observe(registry.devices["host-l"], "success", None)
    registry.part(seen.key, "goodbye")
    clock.now += 60
    registry.tick()
    book.close()
    book = Book(tmp_path / "events.db")
    try:
        entries = book.journal.entries(1, book.journal.last_seq)
        assert [one.action for one in entries] == [
            "device.discovered", "device.health_changed", "device.lost",
        ]  # fmt: skip
        assert [one.source for one in entries] == ["mdns", "health", "mdns"]
        assert entries[0].metadata["initial"] is True
        assert entries[0].producer.assurance == "internal"
        again = registry_on(book, clock, new=False)
        assert again.devices["host-l"].present is False
        assert again.devices["host-l"].reported == "offline"
    finally:
        book.close()


def test_the_worst_device_there_can_be_is_admitted(tmp_path: Path) -> None:
    """Every bound of a stranger's at once still makes an event and a row that the journal takes."""
    book, clock = Book(tmp_path / "events.db"), Clock()
    registry = registry_on(book, clock, new=False)
    txt = b"".join(
        bytes([200]) + b"k%02d=" % number + b"\x00" * 196 for number in range(TXT_KEYS_MAX)
    )
    for number in range(40):
        seen = sighting(
            "\x1b" * 50 + f"{number}._http._tcp.local.", host="\u202e" * 40 + ".local.", port=1,
            txt=txt, addresses=[f"10.0.0.{n}" for n in range(100)],
        )  # fmt: skip
        assert seen is not None
        registry.hear(seen)
    clock.now += SETTLE
    registry.tick()
    try:
        (entry,) = book.journal.entries(1, book.journal.last_seq)
        assert entry.action == "device.discovered"
        assert entry.object_name is not None
        assert entry.object_name.isprintable()
        assert registry.status()["lost"] == 0
        assert len(book.journal.devices()) == 1
    finally:
        book.close()


def test_a_forgotten_device_leaves_the_journal_and_is_there_again_once_it_returns(
    tmp_path: Path,
) -> None:
    book, clock = Book(tmp_path / "events.db"), Clock()
    try:
        registry = registry_on(book, clock, new=False)
        seen = sighting(
            "Lamp._http._tcp.local.", host="l.local.", port=80, txt=b"", addresses=["10.0.0.5"]
        )
        assert seen is not None
        for times in range(2):
            registry.hear(seen)
            registry.flush()
            assert [row["id"] for row in book.journal.devices()] == ["host-l"], times
            registry.part(seen.key, "goodbye")
            clock.now += 60
            registry.tick()
            assert book.journal.devices() == [], times
        registry.hear(seen)
        clock.now += SETTLE
        registry.tick()
        again = registry_on(book, clock, new=False)
        assert again.devices["host-l"].present
        assert not again.devices["host-l"].forgotten
    finally:
        book.close()
