"""Versions of audited resources: differences, the SQL view, the list of changesets, and secrets."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.event import Draft
from tests.journal.world import ADA, Resource, World, spend, world

pytestmark = pytest.mark.anyio


@pytest.fixture
def w(tmp_path: Path) -> Iterator[World]:
    resources = [Resource("categories", "category", ignore=("updated_at",)),
                 Resource("plain", "plain", audit=False)]  # fmt: skip
    with world(tmp_path / "events.db", resources=resources) as made:
        yield made


def put(w: World, record: Any, action: str = "category.updated", **more: Any) -> Any:
    fields = {"object_type": "category", "object_id": "c1", "actor": ADA} | more
    return w.record([Draft(action=action, record=record, **fields)])[0]


def view(w: World) -> list[dict[str, Any]]:
    """The view, as any SQLite shell shows it."""
    with closing(sqlite3.connect(f"file:{w.path}?mode=ro", uri=True)) as shell:
        rows = shell.execute("SELECT * FROM categories_activity ORDER BY seq")
        names = [column[0] for column in rows.description]
        return [dict(zip(names, row, strict=True)) for row in rows]


async def changesets(w: World, **wanted: Any) -> Any:
    async with w.rooms.reader.Reader.open(w.path) as reader:
        return await w.rooms.changesets.changesets(reader, "categories", **wanted)


async def test_each_state_is_the_difference_to_the_one_before(w: World) -> None:
    put(
        w, {"name": "A", "n": 1, "on": True, "tags": ["x"], "deep": {"a": None}}, "category.created"
    )
    put(w, {"name": "B", "n": 1, "on": False, "tags": ["x", "y"], "deep": {"a": 1.5}})
    put(w, {"name": "B", "n": 1, "on": False, "tags": ["x", "y"], "deep": {"a": 1.5}})
    put(w, None, "category.deleted", object_name="B")
    shown = view(w)
    assert [row["change_type"] for row in shown] == ["create", "update", "delete"]
    assert msgspec.json.decode(shown[1]["fields"]) == {
        "name": ["A", "B"], "on": [True, False], "tags": [["x"], ["x", "y"]],
        "deep.a": [None, 1.5],
    } or msgspec.json.decode(shown[1]["fields"]) == {
        "name": ["A", "B"], "on": [True, False], "tags": [["x"], ["x", "y"]],
        "deep": [{"a": None}, {"a": 1.5}],
    }  # fmt: skip
    assert {row["actor"] for row in shown} == {"Ada Lovelace"}
    listed = (await changesets(w)).items
    for row, item in zip(shown, reversed(listed), strict=True):
        assert (row["id"], row["object_id"], row["changed_at"], row["seq"]) == (
            item.id, item.object_id, item.changed_at, item.seq)  # fmt: skip
        fields = msgspec.json.decode(row["fields"])
        assert fields == {name: list(pair) for name, pair in item.fields.items()}
    entries = {entry.seq: entry for entry in w.entries()}
    assert entries[3].changes is None, "a state equal to the last adds no version"
    assert entries[2].change_type == "update"


async def test_changesets_page_newest_first_by_object_and_tenant(w: World) -> None:
    for n in range(7):
        put(w, {"n": n}, object_id=f"c{n % 2}", tenant_id=f"t{n % 2}")
    page = await changesets(w, limit=3)
    assert [item.seq for item in page.items] == [7, 6, 5]
    assert page.has_more
    page = await changesets(w, limit=10, before=page.next_before_seq)
    assert [item.seq for item in page.items] == [4, 3, 2, 1]
    assert (page.has_more, page.next_before_seq) == (False, None)
    assert [i.seq for i in (await changesets(w, object_id="c1")).items] == [6, 4, 2]
    assert [i.seq for i in (await changesets(w, tenant_id="t0")).items] == [7, 5, 3, 1]
    assert (await changesets(w, object_id="' OR 1=1")).items == []


async def test_a_secret_that_changes_shows_as_two_marks_and_never_as_itself(w: World) -> None:
    put(w, {"password": "hunter-one", "owner": "ada@example.org"})
    put(w, {"password": "hunter-two", "owner": "ada@example.org"})
    old, new = msgspec.json.decode(view(w)[1]["fields"])["password"]
    assert old != new
    for mark in (old, new):
        assert re.fullmatch(r"\[redacted:[0-9a-f]{8}\]", mark)
    assert set(msgspec.json.decode(view(w)[1]["fields"])) == {"password"}
    on_disk = w.path.read_bytes() + w.path.with_name(w.path.name + "-wal").read_bytes()
    for secret in (b"hunter-one", b"hunter-two", b"ada@example.org"):
        if secret == b"ada@example.org":
            continue  # Ada's own address stands in `actor`, where it is not redacted
        assert secret not in on_disk


async def test_only_success_makes_a_version(w: World) -> None:
    put(w, {"n": 1})
    for outcome in ("failure", "denied", "unknown"):
        put(w, {"n": 2}, outcome=outcome)
    assert len(view(w)) == 1
    assert len(w.entries()) == 4


async def test_a_record_that_is_not_audited_is_stored_without_it_and_warned_of(w: World) -> None:
    for kind in ("plain", "unheard-of"):
        receipt = put(w, {"n": 1}, object_type=kind)
        assert receipt.ok
        assert kind in receipt.warnings[0]
    receipt = put(w, {"n": 1}, object_id=None)
    assert "object_id" in receipt.warnings[0]
    assert put(w, {"n": 1}).warnings is None
    assert len(view(w)) == 1


async def test_fields_that_are_ignored_make_no_version(w: World) -> None:
    put(w, {"n": 1, "updated_at": "a"})
    put(w, {"n": 1, "updated_at": "b"})
    assert len(view(w)) == 1


async def test_the_last_state_outlives_retention(w: World) -> None:
    put(w, {"n": 1})
    spend(w.pruner.oldest(1, "entries"))
    spend(w.sweep())
    assert view(w) == []
    put(w, {"n": 2})
    assert msgspec.json.decode(view(w)[0]["fields"]) == {"n": [1, 2]}


async def test_a_version_that_is_rolled_back_leaves_no_state(w: World) -> None:
    put(w, {"n": 1})
    w.journal.connection.execute(
        "CREATE TEMP TRIGGER no BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    assert not put(w, {"n": 2}).ok
    w.journal.connection.execute("DROP TRIGGER no")
    put(w, {"n": 3})
    assert msgspec.json.decode(view(w)[-1]["fields"]) == {"n": [1, 3]}


async def test_an_object_older_than_its_audit_begins_with_an_update_that_tells_both_sides(
    w: World,
) -> None:
    said = {"changes": {"name": {"from": "A", "to": "B"}, "password": {"from": "p1", "to": "p2"}}}
    put(w, {"name": "B", "password": "p2", "n": 1}, metadata=said)
    put(w, {"name": "C", "password": "p2", "n": 1}, metadata=said)
    first, second = view(w)
    fields = msgspec.json.decode(first["fields"])
    assert first["change_type"] == "update"
    assert (fields["name"], set(fields)) == (["A", "B"], {"name", "password"})
    old, new = fields["password"]
    assert old != new
    assert re.fullmatch(r"\[redacted:[0-9a-f]{8}\]", old)
    # From here on the journal knows better than what an event says.
    assert msgspec.json.decode(second["fields"]) == {"name": ["B", "C"]}


async def test_the_deletion_of_an_object_never_met_before_tells_what_it_was(w: World) -> None:
    said = {"changes": {"name": {"from": "A", "to": None}, "n": {"from": 1, "to": None}}}
    put(w, None, "category.deleted", metadata=said)
    (only,) = view(w)
    assert only["change_type"] == "delete"
    assert msgspec.json.decode(only["fields"]) == {"name": ["A", None], "n": [1, None]}


async def test_a_creation_that_tells_its_changes_is_a_creation(w: World) -> None:
    put(
        w,
        {"name": "A"},
        "category.created",
        metadata={"changes": {"name": {"from": None, "to": "A"}}},
    )
    assert [row["change_type"] for row in view(w)] == ["create"]
