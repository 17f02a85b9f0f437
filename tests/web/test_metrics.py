"""`/metrics` as a real Prometheus parser reads it; every name documented and used as documented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.web.conftest import House

pytestmark = pytest.mark.anyio
DOCS = Path(__file__).parents[2] / "docs"


async def families(house: House) -> dict[str, Any]:
    async with house.admin() as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(family: Any, **labels: str) -> float:
    for sample in family.samples:
        if sample.labels == labels and not sample.name.endswith("_created"):
            found: float = sample.value
            return found
    raise AssertionError((family.name, labels))


async def test_numbers_move_with_what_happens(house: House) -> None:
    before = await families(house)
    for _ in range(5):
        house.record("a.b", outcome="failure")
    house.record("Not An Action")
    after = await families(house)

    def moved(name: str, **labels: str) -> float:
        return value(after[name], **labels) - value(before[name], **labels)

    assert value(after["collector_recorded"], source="queue") == 5
    assert value(after["collector_events"], source="queue", outcome="failure") == 5
    assert value(after["collector_rejected"], code="invalid_event") == 1
    assert value(after["collector_entries"]) == house.daemon.journal.last_seq
    assert value(after["collector_recording"]) == 1
    assert moved("collector_commits") >= 6
    buckets = [s for s in after["collector_commit_seconds"].samples if s.name.endswith("_bucket")]
    assert [s.value for s in buckets] == sorted(s.value for s in buckets)
    assert buckets[-1].labels["le"] == "+Inf"
    count = next(s for s in after["collector_commit_seconds"].samples if s.name.endswith("_count"))
    assert count.value == buckets[-1].value


async def test_the_ledger_is_counted_by_cause_and_adds_up(house: House) -> None:
    for _ in range(9):
        house.record("a.b")
    for _ in house.daemon.janitor.pruner.oldest(4, "bytes"):
        pass
    found = await families(house)
    assert value(found["collector_removed"], cause="bytes") == 4
    entries, last = (value(found[f"collector_{name}"]) for name in ("entries", "last_seq"))
    assert entries + 4 == last


async def test_ready_says_no_while_nothing_can_be_recorded(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collector.errors import JournalIOError

    def broken() -> None:
        raise JournalIOError("no")

    monkeypatch.setattr(house.daemon.journal, "begin", broken)
    house.record()
    async with house.client() as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "io_error")
        assert (await client.get("/healthz")).status_code == 200


async def test_every_metric_is_documented_and_nothing_else_is_used(house: House) -> None:
    known = set()
    for family in (await families(house)).values():
        known.add(f"{family.name}_total" if family.type == "counter" else family.name)
        if family.type == "histogram":
            known |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    documented = set(re.findall(r"`(collector_[a-z_]+)`", (DOCS / "metrics.md").read_text()))
    plain = {name for name in known if not name.endswith(("_bucket", "_sum", "_count"))}
    assert documented == plain
    for path in ("prometheus-alerts.yml", "grafana-dashboard.json"):
        used = set(re.findall(r"\bcollector_[a-z_]+", (DOCS / path).read_text()))
        assert used <= known, f"{path} uses {used - known}"
        assert used


def test_the_alert_rules_and_the_dashboard_are_well_formed() -> None:
    import yaml

    rules = yaml.safe_load((DOCS / "prometheus-alerts.yml").read_text())
    found = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in found}) == len(found) >= 8
    for rule in found:
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert rule["expr"].count("(") == rule["expr"].count(")")
    board = json.loads((DOCS / "grafana-dashboard.json").read_text())
    assert all(panel["targets"] for panel in board["panels"] if panel["type"] != "row")
