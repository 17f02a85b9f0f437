"""A viewer sees the network of an address, never the machine."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.masking import masked_ip


@pytest.mark.parametrize(
    ("ip", "seen"),
    [
        ("192.0.2.17", "192.0.2.x"),
        ("2001:db8:1:2::3", "2001:db8:1::x"),
        ("::1", "0::x"),
        ("fe80::1", "fe80::x"),
        ("nonsense", "x"),
        ("", ""),
        (None, None),
    ],
)
def test_the_host_part_is_hidden(ip: str | None, seen: str | None) -> None:
    assert masked_ip(ip) == seen


@given(st.ip_addresses(v=6), st.integers(0, 2**80 - 1))
def test_addresses_of_one_network_look_alike(address: ipaddress.IPv6Address, host: int) -> None:
    neighbour = ipaddress.IPv6Address(int(address) >> 80 << 80 | host)
    assert masked_ip(str(address)) == masked_ip(str(neighbour))
