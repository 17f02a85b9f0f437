"""The documentation's own examples, run as they stand."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

import collector.client
from collector.client import MemorySink, configure
from tests.client.conftest import until
from tests.client.daemon import Daemon
from tests.requirements import need_tool

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    "recording-python.md", "recording-shell.md", "recording-protocol.md", "recording-web.md",
    "failures.md", "testing.md",
]  # fmt: skip


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_python_of_a_page_is_python_and_imports_what_exists(page: str) -> None:
    for block in blocks(page, "python"):
        tree = compile(block, page, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "collector.client":
                for name in node.names:
                    assert hasattr(collector.client, name.name), name.name


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_that_exist(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+\.md)", (DOCS / page).read_text()):
        assert (DOCS / target).exists(), target


def test_every_public_name_is_told_about() -> None:
    told = "".join((DOCS / page).read_text() for page in PAGES)
    inner = {
        "Audit",
        "Connection",
        "Trail",
        "Sink",
        "Draft",
        "default",
        "dropped",
        "flush",
        "close",
    }
    missing = [name for name in collector.client.__all__ if name not in told and name not in inner]
    assert not missing


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    running = Daemon(tmp_path).start()
    yield running
    running.kill()


@pytest.mark.parametrize(
    ("language", "tool", "command"),
    [("python", None, "-c"), ("javascript", "node", "-e"), ("perl", "perl", "-e")],
)
def test_client_in_ten_lines_records(
    daemon: Daemon, language: str, tool: str | None, command: str
) -> None:
    program = sys.executable if tool is None else need_tool(tool, {"node": "nodejs"}.get(tool))
    (code,) = blocks("recording-protocol.md", language)
    done = subprocess.run(
        [program, command, code], capture_output=True, text=True, timeout=30,
        env={**os.environ, "COLLECTOR_SOCKET": str(daemon.socket)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [each["object_id"] for each in recorded(daemon, "door.opened")] == ["garage"]


@pytest.fixture
def sink() -> MemorySink:
    kept = MemorySink()
    configure(kept)
    return kept


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("framework", "path", "verb"),
    [("fastapi", "/orders/7/pay", "paid"), ("litestar", "/orders", "created")],
)
async def test_web_application_of_the_page_records_its_request(
    sink: MemorySink, framework: str, path: str, verb: str
) -> None:
    (code,) = [
        each for each in blocks("recording-web.md", "python") if f"from {framework} " in each
    ]
    application = executed(code)["app"]
    transport = httpx.ASGITransport(application, client=("192.0.2.7", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        assert (await client.post(path)).json() == {verb: 7}
    event = sink.one(f"order.{verb}", object=("order", "7"), ip="192.0.2.7")
    assert event.correlation_id


@pytest.mark.parametrize(
    ("page", "needle", "actions"),
    [
        ("recording-python.md", '\nrecord("settings.updated', {"settings.updated"}),
        ("recording-python.md", "in_context(reindex)", {"person.updated", "index.rebuilt"}),
        ("recording-python.md", "with audit(", {"backup.restored"}),
        ("recording-python.md", "AuditHandler(", {"log.written"}),
    ],
)
def test_example_of_a_page_records(
    sink: MemorySink, monkeypatch: pytest.MonkeyPatch, page: str, needle: str, actions: set[str]
) -> None:
    monkeypatch.setattr(logging.getLogger("shop"), "handlers", [])  # to which one example adds
    (code,) = [each for each in blocks(page, "python") if needle in each]
    executed(code)
    until(lambda: {event.action for event in sink.events} == actions)


@pytest.mark.anyio
async def test_example_for_coroutines_records(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTOR_SOCKET", str(daemon.socket))
    (code,) = [each for each in blocks("recording-python.md", "python") if "async with" in each]
    await executed(code)["main"]()
    assert len(recorded(daemon, "backup.completed")) == 1


def test_sqlalchemy_program_of_the_page_records_its_changes(
    sink: MemorySink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = [each for each in blocks("recording-python.md", "python") if "create_engine" in each]
    executed(code)["engine"].dispose()
    assert sink.one("person.created", object=("person", "1", "ada"), channel="people")
    assert sink.one("person.updated").metadata == {
        "changes": {"name": {"from": "ada", "to": "Ada L."}}
    }


def executed(code: str) -> dict[str, Any]:
    """What a program of a page defines, run as a module of its own."""
    module = ModuleType("page")
    sys.modules["page"] = module  # where annotations are looked up
    try:
        exec(compile(code, "page", "exec"), module.__dict__)
    finally:
        del sys.modules["page"]
    return module.__dict__


class TestTheShellsPage:
    """Its commands, as they stand; only the socket is this test's own, and so is what they log."""

    EMIT, SCRIPT, PIPE, SOCAT = blocks("recording-shell.md", "sh")

    def test_one_event(self, daemon: Daemon, tmp_path: Path) -> None:
        out = shell(self.EMIT, daemon, tmp_path)
        (entry,) = recorded(daemon, "backup.completed")
        assert out == f"{entry['seq']}\n"
        assert (entry["object_type"], entry["object_id"]) == ("backup", "nightly")
        assert (entry["metadata"], entry["message"]) == ('{"bytes":4096}', "nightly backup done")
        assert entry["actor_id"] == str(os.getuid())

    @pytest.mark.parametrize(("restic", "outcome"), [("true", "success"), ("false", "failure")])
    def test_a_script_that_must_not_fail(
        self, daemon: Daemon, tmp_path: Path, restic: str, outcome: str
    ) -> None:
        shell(self.SCRIPT, daemon, tmp_path, restic=restic)
        assert len(recorded(daemon, "backup.started")) == 1
        assert [each["outcome"] for each in recorded(daemon, "backup.completed")] == [outcome]

    def test_a_script_that_must_not_fail_without_a_daemon(
        self, daemon: Daemon, tmp_path: Path
    ) -> None:
        daemon.stop()
        assert shell(self.SCRIPT, daemon, tmp_path, restic="true") == ""

    def test_many_events(self, daemon: Daemon, tmp_path: Path) -> None:
        need_tool("jq")
        lines = '{"MESSAGE":"one"}\n{"MESSAGE":[116,119,111]}\n'
        out = shell(self.PIPE, daemon, tmp_path, journalctl=f"printf %s '{lines}'")
        told = recorded(daemon, "journal.line")
        assert [each["message"] for each in told] == ["one", "[116,119,111]"]
        assert out.split() == [str(each["seq"]) for each in told]

    def test_no_program_of_ours(self, daemon: Daemon, tmp_path: Path) -> None:
        need_tool("socat")
        out = shell(self.SOCAT, daemon, tmp_path)
        (entry,) = recorded(daemon, "door.opened")
        reply = json.loads(out)
        assert (reply["ok"], reply["seq"], reply["id"]) == (True, entry["seq"], entry["id"])


def shell(block: str, daemon: Daemon, folder: Path, **programs: str) -> str:
    """Run a block with `sh -e`; `programs` stand in for those it logs about. What it printed."""
    place = folder / "bin"
    place.mkdir()
    programs["collector"] = f'exec "{sys.executable}" -m collector "$@"'
    for name, line in programs.items():
        program = place / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    done = subprocess.run(
        ["sh", "-ec", block.replace("/run/collector/collector.sock", str(daemon.socket))],
        capture_output=True, text=True, timeout=60,
        env={
            **os.environ,
            "PATH": f"{place}:{os.environ['PATH']}",
            "COLLECTOR_SOCKET": str(daemon.socket),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def recorded(daemon: Daemon, action: str) -> list[dict[str, Any]]:
    return [each for each in daemon.entries() if each["action"] == action]
