"""Varied drafts and filters over a small vocabulary, so that filters have matches; all by a seed."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import uuid
from typing import Any

from collector.core.query import KIND_FIELDS, Filter
from collector.event import Draft, Principal

ACTIONS = ("device.lost", "device.lost.again", "devices.seen", "settings.updated", "deviceless",
           "note.added")  # fmt: skip
CATEGORIES = ("entity", "auth", "device", "billing", None)
TEXTS = {
    "category": ("entity", "auth", "device", "billing", "system", "capture"),
    "outcome": ("success", "failure", "denied", "unknown"),
    "severity": ("info", "warning", "error"),
    "source": ("unix", "http", "collector", "mdns"),
    "channel": ("settings", "export", "a", "éclair"),
    "mode": ("manual", "auto", "Cron"),
    "object_type": ("device", "backup", "a-rather-long-type-of-object"),
    "object_id": ("1", "7", "nightly", "x" * 200, "déjà", "a:b", "0"),
    "tenant_id": ("t1", "t2", "ein sehr langer Mandant"),
    "org_id": ("o1", "o2"),
    "correlation_id": ("c1", "c2", "9d3c4f8e-1111-2222-3333-444455556666"),
    "causation_id": ("x", "9d3c4f8e-1111-2222-3333-444455556666"),
}
PRINCIPALS: tuple[str | Principal, ...] = (
    "user:1",
    "user:7",
    "service:1",
    "host:a:b",
    Principal(type="user", id="7", name="Ada"),
    Principal(type="user", id="7", name="Ada", role="owner"),
    Principal(type="user", id="Ada", name="7"),
    Principal(name="Ada"),
    Principal(id="1"),
    Principal(type="user", id="9", name="user:1", email="ada@example.org"),
    Principal(role="cron"),
)
NAMES = ("user:1", "user:7", "7", "Ada", "1", "host:a:b", "a:b", "service:1", "user", "9", "nobody",
         "cron", "user:user:1")  # fmt: skip
MESSAGES = ("Straße frei", "STRASSE gesperrt", "İstanbul calling", "日本語 text", "foo_bar baz",
            "10.0.0.1 up", "w" * 60, "w" * 39 + "x", "tab\tand \"quotes\"", "été ÉTÉ e\u0301te\u0301",
            "plain words here")  # fmt: skip
METADATA: tuple[dict[str, Any] | None, ...] = (
    None, {}, {"path": "ui.theme", "n": 12}, {"deep": {"list": [1, None, True, "leaf"]}},
    {"quoted": 'say "hi"\n', "k\\e": 1.5}, {"big": 2**63 - 1, "small": -3e22},
)  # fmt: skip
QUERIES = ("strasse", "Straße frei", "i̇stanbul", "日本*", "foo bar", "foo_bar", "fo*", "10.0.0.1",
           "w" * 60, "w" * 41 + "*", "w" * 39 + "*", "hi", "true", "leaf theme", "ui theme 12",
           "device", "dev* lost", "ada", "nothing", "  ", "1", "été", "9223372036854775807",
           "words* plain", "k e")  # fmt: skip
HOUR = 3_600_000_000
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def moments(now: float) -> tuple[int, ...]:
    """Times at and around edges, in µs: of hours and days, long ago, and far ahead."""
    base = int(now * 1e6)
    hour, day = base // HOUR * HOUR, base // (24 * HOUR) * 24 * HOUR
    return (base, hour, hour - 1, hour + 1, day, day - 1, day + 1, hour - 30 * HOUR, -1, 0, -HOUR,
            -24 * HOUR - 1, -24 * HOUR * 3650 - 7, 253_402_300_799_000_000, 24 * HOUR)  # fmt: skip


def draft(rng: random.Random, now: float) -> Draft:
    """One draft; most fields are absent most of the time."""
    some = lambda values, share=0.4: rng.choice(values) if rng.random() < share else None  # noqa: E731
    outcome = some(TEXTS["outcome"])
    return Draft(
        action=rng.choice(ACTIONS),
        id=str(uuid.UUID(int=rng.getrandbits(128), version=4)) if rng.random() < 0.3 else None,
        occurred_at=(
            EPOCH + dt.timedelta(microseconds=rng.choice(moments(now)))
            if rng.random() < 0.3
            else None
        ),
        category=rng.choice(CATEGORIES),
        outcome=outcome,
        severity=some(TEXTS["severity"]),
        actor=some(PRINCIPALS, 0.8),
        on_behalf_of=some(PRINCIPALS, 0.1),
        target=some(PRINCIPALS, 0.3),
        object_type=some(TEXTS["object_type"]),
        object_id=some(TEXTS["object_id"], 0.6),
        object_name=some(("Nightly backup", "Ada's laptop"), 0.2),
        channel=some(TEXTS["channel"]),
        mode=some(TEXTS["mode"]),
        tenant_id=some(TEXTS["tenant_id"], 0.3),
        org_id=some(TEXTS["org_id"], 0.2),
        ip=some(("10.0.0.1", "fe80::1"), 0.1),
        correlation_id=some(TEXTS["correlation_id"], 0.3),
        causation_id=some(TEXTS["causation_id"], 0.1),
        message=some(MESSAGES, 0.5),
        metadata=rng.choice(METADATA),
    )


def filters_of_one(now: float) -> list[Filter]:
    """Every field alone, with values that occur, that do not, that are empty, and with two."""
    made = [Filter()]
    for name, values in TEXTS.items():
        made += [Filter(**{name: (value,)}) for value in values]
        made += [
            Filter(**{name: values[:2]}),
            Filter(**{name: ("absent",)}),
            Filter(**{name: ("",)}),
        ]
    made += [Filter(action=(a,)) for a in (*ACTIONS, "device.*", "devic*", "device.lost.*", ".*", "*",
                                           "gone.*", "", "settings.*")]  # fmt: skip
    made += [Filter(action=("device.*", "note.added"))]
    for name in ("actor", "target"):
        made += [Filter(**{name: (value,)}) for value in (*NAMES, "", "user:", ":")]
        made += [Filter(**{name: ("Ada", "user:1")})]
    for pair in (("device", None), ("device", "7"), ("backup", "nightly"), ("absent", None),
                 ("device", "absent"), ("device", "")):  # fmt: skip
        made.append(Filter(object=(pair,)))
    made.append(Filter(object=(("device", "7"), ("backup", None))))
    made += [Filter(q=q) for q in QUERIES]
    times = moments(now)
    made += [Filter(since=t) for t in times] + [Filter(until=t) for t in times]
    made += [Filter(since=a, until=b) for a, b in itertools.pairwise(times)]
    return made


def any_filter(rng: random.Random, now: float) -> Filter:
    """Two or three fields of single filters together."""
    singles = filters_of_one(now)
    merged: dict[str, Any] = {}
    for one in rng.sample(singles, rng.choice((2, 2, 3))):
        for name in Filter.__struct_fields__:
            if getattr(one, name) not in ((), None):
                merged[name] = getattr(one, name)
    return Filter(**merged)


assert set(TEXTS) <= {*Filter.__struct_fields__}
assert set(KIND_FIELDS) - {"action"} <= set(TEXTS)
