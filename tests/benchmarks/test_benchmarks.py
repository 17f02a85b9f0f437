"""That the benchmarks run, on tiny sizes; what they measure is for people to read, never asserted."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import ROWS
from tests.benchmarks.events import PLACEHOLDER, line, varied, xadd
from tests.benchmarks.load import CHUNK, Ids

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_row_is_measured(tmp_path: Path) -> None:
    """Real daemons and loads, a Redis where there is one; a refused event would be an error."""
    command = [sys.executable, "-m", "tests.benchmarks", "--tiny", "--all"]
    command += ["--disk", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[1:-1]
    assert len(lines) >= 20
    without_redis = [each for each in lines if "Redis" not in each]
    assert all(re.search(r"\s[\d,.]+\s+(?:[≥≤] [\d.,]+|none)", each) for each in without_redis)
    assert list(tmp_path.iterdir()) == []


def test_the_documentation_names_every_row() -> None:
    page = (ROOT / "docs/benchmarks.md").read_text()
    assert [name for name in ROWS if f"| `{name}` |" not in page] == []


def test_events_are_varied_and_the_same_for_both_servers() -> None:
    events = list(varied(5_000))
    assert events == list(varied(5_000))
    assert len({event.actor for event in events}) > 300
    assert len({event.object_id for event in events}) > 2_000
    for event in events[:20]:
        sent, added = line(event), xadd(event)
        assert sent.endswith(b"}\n")
        values = [value.encode() for value in event if value]
        assert all(value in sent and value in added for value in values)


def test_ids_are_fresh_version_4_in_every_line_each_time_around() -> None:
    lines = [line(event, PLACEHOLDER) for event in varied(CHUNK + 3)]
    ids = Ids(lines)
    found: list[bytes] = []
    for _ in range(2):
        for chunk, count in ids:
            each = re.findall(
                rb'"id":"([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12})"', chunk
            )
            assert len(each) == count == chunk.count(b"\n")
            found += each
    assert len(set(found)) == len(found) == 2 * len(lines)
