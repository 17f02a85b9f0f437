"""Sinks: one small protocol, four implementations, and questions that read well."""

from __future__ import annotations

from pathlib import Path

import pytest

import collector.client
from collector.client import (
    Client,
    Draft,
    MemorySink,
    NullSink,
    Receipt,
    Sink,
    configure,
    default,
    record,
    record_failure,
)
from tests.client.server import Server


def test_every_public_name_can_be_imported() -> None:
    for name in collector.client.__all__:
        assert getattr(collector.client, name) is not None
    assert dir(collector.client) == collector.client.__all__
    with pytest.raises(AttributeError):
        collector.client.nonsense  # noqa: B018


def test_everything_that_records_is_a_sink(tmp_path: Path) -> None:
    for sink in (MemorySink(), NullSink(), Client(tmp_path / "x", mode="wait")):
        assert isinstance(sink, Sink)


def test_host_swaps_in_a_sink_of_its_own() -> None:
    class Own:
        def __init__(self) -> None:
            self.drafts: list[Draft] = []

        def record(self, draft: Draft, /) -> Receipt:
            self.drafts.append(draft)
            return Receipt(ok=draft.action != "bad.one", id=draft.id, code="denied")

    own = Own()
    trail = configure(own)
    assert record("a.b", object=("x", 1)).ok
    assert not record("bad.one").ok
    assert [draft.object_id for draft in own.drafts] == ["1", None]
    assert trail.dropped == 1
    assert trail.flush()


def test_what_is_no_sink_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="record"):
        configure(object())


def test_null_sink_takes_everything() -> None:
    configure(NullSink())
    receipt = record("a.b")
    assert (receipt.ok, receipt.seq) == (True, None)
    assert record_failure("a.b", ValueError()).ok


def test_default_client_finds_its_socket_as_the_command_line_does(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_SOCKET", str(server.path))
    assert record("a.b").ok
    assert isinstance(default(), Client)
    assert collector.client.flush(5)
    assert server.actions() == ["a.b"]
    assert collector.client.close()


def test_unreadable_configuration_is_no_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLLECTOR_SOCKET")
    monkeypatch.setenv("COLLECTOR_CONFIG", str(tmp_path / "missing.toml"))
    client = Client(mode="wait", timeout=0.1)
    receipt = client.record("a.b")
    assert receipt.code == "timeout"
    assert "configuration" in (receipt.error or "")
    client.close()


def test_questions_of_the_memory_sink() -> None:
    sink = MemorySink()
    sink.record("settings.updated", object=("settings", "global"), actor=("user", "7", "Ada"),
                metadata={"path": "ui.theme", "n": 1})  # fmt: skip
    sink.record_failure("device.deleted", "not_found")
    assert sink.recorded("settings.updated", object_id="global")
    assert sink.recorded("settings.*", actor="Ada") == 1
    assert sink.recorded(metadata={"n": 1}) == 1
    assert sink.recorded("settings.updated", outcome="success")
    assert sink.recorded("device.*", outcome="failure")
    assert not sink.recorded("settings.updated", actor="user:8")
    assert not sink.recorded("device.updated")
    assert sink.recorded() == 2
    with pytest.raises(AssertionError, match=r"(?s)found 0.*settings\.updated"):
        sink.one("nothing.here")
    with pytest.raises(TypeError, match="no field"):
        sink.recorded("settings.updated", objectid="global")
    sink.clear()
    assert not sink.recorded()
    assert "nothing was recorded" in repr(sink.recorded())
