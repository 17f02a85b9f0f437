"""Each mistake in a configuration is told by its path, what is allowed, and what is near."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.config import Config
from collector.errors import EXIT_CONFIG, MISTAKES_SHOWN, ConfigError

ENVIRON = {"HOME": "/home/ada"}


def refusal(values: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(values, ENVIRON)
    return caught.value


@pytest.mark.parametrize(
    ("values", "path", "says"),
    [
        ({"retention": {"max_day": 1}}, "retention.max_day", 'did you mean "retention.max_days"?'),
        ({"storage": {"max_days": 1}}, "storage.max_days", 'did you mean "retention.max_days"?'),
        ({"retentoin": {}}, "retentoin", 'did you mean "retention"?'),
        ({"frobnicate": 1}, "frobnicate", "known here: storage, retention, categories"),
        ({"file": "x"}, "file", "unknown key"),
        ({"sources": {"unix": {"limit": {}}}}, "sources.unix.limit", '"sources.unix.limits"'),
        ({"devices": [{"nmae": "x"}]}, "devices[0].nmae", '"devices[0].name"'),
        ({"": 1}, "", "unknown key"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(
    values: dict[str, Any], path: str, says: str
) -> None:
    error = refusal(values)
    assert error.path == path
    assert says in str(error)
    assert error.exit_code == EXIT_CONFIG


@pytest.mark.parametrize(
    ("values", "path", "says"),
    [
        ({"retention": {"max_days": 3651}}, "retention.max_days", "from 0 to 3650, got 3651"),
        ({"retention": {"max_days": -1}}, "retention.max_days", "from 0 to 3650, got -1"),
        ({"retention": {"max_days": 1.5}}, "retention.max_days", "a whole number"),
        ({"retention": {"max_days": True}}, "retention.max_days", "got true"),
        ({"retention": {"max_days": "90"}}, "retention.max_days", 'got "90"'),
        ({"retention": {"max_entries": 100_000_001}}, "retention.max_entries", "100000000"),
        ({"retention": {"max_bytes": "1XB"}}, "retention.max_bytes", '"1GiB"'),
        ({"retention": {"interval": "0s"}}, "retention.interval", 'from 1s to 7d, got "0s"'),
        ({"retention": {"interval": "1 moon"}}, "retention.interval", '"15s"'),
        ({"retention": {"enabled": "yes"}}, "retention.enabled", "true or false"),
        ({"retention": {"categories": 5}}, "retention.categories", "a table"),
        (
            {"retention": {"categories": {"auth": {}}}},
            "retention.categories.auth.max_days",
            "missing",
        ),
        ({"storage": {"on_full": "rotat"}}, "storage.on_full", 'did you mean "rotate"?'),
        ({"storage": {"path": ""}}, "storage.path", "not empty"),
        ({"storage": {"path": "/data/"}}, "storage.path", "directory"),
        ({"storage": {"path": "/a\0b"}}, "storage.path", "control characters"),
        ({"categories": "sensor"}, "categories", "a list"),
        ({"categories": ["Sensor"]}, "categories[0]", "a-z"),
        ({"sources": {"unix": {"mode": 660}}}, "sources.unix.mode", '"0660"'),
        ({"sources": {"unix": {"mode": "888"}}}, "sources.unix.mode", '"0660"'),
        ({"sources": {"mdns": {"types": ["http"]}}}, "sources.mdns.types[0]", '"_http._tcp"'),
        ({"sources": {"mdns": {"types": []}}}, "sources.mdns.types", "got 0"),
        ({"sources": {"mdns": {"ip_version": 4}}}, "sources.mdns.ip_version", '"v4"'),
        ({"health": {"failures": 0}}, "health.failures", "from 1"),
        ({"devices": [{"name": "x", "check": "tcp://h"}]}, "devices[0].check", "port"),
        ({"devices": [{"name": "x", "check": "tcp://h:0"}]}, "devices[0].check", "port"),
        ({"devices": [{"name": "x", "check": "tcp://h:99999"}]}, "devices[0].check", "port"),
        ({"devices": [{"name": "x", "check": "ftp://h/"}]}, "devices[0].check", "tcp://"),
        ({"devices": [{"name": "x", "check": "http://a:b@h/"}]}, "devices[0].check", "password"),
        ({"devices": [{"address": "10.0.0.1"}]}, "devices[0].name", "missing"),
        ({"devices": {"name": "x"}}, "devices", "a list"),
        ({"resources": [{"slug": "a b", "object_type": "x"}]}, "resources[0].slug", "a-z"),
        ({"redaction": {"patterns": ["("]}}, "redaction.patterns[0]", "regular expression"),
        ({"redaction": {"patterns": ["x*"]}}, "redaction.patterns[0]", "everything"),
        ({"redaction": {"emails": "show"}}, "redaction.emails", '"keep"'),
        ({"web": {"port": 65_536}}, "web.port", "65535"),
        ({"web": {"host": "http://0.0.0.0"}}, "web.host", "without"),
        ({"web": {"host": "localhost:80"}}, "web.host", "without a port"),
        ({"web": {"anonymous": "root"}}, "web.anonymous", '"none"'),
        ({"web": {"trusted_proxies": ["10.0.0.1/8"]}}, "web.trusted_proxies[0]", "10.0.0.0/8"),
        ({"forward": {"nats": {"url": "http://x"}}}, "forward.nats.url", "nats://"),
        ({"forward": {"nats": {"subject": "a.*"}}}, "forward.nats.subject", "dots"),
        ({"log": {"level": "loud"}}, "log.level", '"info"'),
        ({"log": "info"}, "log", "a table"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(
    values: dict[str, Any], path: str, says: str
) -> None:
    error = refusal(values)
    assert error.path == path
    assert says in str(error)


def test_every_mistake_is_told_at_once_in_the_order_of_the_file() -> None:
    error = refusal(
        {
            "retention": {"max_day": 1, "max_entries": -1, "categories": {"auth": {}}},
            "frobnicate": {},
            "devices": [
                {"name": "a", "check": "ftp://h/"},
                {"name": "b", "address": "10.0.0.2"},
                {"check": "tcp://h"},
            ],
            "redaction": {"patterns": ["x", "("]},
            "log": {"level": "loud"},
        }
    )
    assert [mistake.path for mistake in error.mistakes] == [
        "retention.max_day",
        "retention.max_entries",
        "retention.categories.auth.max_days",
        "frobnicate",
        "devices[0].check",
        "devices[2].check",
        "devices[2].name",
        "redaction.patterns[1]",
        "log.level",
    ]
    lines = str(error).splitlines()
    assert lines == [str(mistake) for mistake in error.mistakes]
    assert (error.path, error.message) == (error.mistakes[0].path, error.mistakes[0].message)


def test_mistakes_that_are_told_bounded() -> None:
    error = refusal({f"key{number}": 1 for number in range(1000)})
    assert len(error.mistakes) == 1000
    lines = str(error).splitlines()
    assert len(lines) == MISTAKES_SHOWN + 1
    assert lines[-1] == f"… and {1000 - MISTAKES_SHOWN} more"


def test_an_error_never_repeats_a_long_text_that_may_be_a_secret() -> None:
    secret = "hunter2" * 20
    assert secret not in str(refusal({"log": {"level": secret}}))
    assert secret not in str(refusal({"web": {"host": f"http://{secret}"}}))


def test_every_bound_is_itself_allowed() -> None:
    retention = {"max_days": 3650, "max_entries": 100_000_000, "max_bytes": 0, "interval": "7d"}
    config = Config.from_mapping({"retention": retention}, ENVIRON)
    assert (config.retention.max_days, config.retention.interval) == (3650, 604_800.0)


def test_values_become_seconds_bytes_and_permission_bits() -> None:
    config = Config.from_mapping(
        {
            "health": {"interval": "2m", "timeout": 1},
            "retention": {"max_bytes": "2GiB"},
            "sources": {"unix": {"mode": "0600", "limits": {"frame": "64KiB"}}},
            "web": {"host": "[::1]"},
        },
        ENVIRON,
    )
    assert config.health.interval == 120.0
    assert config.health.timeout == 1.0
    assert config.retention.max_bytes == 2 << 30
    assert config.sources.unix.mode == 0o600
    assert config.sources.unix.limits.frame == 65_536
    assert config.web.host == "::1"


def test_the_mapping_that_is_read_stays_as_it_was() -> None:
    values = {"retention": {"categories": {"auth": {"max_days": 3}}}}
    config = Config.from_mapping(values, ENVIRON)
    assert values == {"retention": {"categories": {"auth": {"max_days": 3}}}}
    assert config.retention.categories["auth"].max_days == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=8,
)
SECTIONS = st.sampled_from(
    [
        "storage",
        "retention",
        "categories",
        "sources",
        "devices",
        "resources",
        "redaction",
        "web",
        "log",
    ]
)


@given(st.dictionaries(SECTIONS, JSON, max_size=3))
def test_any_values_give_a_configuration_or_a_config_error(values: dict[str, Any]) -> None:
    try:
        config = Config.from_mapping(values, ENVIRON)
    except ConfigError:
        return
    assert Config.from_mapping(config.to_mapping(), ENVIRON) == config
