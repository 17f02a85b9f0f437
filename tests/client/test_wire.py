"""What crosses the socket: no secret, within bounds, and the same as the daemon's rules would leave."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.client import Client, Draft, Redaction
from collector.client.wire import HIDDEN, KEYS, Wire
from collector.config.schema import Redaction as Configured
from collector.core.redaction import Redactor
from collector.errors import ConfigError
from tests.client.server import Server

CANARY = "cAnArY-8c1d"


def frame(redaction: Redaction | None = None, **fields: Any) -> bytes:
    return Wire(redaction or Redaction()).frame(Draft(action="a.b", **fields), [])


def test_rules_are_the_daemons_own() -> None:
    assert tuple(Configured().keys) == KEYS
    assert Configured().emails == "hash"


@pytest.mark.parametrize("mode", ["wait", "background", "spool"])
def test_no_secret_crosses_the_socket(server: Server, tmp_path: Any, mode: Any) -> None:
    spool = tmp_path / "spool" if mode == "spool" else None
    with Client(server.path, mode=mode, spool=spool) as client:
        client.record(
            "a.b",
            message=f"password={CANARY}",
            metadata={"password": CANARY, "path": "smtp.token", "from": CANARY, "to": CANARY},
            record={"api_key": CANARY, "deep": {"url": f"https://u:{CANARY}@host/"}},
        )
        client.record_failure("c.d", ValueError(CANARY), metadata={"mail": f"{CANARY}@example.org"})
        client.record_many([{"action": "e.f", "metadata": {"cookie": [CANARY]}}])
        assert client.flush(10)
    assert len(server.stored) == 3
    assert CANARY not in repr(server.stored)


PLACES = st.recursive(
    st.sampled_from([{"password": CANARY}, {"x": f"Bearer {CANARY}"}, [["token", CANARY]]]),
    lambda inner: (
        st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=2)
        | st.lists(inner, min_size=1, max_size=2)
    ),
    max_leaves=4,
)


@given(place=PLACES)
def test_no_place_hides_a_secret(place: Any) -> None:
    assert CANARY.encode() not in frame(metadata={"in": [place]}, record={"in": [place]})


def test_flat_metadata_that_names_no_secret_goes_as_it_is() -> None:
    fields = {"path": "ui.theme", "from": "light", "to": "dark"}
    assert msgspec.json.decode(frame(metadata=fields))["metadata"] == fields


@given(
    st.dictionaries(
        st.sampled_from(["path", "name", "from", "to", "x", "token", "value", "secret_key"]),
        st.sampled_from(["ui.theme", "smtp.password", "x", "a@b.example", "token=1", "7"]),
    )
)
def test_the_quick_look_never_differs_from_the_full_one(fields: dict[str, str]) -> None:
    full = Redactor(keys=KEYS, patterns=(), emails="hash", key=b"k").mapping(fields)
    assert msgspec.json.decode(Redaction(key=b"k").metadata(fields)) == full
    sent = msgspec.json.decode(frame(Redaction(key=b"k"), metadata=fields))
    assert sent.get("metadata", {}) == full


def test_secrets_of_a_record_all_look_the_same_unless_a_key_is_shared() -> None:
    def record(redaction: Redaction, secret: str) -> Any:
        line = frame(redaction, record={"token": secret, "n": 1})
        return msgspec.json.decode(line)["record"]["token"]

    assert record(Redaction(), "a") == record(Redaction(), "b") == HIDDEN
    shared = [Redaction(key=b"ours"), Redaction(key=b"ours")]
    assert record(shared[0], "a") == record(shared[1], "a") != record(shared[0], "b")


def test_equal_secrets_of_one_process_look_equal() -> None:
    fields = {"path": "smtp.password", "from": "a", "to": "b", "old": "a"}
    told = msgspec.json.decode(frame(metadata=fields))["metadata"]
    assert told["from"] == told["old"] != told["to"]


def test_callers_own_keys_and_patterns_hold_too() -> None:
    rules = Redaction(keys=["pin"], patterns=[r"\d{16}"], emails="keep")
    line = frame(rules, metadata={"pin": "77", "text": "4111111111111111 a@b.example"})
    assert b'"77"' not in line
    assert b"4111111111111111" not in line
    assert b"a@b.example" in line


def test_pattern_that_does_not_compile_is_said_at_once() -> None:
    with pytest.raises(ConfigError):
        Client(redaction={"patterns": ["("]})


def test_switched_off_means_as_it_is(server: Server) -> None:
    with Client(server.path, mode="wait", redaction=False) as client:
        client.record("a.b", metadata={"password": CANARY}, record={"token": CANARY})
    (event,) = server.stored.values()
    assert event["metadata"] == {"password": CANARY}
    assert event["record"] == {"token": CANARY}
