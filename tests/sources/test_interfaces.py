"""Which interfaces mDNS uses."""

from pathlib import Path

import pytest

from collector.sources.interfaces import Interface, choices, chosen, networks, system_interfaces

UP = 0x1 | 0x1000


def nic(name: str, *addresses: tuple[str, int], flags: int = UP, index: int = 2) -> Interface:
    return Interface(name, index, addresses or (("10.0.0.1", 24),), flags)


@pytest.mark.parametrize("name", ["docker0", "br-12ab", "veth1", "virbr0", "podman0", "cni0"])
def test_interfaces_that_lead_to_this_machine_only_are_skipped(name: str, tmp_path: Path) -> None:
    assert chosen([nic(name), nic("eth0")], [], tmp_path) == [nic("eth0")]


def test_loopback_and_what_is_down_or_cannot_multicast_is_skipped(tmp_path: Path) -> None:
    found = [nic("lo", flags=UP | 0x8), nic("eth1", flags=0x1000), nic("tun0", flags=0x1)]
    assert chosen(found, [], tmp_path) == []


def test_a_bridge_is_used_where_it_has_a_physical_port(tmp_path: Path) -> None:
    (tmp_path / "br0/bridge").mkdir(parents=True)
    (tmp_path / "br0/brif/enp3s0").mkdir(parents=True)
    (tmp_path / "lanbr/bridge").mkdir(parents=True)
    (tmp_path / "lanbr/brif/tap0").mkdir(parents=True)
    (tmp_path / "enp3s0/device").mkdir(parents=True)
    assert chosen([nic("br0"), nic("lanbr")], [], tmp_path) == [nic("br0")]


def test_a_named_interface_is_used_whatever_it_is(tmp_path: Path) -> None:
    found = [nic("docker0"), nic("lo", ("127.0.0.1", 8)), nic("eth0")]
    assert chosen(found, ["docker0", "127.0.0.1"], tmp_path) == found[:2]


def test_a_wanted_address_keeps_only_itself(tmp_path: Path) -> None:
    both = nic("eth0", ("10.0.0.1", 24), ("10.1.0.1", 24))
    (only,) = chosen([both], ["10.1.0.1"], tmp_path)
    assert only.addresses == (("10.1.0.1", 24),)


def test_zeroconf_gets_one_ipv4_address_and_the_index_for_ipv6() -> None:
    both = nic("eth0", ("10.0.0.1", 24), ("10.1.0.1", 24), ("fe80::1", 64), index=7)
    assert choices([both], "all") == ["10.0.0.1", 7]
    assert choices([both], "v4") == ["10.0.0.1"]
    assert choices([both], "v6") == [7]
    assert choices([nic("eth0")], "v6") == []


def test_the_networks_we_are_on() -> None:
    found = networks([nic("eth0", ("10.0.0.9", 24), ("fe80::1", 64))])
    assert [str(net) for net in found] == ["10.0.0.0/24", "fe80::/64"]


def test_the_machine_has_loopback() -> None:
    (lo,) = [one for one in system_interfaces() if one.name == "lo"]
    assert ("127.0.0.1", 8) in lo.addresses
    assert lo.flags & 0x8
