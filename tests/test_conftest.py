"""How the suite is spread over workers: a small suite of its own under the same configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tests import conftest

ROOT = Path(__file__).parents[1]
TOGETHER = sorted(conftest.TOGETHER)
SUITE = """
import json, os, time
import pytest

def note(seconds=0.2):
    name, began = os.environ["PYTEST_CURRENT_TEST"], time.monotonic()
    time.sleep(seconds)  # a test that takes a while
    line = json.dumps([name, os.environ.get("PYTEST_XDIST_WORKER"), began, time.monotonic()])
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(line + "\\n")

"""
FILES = {
    "tests/test_any.py": """
@pytest.mark.alone
@pytest.mark.parametrize("n", range(2))
def test_alone(n):
    note()

@pytest.mark.parametrize("n", range(4))
def test_free(n):
    note()

def test_long():
    note(0.8)
""",
    TOGETHER[0]: """
@pytest.mark.parametrize("n", range(2))
def test_pair(n):
    note()
""",
}


def ran(folder: Path, *words: str) -> list[Any]:
    """Run the small suite; what each of its tests noted: name, worker, begin, end."""
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(SUITE + text)
    (folder / "tests/conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    lines = [f"{key} = {json.dumps(options[key])}" for key in ("addopts", "markers", "testpaths")]
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n" + "\n".join(lines))
    notes = folder / "notes"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", f"--basetemp={folder / 'temporary'}", *words],
        cwd=folder,
        env={"NOTES": str(notes), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout.splitlines()[-1]
    return [json.loads(line) for line in notes.read_text().splitlines()]


def test_the_whole_suite_runs_in_workers_and_what_is_alone_beside_nothing(tmp_path: Path) -> None:
    notes = ran(tmp_path)
    assert len(notes) == 9
    assert len({worker for _, worker, _, _ in notes}) > 1
    assert len({worker for name, worker, _, _ in notes if "test_pair" in name}) == 1
    for number, (name, _, began, ended) in enumerate(notes):
        beside = [other for other in notes if other[2] < ended and began < other[3]]
        assert "test_alone" not in name or beside == [notes[number]]


def test_a_part_of_the_suite_runs_without_workers(tmp_path: Path) -> None:
    notes = ran(tmp_path, TOGETHER[0])
    assert [worker for _, worker, _, _ in notes] == [None, None]


def test_files_that_stay_together_are_there() -> None:
    assert [path for path in TOGETHER if not (ROOT / path).is_file()] == []
