"""A filter as a test on one entry; `tests/web/test_events.py` holds it equal to the reader's SQL."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from collector.core.matching import matcher
from collector.core.query import Filter
from collector.errors import QueryError
from collector.event import Entry, Principal, Producer

ENTRY = Entry(
    seq=7,
    id="0192f1c4-0000-7000-8000-000000000007",
    occurred_at="2026-11-20T10:00:00.000000Z",
    recorded_at="2026-11-20T10:00:01.000000Z",
    action="device.lost",
    category="device",
    outcome="failure",
    severity="warning",
    source="mdns",
    producer=Producer(assurance="internal"),
    actor=Principal(type="user", id="7", name="Ada"),
    object_type="device",
    object_id="lamp-1",
    object_name="Kitchen Lamp",
    target=Principal(name="Grace"),
    tenant_id="acme",
    message="went away",
    metadata={"reason": "Goodbye", "nested": {"count": 42}},
)
AT = 1_795_168_800_000_000


@pytest.mark.parametrize(
    ("asked", "passes"),
    [
        ({}, True),
        ({"action": ["device.lost"]}, True),
        ({"action": ["device.*"]}, True),
        ({"action": ["device.l*", "devic.*", "device.lost.*"]}, False),
        ({"action": ["settings.*", "device.lost"]}, True),
        ({"category": ["auth", "device"], "outcome": ["failure"]}, True),
        ({"category": ["device"], "outcome": ["success"]}, False),
        ({"actor": ["user:7"]}, True),
        ({"actor": ["7"]}, True),
        ({"actor": ["Ada"]}, True),
        ({"actor": ["ada", "key:7"]}, False),
        ({"target": ["Grace"]}, True),
        ({"target": [":"]}, False),
        ({"object": [["device", "lamp-1"]]}, True),
        ({"object": [["device", None]]}, True),
        ({"object": [["device", "lamp-2"], ["lamp", "lamp-1"]]}, False),
        ({"tenant_id": ["acme"]}, True),
        ({"org_id": ["acme"]}, False),
        ({"since": AT}, True),
        ({"since": AT + 1}, False),
        ({"until": AT}, False),
        ({"until": AT + 1}, True),
        ({"q": "kitchen LAMP goodbye 42 ada"}, True),
        ({"q": "kitch*"}, True),
        ({"q": "kitch"}, False),
        ({"q": "kitchen absent"}, False),
        ({"q": "  "}, True),
    ],
    ids=str,
)
def test_an_entry_passes_a_filter(asked: dict[str, Any], passes: bool) -> None:
    assert matcher(msgspec.convert(asked, Filter))(ENTRY) is passes


def test_a_search_without_a_word_is_an_error() -> None:
    with pytest.raises(QueryError):
        matcher(Filter(q="!!"))
