"""`collector check` finds what is missing on the machine, so that a start does not have to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from collector.config import Config, machine


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"sources": {"unix": {"group": "no-such-group"}}}, "sources.unix.group"),
        (
            {"sources": {"unix": {"admin_groups": ["root", "no-such-group"]}}},
            "sources.unix.admin_groups[1]",
        ),
        ({"web": {"tls_cert": "/no/cert.pem", "tls_key": "/dev/null"}}, "web.tls_cert"),
    ],
)
def test_a_group_or_file_that_is_not_there_is_named(values: dict[str, Any], path: str) -> None:
    config = Config.from_mapping(values, {"HOME": "/home/ada"})
    assert [mistake.path for mistake in machine.missing(config)] == [path]


def test_everything_that_is_missing_is_told_at_once() -> None:
    files = {"tls_cert": "/no/cert.pem", "tls_key": "/no/key.pem"}
    unix = {"group": "no-such-group", "admin_groups": ["none-either"]}
    config = Config.from_mapping({"sources": {"unix": unix}, "web": files}, {"HOME": "/home/ada"})
    assert [mistake.path for mistake in machine.missing(config)] == [
        "sources.unix.group",
        "sources.unix.admin_groups[0]",
        "web.tls_cert",
        "web.tls_key",
    ]


def test_what_is_there_passes(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("")
    (tmp_path / "key.pem").write_text("")
    files = {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}
    values = {"sources": {"unix": {"group": "root"}}, "web": files}
    assert list(machine.missing(Config.from_mapping(values, {"HOME": "/home/ada"}))) == []
