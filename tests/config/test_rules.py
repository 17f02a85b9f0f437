"""What must hold between keys."""

from typing import Any

import pytest

from collector.config import Config
from collector.errors import ConfigError

ENVIRON = {"HOME": "/home/ada"}


@pytest.mark.parametrize(
    ("values", "path", "says"),
    [
        (
            {"storage": {"path": "/a/b"}, "sources": {"unix": {"path": "/a/b"}}},
            "sources.unix.path",
            "same file",
        ),
        ({"sources": {"unix": {"path": "/" + "x" * 107}}}, "sources.unix.path", "107 bytes"),
        ({"storage": {"path": "/" + "x" * 100 + "/events.db"}}, "sources.unix.path", "107 bytes"),
        ({"storage": {"wal_max": "1MiB"}}, "storage.wal_max", 'at least "16MiB"'),
        ({"categories": ["auth"]}, "categories[0]", "already"),
        ({"categories": ["sensor", "sensor"]}, "categories[1]", "already"),
        (
            {"retention": {"categories": {"devices": {"max_days": 1}}}},
            "retention.categories.devices",
            'did you mean "device"?',
        ),
        ({"health": {"timeout": "61s"}}, "health.timeout", "health.interval"),
        (
            {"sources": {"unix": {"limits": {"connections": 5}}}},
            "sources.unix.limits.connections_per_uid",
            "(5)",
        ),
        (
            {"devices": [{"name": "NAS", "address": "a"}, {"name": "nas", "address": "b"}]},
            "devices[1].name",
            "twice",
        ),
        ({"devices": [{"name": "x"}]}, "devices[0]", '"check"'),
        (
            {"resources": [{"slug": "x", "object_type": "a"}, {"slug": "x", "object_type": "b"}]},
            "resources[1].slug",
            "twice",
        ),
        (
            {"resources": [{"slug": "x", "object_type": "a"}, {"slug": "y", "object_type": "a"}]},
            "resources[1].object_type",
            "twice",
        ),
        ({"resources": [{"slug": "devices", "object_type": "a"}]}, "resources[0].slug", "together"),
        ({"web": {"tls_cert": "/c"}}, "web.tls_key", "neither works alone"),
        ({"web": {"tls_key": "/k"}}, "web.tls_cert", "neither works alone"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(
    values: dict[str, Any], path: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(values, ENVIRON)
    assert caught.value.path == path
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        # Both kinds at once, and all rules that are broken.
        (
            {"log": {"level": "loud"}, "health": {"timeout": "61s"}, "web": {"tls_cert": "/c"}},
            ["log.level", "health.timeout", "web.tls_key"],
        ),
        # The interval that is not known might well be longer than the timeout.
        ({"health": {"timeout": "61s", "interval": "soon"}}, ["health.interval"]),
        ({"health": {"timeout": "61s", "intervall": "2m"}}, ["health.intervall"]),
        (
            {"retention": {"categories": {"lab": {"max_days": 1}}}, "categorie": ["lab"]},
            ["categorie"],
        ),
        (
            {"devices": [{"name": "x", "adress": "a"}, {"name": "x"}]},
            ["devices[0].adress"],
        ),
    ],
)
def test_rules_are_told_beside_mistakes_but_not_because_of_them(
    values: dict[str, Any], paths: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_mapping(values, ENVIRON)
    assert [mistake.path for mistake in caught.value.mistakes] == paths


def test_a_further_category_can_have_a_retention_of_its_own() -> None:
    values = {"categories": ["sensor"], "retention": {"categories": {"sensor": {"max_days": 2}}}}
    config = Config.from_mapping(values, ENVIRON)
    assert config.retention.categories["sensor"].max_days == 2


def test_the_daemons_own_audited_devices_can_have_labels() -> None:
    own = {"slug": "devices", "object_type": "device", "labels": {"firmware": "Firmware"}}
    config = Config.from_mapping({"resources": [own]}, ENVIRON)
    assert config.resources[0].labels == {"firmware": "Firmware"}


def test_a_socket_path_of_exactly_the_kernels_limit_is_accepted() -> None:
    path = "/" + "x" * 106
    config = Config.from_mapping({"sources": {"unix": {"path": path}}}, ENVIRON)
    assert config.sources.unix.path == path


def test_forwarding_is_refused_as_long_as_nothing_forwards() -> None:
    with pytest.raises(ConfigError, match="does not forward yet") as caught:
        Config.from_mapping({"forward": {"nats": {"enabled": True}}}, {"HOME": "/home/ada"})
    assert caught.value.path == "forward.nats.enabled"
