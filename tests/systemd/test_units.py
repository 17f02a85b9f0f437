"""What can be said of the unit files without starting them."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

from tests.requirements import need_tool

UNITS = Path(__file__).resolve().parents[2] / "systemd"
EXPOSURE_MAX = 1.8


def test_the_service_is_hardened() -> None:
    """systemd's own measure: 0 is shut off from everything, 10 from nothing."""
    analyze = need_tool("systemd-analyze", "systemd")
    output = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", str(UNITS / "collector.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    found = re.search(r"Overall exposure level for collector\.service: ([0-9.]+)", output)
    assert found, output
    assert float(found[1]) <= EXPOSURE_MAX, output


class Unit(configparser.RawConfigParser):
    """A unit file: like an INI file, but for keys that keep their case and may be repeated."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, delimiters="=", comment_prefixes="#", interpolation=None)
        self.read(UNITS / name)

    def optionxform(self, optionstr: str) -> str:
        return optionstr


@pytest.mark.parametrize("setting", ["PrivateUsers", "ProcSubset", "PrivateNetwork"])
def test_the_service_lacks_what_would_blind_the_daemon(setting: str) -> None:
    """With PrivateUsers every peer is nobody; with the others there is no network, and no
    `/proc/locks`, which alone tells who holds a snapshot of the journal."""
    assert setting not in Unit("collector.service")["Service"]


def test_other_processes_stay_visible_so_that_peers_have_names() -> None:
    assert Unit("collector.service")["Service"].get("ProtectProc", "default") == "default"


def test_the_path_of_an_activated_socket_survives_the_daemon() -> None:
    service = Unit("collector.service")["Service"]
    assert service["RuntimeDirectoryPreserve"] == "yes"


def test_service_and_socket_agree_on_the_socket() -> None:
    service, socket = Unit("collector.service")["Service"], Unit("collector.socket")["Socket"]
    assert socket["ListenStream"] == f"/run/{service['RuntimeDirectory']}/collector.sock"
    assert (socket["SocketUser"], socket["SocketGroup"]) == (service["User"], service["Group"])
