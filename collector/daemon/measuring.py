"""What `status` and `/metrics` show of a running daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from collector.core.control import Metrics
from collector.core.retention import DAY
from collector.daemon.limits import SETTINGS, configured
from collector.journal import succession

if TYPE_CHECKING:
    from collector.daemon.daemon import Daemon


def status(daemon: Daemon) -> dict[str, Any]:
    """Plain JSON values for people and scripts."""
    journal, intake, janitor = daemon.journal, daemon.intake, daemon.janitor
    failing = intake.failing.since is not None or intake.suspended is not None
    error = intake.failing.error or intake.suspended
    return {
        "state": "failing" if failing else "recording",
        "error": str(error) if error else None,
        "pid": os.getpid(),
        "uptime": round(daemon.uptime, 1),
        "database": str(daemon.path),
        "journal_id": journal.id,
        "socket": daemon.config.sources.unix.path if daemon.unix is not None else None,
        "config": str(daemon.config.file) if daemon.config.file else None,
        "page": page_url(daemon),
        "first_seq": journal.first_seq(),
        "last_seq": journal.last_seq,
        "journal": janitor.status(),
        "removed": janitor.pruner.ledger.status(),
        "abandoned": succession.predecessor(journal),
        "quarantined": daemon.quarantined.status(),
        "counters": dict(sorted(intake.counters.items())),
        "lost": dict(sorted(daemon.losses.totals.items())),
        "unix": daemon.unix.status() if daemon.unix is not None else None,
        "sources": {name: part.status() for name, part in daemon.parts.items()},
        "details": {name: source.status() for name, source in daemon.details.items()},
        "devices": daemon.registry.status(),
        "subscribers": len(daemon.hub),
        "retention": {
            "effective": msgspec.to_builtins(janitor.limits),
            "file": msgspec.to_builtins(configured(daemon.config)),
            "overridden": journal.fact(SETTINGS) is not None,
            "ages_trusted": daemon.clock.trusted(),
        },
    }


def page_url(daemon: Daemon) -> str | None:
    """Where the page is; None where there is none, or its port is not known yet (`web.port = 0`)."""
    web = daemon.config.web
    port = web.port or daemon.web_port
    if "web" not in daemon.parts or port is None:
        return None
    host = f"[{web.host}]" if ":" in web.host else web.host
    return f"{'https' if web.tls_cert else 'http'}://{host}:{port}/"


def metrics(daemon: Daemon) -> Metrics:
    """Numbers for `/metrics`."""
    journal, intake, janitor = daemon.journal, daemon.intake, daemon.janitor
    used, free = journal.page_bytes()
    return Metrics(
        recorded=_under(intake.counters, "recorded."),
        rejected=_under(intake.counters, "rejected."),
        lost=dict(daemon.losses.totals),
        duplicates=intake.counters["duplicates"],
        commits=sum(intake.batch_events.counts),
        commit_failures=intake.counters["commit_failures"],
        commit_seconds=intake.commit_seconds,
        batch_events=intake.batch_events,
        journal_bytes=used,
        wal_bytes=journal.wal_bytes(),
        free_bytes=free,
        first_seq=journal.first_seq(),
        last_seq=journal.last_seq,
        entries=janitor.pruner.entries,
        pruned=janitor.pruner.total,
        removed=janitor.pruner.ledger.counts(),
        prune_lag_seconds=_prune_lag(daemon),
        index_lag={follower.name: follower.lag for follower in janitor.followers},
        subscribers=len(daemon.hub),
        lagged=daemon.hub.lagged,
        connections=daemon.unix.status()["connections"] if daemon.unix is not None else 0,
        start_time=daemon.began + daemon.clock.shift,
        recording=intake.failing.since is None and intake.suspended is None,
        held_seconds=journal.held.seconds if journal.held.lasts else 0.0,
    )


def _under(counters: dict[str, int], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): count
        for name, count in counters.items()
        if name.startswith(prefix)
    }


def _prune_lag(daemon: Daemon) -> float:
    """Seconds by which the oldest entry is older than the general age limit."""
    limits, journal = daemon.janitor.limits, daemon.journal
    if not limits.enabled or not limits.max_days:
        return 0.0
    recorded = journal.recorded_at(journal.first_seq())
    if recorded is None:
        return 0.0
    return max(0.0, daemon.wall() - (recorded + limits.max_days * DAY) / 1e6)
