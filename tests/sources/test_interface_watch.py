"""What is wanted and missing is said once each time it goes, and used when it comes."""

from __future__ import annotations

import logging

import pytest

from collector.sources.interface_watch import InterfaceWatch
from collector.sources.interfaces import Interface

LAN = Interface("lan0", 2, (("10.0.0.1", 24),), 0x1001)
LATE = Interface("late0", 3, (("10.1.0.1", 24),), 0x1001)


class Machine:
    """Interfaces that come and go."""

    def __init__(self, *there: Interface) -> None:
        self.there = list(there)

    def __call__(self) -> list[Interface]:
        return self.there


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


def test_a_missing_interface_is_said_once_and_again_when_it_went_away_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine(LAN)
    watch = InterfaceWatch(["lan0", "late0"], "v4", machine)
    assert [watch.look() for _ in range(3)] == [["10.0.0.1"]] * 3
    assert watch.missing == ["late0"]
    (said,) = warnings(caplog)
    assert "sources.mdns.interfaces: there is no 'late0' (there are: lan0)" in said
    machine.there = [LAN, LATE]
    assert watch.look() == ["10.0.0.1", "10.1.0.1"]
    assert watch.missing == []
    assert [str(network) for network in watch.networks] == ["10.0.0.0/24", "10.1.0.0/24"]
    machine.there = [LATE]
    assert watch.look() == ["10.1.0.1"]
    assert [said.split("'")[1] for said in warnings(caplog)] == ["late0", "lan0"]


def test_an_address_can_be_missing_too(caplog: pytest.LogCaptureFixture) -> None:
    watch = InterfaceWatch(["10.0.0.1", "10.9.9.9", "fe80::1"], "all", Machine(LAN))
    assert watch.look() == ["10.0.0.1"]
    assert watch.missing == ["10.9.9.9", "fe80::1"]


def test_where_nothing_is_wanted_by_name_nothing_is_missing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = InterfaceWatch([], "all", Machine())
    assert watch.look() == []
    assert (watch.missing, warnings(caplog)) == ([], [])
