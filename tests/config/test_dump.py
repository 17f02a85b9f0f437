"""What `check --show` prints reads back as the same configuration, and holds no secret."""

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from collector.config import Config

ENVIRON = {"HOME": "/home/ada"}
TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=20)
NAMES = TEXT.filter(str.strip)

CONFIGS = st.fixed_dictionaries(
    {
        "retention": st.fixed_dictionaries(
            {
                "max_days": st.integers(0, 3650),
                "max_bytes": st.just(0) | st.integers(1 << 20, 1 << 50),
                "interval": st.integers(1000, 604_800_000).map(lambda ms: ms / 1000),
                "categories": st.dictionaries(
                    st.sampled_from(["auth", "device", "sensor"]),
                    st.fixed_dictionaries({"max_days": st.integers(0, 3650)}),
                ),
            }
        ),
        "categories": st.just(["sensor"]),
        "sources": st.fixed_dictionaries(
            {
                "mdns": st.fixed_dictionaries({"ignore": st.lists(NAMES, max_size=3)}),
                "unix": st.fixed_dictionaries({"mode": st.sampled_from(["0600", "0660", "0666"])}),
            }
        ),
        "devices": st.lists(
            st.fixed_dictionaries({"name": NAMES, "check": st.just("tcp://h:1")}),
            max_size=3,
            unique_by=lambda device: device["name"].casefold(),
        ),
        "resources": st.lists(
            st.fixed_dictionaries(
                {
                    "slug": st.just("things"),
                    "object_type": NAMES.filter(lambda name: name != "device"),
                    "labels": st.dictionaries(NAMES, NAMES, max_size=3),
                }
            ),
            max_size=1,
        ),
        "redaction": st.fixed_dictionaries({"keys": st.lists(NAMES, max_size=3)}),
    }
)


@given(CONFIGS)
def test_what_is_written_reads_back_as_the_same(values: dict[str, Any]) -> None:
    config = Config.from_mapping(values, ENVIRON)
    assert Config.from_mapping(tomllib.loads(config.dump_toml()), {}) == config
    assert Config.from_mapping(config.to_mapping(), {}) == config


def test_passwords_in_urls_and_in_plugin_options_are_masked() -> None:
    config = Config.from_mapping(
        {
            "forward": {"nats": {"url": "nats://ada:canary@a:4222,tls://canary@b:4222"}},
            "sources": {"queue": {"options": {"meter": {"api_token": "canary", "host": "m"}}}},
        },
        ENVIRON,
    )
    shown = config.dump_toml()
    assert "canary" not in shown
    assert "canary" not in str(config.to_mapping())
    assert "nats://[redacted]@a:4222,tls://[redacted]@b:4222" in shown
    assert 'host = "m"' in shown
    assert "canary" in config.forward.nats.url


def test_what_is_unset_is_left_out_and_what_is_default_is_shown() -> None:
    shown = Config.from_mapping({}, ENVIRON).to_mapping()
    assert "tls_cert" not in shown["web"]
    assert shown["retention"]["max_bytes"] == "1GiB"
    assert shown["sources"]["unix"]["mode"] == "0660"
    assert shown["sources"]["unix"]["path"] == "/home/ada/.local/state/collector/collector.sock"
