"""The logging handler: structured extras become metadata, bounded, and nothing feeds itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from collector.client import AuditHandler, Client, MemorySink, actor_context, configure
from collector.client.notices import LOGGER, _last
from collector.event import METADATA_MAX


@pytest.fixture
def sink() -> MemorySink:
    return MemorySink()


@pytest.fixture
def logger(sink: MemorySink) -> Iterator[logging.Logger]:
    logger = logging.getLogger("shop.orders")
    handler = AuditHandler(sink)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeHandler(handler)


def test_line_becomes_an_event_with_its_extras(sink: MemorySink, logger: logging.Logger) -> None:
    with actor_context("user:7"):
        logger.warning("stock of %s is low", "bread", extra={"left": 3, "where": Path("/shelf")})
    event = sink.one("log.written", severity="warning", actor="user:7")
    assert event.message == "stock of bread is low"
    assert event.metadata == {"logger": "shop.orders", "left": 3, "where": "/shelf"}


def test_extras_that_name_fields_are_those_fields(sink: MemorySink, logger: logging.Logger) -> None:
    logger.info("done", extra={"action": "order.paid", "object": ("order", 5), "channel": "shop"})
    event = sink.one("order.paid", object=("order", 5), channel="shop", severity="info")
    assert event.metadata == {"logger": "shop.orders"}


def test_traceback_is_a_failure_without_its_values(
    sink: MemorySink, logger: logging.Logger
) -> None:
    try:
        raise ValueError("hunter2")
    except ValueError:
        logger.exception("could not pay")
    event = sink.one("log.written", outcome="failure", severity="error")
    assert event.metadata == {
        "logger": "shop.orders", "error_kind": "other", "error_code": "ValueError",
    }  # fmt: skip


def test_secrets_in_message_and_extras_are_hidden(sink: MemorySink, logger: logging.Logger) -> None:
    logger.error("password=%s", "hunter2", extra={"api_key": "hunter2"})
    assert "hunter2" not in repr(sink.events)


def test_extras_are_bounded(sink: MemorySink, logger: logging.Logger) -> None:
    logger.info("big", extra={f"key{n}": "x" * 10_000 for n in range(200)})
    import msgspec

    assert len(msgspec.json.encode(sink.one().metadata)) <= METADATA_MAX


def test_broken_format_is_no_exception(
    sink: MemorySink, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.info("%d", "no number")
    assert not sink.recorded()


def test_handler_never_feeds_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library warns that no daemon is there; its own warning must not become an event, nor
    must what a sink logs while it records."""
    _last.clear()
    logged: list[str] = []
    root = logging.getLogger()
    client = Client(tmp_path / "nobody.sock", mode="wait", timeout=0.1)

    class Chatty(MemorySink):
        def record(self, *args: Any, **fields: Any) -> Any:
            logging.getLogger("chatty").error("while recording")
            logged.append("once")
            return super().record(*args, **fields)

    chatty = Chatty()
    handlers = [AuditHandler(client), AuditHandler(chatty)]
    for handler in handlers:
        root.addHandler(handler)
    try:
        logging.getLogger("app").error("one line")
        logging.getLogger(LOGGER).error("ours")
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        client.close()
    assert len(logged) == 1
    assert client.dropped == 1
    assert [event.message for event in chatty.events] == ["one line"]


def test_recipe_for_structlog_works() -> None:
    """The processor of docs/recording-python.md, as it stands there."""
    text = (Path(__file__).parents[2] / "docs" / "recording-python.md").read_text()
    section = text.partition("## structlog")[2]
    recipe = section.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(recipe, names)
    sink = MemorySink()
    configure(sink)
    structlog.configure(processors=[names["to_collector"], structlog.processors.JSONRenderer()])
    try:
        structlog.get_logger().warning("stock is low", left=3, password="hunter2")
        structlog.get_logger().info("paid", action="order.paid", object=("order", 5))
    finally:
        structlog.reset_defaults()
    assert sink.one("log.written", severity="warning", message="stock is low")
    assert sink.recorded("order.paid", object=("order", 5))
    assert "hunter2" not in repr(sink.events)
