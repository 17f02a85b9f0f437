"""`/metrics` in Prometheus' text form, `/healthz` (alive) and `/readyz` (recording)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from litestar import Response, get
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from collector.core.control import Histogram, Metrics
from collector.web.access import may_read_all
from collector.web.problems import answer, problem
from collector.web.services import Given, Services


@get("/healthz", tags=["health"], operation_id="healthz", media_type="application/json")
async def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "alive"}


@get("/readyz", tags=["health"], operation_id="readyz")
async def readyz(services: Given) -> Response[Any]:
    """Whether events are being recorded: 503 with the reason where they are not."""
    if services.control.metrics().recording:
        return Response({"status": "recording"})
    return answer(problem("io_error", "events are not being recorded now", retry=True))


@get("/metrics", guards=[may_read_all], tags=["health"], operation_id="metrics")
async def metrics(services: Given) -> Response[bytes]:
    """Everything worth watching; see docs/metrics.md."""
    registry = CollectorRegistry(auto_describe=False)
    families = [*of_process(services.control.metrics()), *_of_devices(services)]
    families.append(await _of_events(services))
    registry.register(_Snapshot(families))
    # Litestar adds the charset to every text.
    media_type = CONTENT_TYPE_PLAIN_0_0_4.partition("; charset")[0]
    return Response(generate_latest(registry), media_type=media_type)


class _Snapshot:
    """What prometheus-client calls a collector: families that were made beforehand."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """The families."""
        return iter(self._families)


def of_process(found: Metrics) -> list[Metric]:
    """The families of the process's own numbers."""
    return [
        _counters(
            "collector_recorded", "Events committed since the start.", "source", found.recorded
        ),
        _counters(
            "collector_rejected", "Requests refused since the start.", "code", found.rejected
        ),
        _counters("collector_lost", "Events lost since the start.", "cause", found.lost),
        _counter("collector_duplicates", "Events that were stored before.", found.duplicates),
        _counter("collector_commits", "Transactions committed.", found.commits),
        _counter("collector_commit_failures", "Transactions that failed.", found.commit_failures),
        _histogram(
            "collector_commit_seconds",
            "Time of a transaction with its fsync.",
            found.commit_seconds,
        ),
        _histogram("collector_batch_events", "Events of a transaction.", found.batch_events),
        _gauge("collector_journal_bytes", "Bytes of the database file.", found.journal_bytes),
        _gauge("collector_wal_bytes", "Bytes of the write-ahead log.", found.wal_bytes),
        _gauge("collector_free_bytes", "Bytes free inside the database file.", found.free_bytes),
        _gauge("collector_entries", "Entries stored.", found.entries),
        _gauge("collector_first_seq", "The oldest stored seq.", found.first_seq),
        _gauge("collector_last_seq", "The newest seq.", found.last_seq),
        _counter("collector_pruned", "Entries pruned since the start.", found.pruned),
        _counters("collector_removed", "Entries removed from the journal.", "cause", found.removed),
        _gauge(
            "collector_prune_lag_seconds",
            "How much older than its limit the oldest entry is.",
            found.prune_lag_seconds,
        ),
        _gauges(
            "collector_index_lag_entries",
            "Entries a follower is behind.",
            "follower",
            found.index_lag,
        ),
        _gauge("collector_subscribers", "Live streams.", found.subscribers),
        _counter("collector_lagged", "Times a live stream fell behind.", found.lagged),
        _gauge("collector_connections", "Connections on the Unix socket.", found.connections),
        _gauge("collector_recording", "Whether events are being recorded.", int(found.recording)),
        _gauge(
            "collector_held_seconds",
            "How long a reader has held a snapshot; 0 below ten seconds.",
            found.held_seconds,
        ),
        _gauge(
            "collector_start_time_seconds", "When the daemon started, Unix time.", found.start_time
        ),
    ]


def _of_devices(services: Services) -> list[Metric]:
    states: Counter[str] = Counter({"unknown": 0, "online": 0, "suspect": 0, "offline": 0})
    flapping = 0
    for row in services.control.devices():
        states[str(row.get("state"))] += 1
        flapping += bool(row.get("flapping"))
    denied = services.denials.total
    return [
        _gauges("collector_devices", "Devices by state.", "state", states),
        _gauge("collector_devices_flapping", "Devices that flap.", flapping),
        _counter("collector_http_denied", "HTTP requests refused for who asked.", denied),
    ]


async def _of_events(services: Services) -> Metric:
    """Events by source and outcome from the journal's own totals: they survive restarts."""
    family = CounterMetricFamily(
        "collector_events",
        "Events in the journal's totals by source and outcome.",
        labels=["source", "outcome"],
    )
    for labels, count in sorted((await services.reader.flows()).items()):
        family.add_metric(labels, count)
    return family


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(name, about, value=value)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=value)


def _counters(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, about, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _gauges(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _histogram(name: str, about: str, found: Histogram) -> Metric:
    buckets, total = [], 0
    for bound, count in zip((*found.bounds, float("inf")), found.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), total))
    return HistogramMetricFamily(name, about, buckets=buckets, sum_value=found.total)


HANDLERS: Final[list[Any]] = [healthz, readyz, metrics]
