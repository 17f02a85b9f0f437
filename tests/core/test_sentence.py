"""Every entry has one sentence, and it never claims that something was done that was not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.own_sentences import DEEDS, OWN
from collector.core.sentence import sentence
from collector.event import OUTCOMES, OWN_ACTIONS, Change, Entry, Principal, Producer

ADA = Principal(type="user", id="7", name="ada")


def entry(action: str, **fields: Any) -> Entry:
    told: dict[str, Any] = {
        "seq": 1,
        "id": "0192f1c4-0000-7000-8000-000000000001",
        "occurred_at": "2026-11-20T10:00:00.000000Z",
        "recorded_at": "2026-11-20T10:00:00.000000Z",
        "category": "system",
        "outcome": "success",
        "severity": "info",
        "source": "unix",
        "producer": Producer("peercred"),
    }
    return Entry(action=action, **{**told, **fields})


def device(action: str, **metadata: Any) -> Entry:
    named = {"object_type": "device", "object_id": "mac:1", "object_name": "Lamp kitchen"}
    return entry(action, **named, metadata=metadata)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            device("device.health_changed", **{"from": "online", "to": "offline", "attempts": 3}),
            "Lamp kitchen went offline after 3 failed checks",
        ),
        (
            device("device.health_changed", **{"from": "online", "to": "offline", "attempts": 1}),
            "Lamp kitchen went offline after 1 failed check",
        ),
        (
            device("device.health_changed", **{"from": "offline", "to": "online", "attempts": 2}),
            "Lamp kitchen is online again",
        ),
        (
            device("device.health_changed", **{"from": "unknown", "to": "online"}),
            "Lamp kitchen is online",
        ),
        (device("device.discovered"), "Lamp kitchen appeared"),
        (device("device.discovered", returned=True), "Lamp kitchen came back"),
        (device("device.lost", reason="goodbye"), "Lamp kitchen went away (it said goodbye)"),
        (
            device("device.updated", changed=["addresses", "firmware"]),
            "Lamp kitchen changed: addresses, firmware",
        ),
        (
            entry("settings.updated", actor=ADA, object_type="settings", object_id="global"),
            "ada changed settings global",
        ),
        (
            entry(
                "settings.updated",
                actor=ADA,
                object_type="settings",
                object_id="global",
                metadata={"path": "ui.theme", "from": "light", "to": "dark"},
            ),
            "ada changed settings global: ui.theme light → dark",
        ),
        (
            entry(
                "settings.updated",
                actor=ADA,
                object_type="retention",
                metadata={"path": "max_days", "from": 90, "to": 30},
            ),
            "ada changed retention: max_days 90 → 30",
        ),
        (
            entry(
                "settings.updated",
                actor=ADA,
                object_type="settings",
                object_id="retention",
                metadata={
                    "changes": {
                        "max_days": {"from": 90, "to": 30},
                        "enabled": {"from": True, "to": False},
                        "max_entries": {"from": 1, "to": 2},
                    }
                },
            ),
            "ada changed settings retention: max_days 90 → 30; enabled on → off",
        ),
        (
            entry(
                "member.added",
                actor=ADA,
                object_type="user",
                object_name="Bob",
                target=Principal(type="group", id="admins"),
            ),
            "ada added user Bob to group admins",
        ),
        (
            entry("backup.completed", object_type="backup", object_id="nightly"),
            "backup nightly was completed",
        ),
        (
            entry("backup.failed", object_type="backup", object_id="nightly", actor=ADA),
            "backup nightly failed (ada)",
        ),
        (
            entry(
                "person.deleted",
                actor=ADA,
                object_type="person",
                object_name="Eve",
                outcome="denied",
                metadata={"required": "admin"},
            ),
            "ada was not allowed to delete person Eve (needs admin)",
        ),
        (
            entry(
                "person.updated",
                actor=ADA,
                object_type="person",
                object_id="9",
                outcome="failure",
                metadata={"error_kind": "validation", "error_keys": ["email", "name"]},
            ),
            "ada failed to change person 9 (invalid: email, name)",
        ),
        (
            entry(
                "report.digitised",
                actor=ADA,
                object_type="report",
                object_id="Q3",
                outcome="failure",
                metadata={"error_kind": "code", "error_code": "ENOSPC"},
            ),
            "ada failed to have it digitised: report Q3 (ENOSPC)",
        ),
        (
            entry("backup.failed", object_type="backup", object_id="nightly", outcome="denied"),
            "backup nightly failed (denied)",
        ),
        (
            entry(
                "backup.failed",
                object_type="backup",
                object_id="nightly",
                outcome="failure",
                metadata={"error_code": "ENOSPC"},
            ),
            "backup nightly failed (ENOSPC)",
        ),
        (
            entry("job.finished", actor=ADA, object_type="job", object_id="7", outcome="failure"),
            "job 7 finished (ada) (failed)",
        ),
        (
            entry("door.opened", actor=Principal(type="user", id="bob"), object_type="door"),
            "bob opened door",
        ),
        (
            entry("door.opened", actor=Principal(type="user", id="1000"), object_type="door"),
            "user 1000 opened door",
        ),
        (
            entry("auth.denied", actor=ADA, outcome="denied", metadata={"operation": "prune"}),
            "ada was not allowed to prune",
        ),
        (
            entry(
                "auth.denied",
                actor=Principal(type="anonymous", name="anonymous"),
                outcome="denied",
                metadata={"method": "GET", "path": "/api/v1/events"},
            ),
            "anonymous was denied /api/v1/events",
        ),
        (
            entry(
                "config.rejected",
                outcome="failure",
                metadata={"path": "log.level", "reason": "loud", "mistakes": 1},
            ),
            "the changed configuration was refused, the old one stays in force: log.level: loud",
        ),
        (
            entry(
                "config.rejected",
                outcome="failure",
                metadata={"path": "", "reason": "bad", "mistakes": 3},
            ),
            "the changed configuration was refused, the old one stays in force: bad (and 2 more)",
        ),
        (entry("session.login", actor=ADA), "ada logged in"),
        (entry("session.login", actor=ADA, outcome="failure"), "ada failed to log in"),
        (entry("door.ajar", actor=Principal(type="sensor", id="3")), "sensor 3: door ajar"),
        (
            entry(
                "person.updated",
                actor=ADA,
                object_type="person",
                object_id="9",
                change_type="update",
                changes=[Change("name", "a", "b"), Change("email", None, "c")],
            ),
            "ada changed person 9: name, email",
        ),
        (entry("x", message="Nightly backup took 4 min"), "Nightly backup took 4 min"),
        (
            entry("events.pruned", metadata={"count": 1200, "from_seq": 1, "to_seq": 1200}),
            "1,200 entries pruned (seq 1 to 1200)",
        ),
        (
            entry("collector.started", metadata={"previous": "unclean", "from": "10:00"}),
            "the collector started after it had been cut off, nothing was recorded since 10:00",
        ),
    ],
)
def test_an_entry_reads_as_a_sentence(told: Entry, said: str) -> None:
    assert sentence(told) == said


def test_every_own_action_has_a_sentence_of_its_own() -> None:
    assert set(OWN) == set(OWN_ACTIONS) - {"settings.updated"}
    assert set(OWN) >= DEEDS


@pytest.mark.parametrize("action", sorted(DEEDS))
@pytest.mark.parametrize("outcome", ["failure", "denied"])
def test_a_deed_that_did_not_happen_is_not_told_as_done(action: str, outcome: str) -> None:
    said = sentence(entry(action, actor=ADA, outcome=outcome))
    assert "failed" in said or "not allowed" in said


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
KEYS = ["from", "to", "attempts", "reason", "changed", "count", "from_seq", "to_seq", "cause",
        "mistakes", "operation", "changes",
        "path", "seconds", "previous", "error_keys", "error_code", "required",
        "failing", "online", "initial", "returned"]  # fmt: skip
PRINCIPALS = st.none() | st.builds(
    Principal,
    type=st.none() | st.text(max_size=5),
    id=st.none() | st.text(max_size=5),
    name=st.none() | st.text(max_size=5),
)


@given(
    action=st.sampled_from(OWN_ACTIONS)
    | st.from_regex(r"\A[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*\Z"),
    outcome=st.sampled_from(OUTCOMES),
    actor=PRINCIPALS,
    target=PRINCIPALS,
    object_type=st.none() | st.text(max_size=5),
    object_id=st.none() | st.text(max_size=5),
    metadata=st.dictionaries(st.sampled_from(KEYS), PLAIN, max_size=4),
)
def test_no_entry_is_without_a_sentence(**fields: Any) -> None:
    said = sentence(entry(fields.pop("action"), **fields))
    assert said.strip()
    assert len(said) < 2000
