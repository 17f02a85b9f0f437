"""The documentation's own examples, run as they stand."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import collector.client
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


@pytest.mark.parametrize(
    ("language", "tool", "command"),
    [("python", None, "-c"), ("javascript", "node", "-e"), ("perl", "perl", "-e")],
)
def test_client_in_ten_lines_records(
    tmp_path: Path, language: str, tool: str | None, command: str
) -> None:
    program = sys.executable if tool is None else need_tool(tool)
    (code,) = blocks("recording-protocol.md", language)
    daemon = Daemon(tmp_path).start()
    try:
        done = subprocess.run(
            [program, command, code], capture_output=True, text=True, timeout=30,
            env={**os.environ, "COLLECTOR_SOCKET": str(daemon.socket)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert [
            each["object_id"] for each in daemon.entries() if each["action"] == "door.opened"
        ] == ["garage"]
        daemon.stop()
    finally:
        daemon.kill()
