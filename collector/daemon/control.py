"""What the daemon does when it is asked: `core.control.Control` on a running `Daemon`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from collector.config import DAYS_MAX, ENTRIES_MAX
from collector.core.control import (
    Caller,
    DevicePatch,
    Key,
    Metrics,
    PruneRequest,
    PruneResult,
    RetentionState,
    Role,
)
from collector.core.retention import Limits, age_groups, cutoff, entries_for_bytes
from collector.daemon import reloading
from collector.daemon.limits import SETTINGS, configured, limits_of
from collector.daemon.measuring import metrics, status
from collector.errors import JournalError, Rejected
from collector.event import Draft, Receipt
from collector.journal import keys, reindexing
from collector.journal.clearing import clear
from collector.journal.reader import Reader

if TYPE_CHECKING:
    from collector.daemon.daemon import Daemon


FORESIGHT_SECONDS: Final = 60.0
"""Longest time that telling what a prune would remove may take."""


class DaemonControl:
    """Implements `core.control.Control`."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def status(self) -> dict[str, Any]:
        """See `Control.status`."""
        return status(self._daemon)

    def metrics(self) -> Metrics:
        """See `Control.metrics`."""
        return metrics(self._daemon)

    def reload(self, caller: Caller | None) -> None:
        """See `Control.reload`; without a caller it was a signal."""
        if caller is not None:
            self._admin(caller, "reload")
        reloading.reload(self._daemon, caller)

    # ── pruning ─────────────────────────────────────────────────────────────────────────────────

    async def prune(self, request: PruneRequest, caller: Caller) -> PruneResult:
        """See `Control.prune`."""
        self._admin(caller, "prune")
        limits = self._limits(request)
        if request.dry_run:
            return await self._foreseen(limits)
        self._daemon.janitor.report_pruned()
        pruner = self._daemon.janitor.pruner
        await self._in_slices("prune", self._pruning(limits))
        removed = pruner.removed
        result = PruneResult(removed.count, removed.from_seq or None, removed.to_seq or None)
        if removed.count:
            metadata = pruner.metadata(removed)
            if self._record("events.pruned", caller, "journal", None, metadata).ok:
                pruner.reported()
        self._daemon.janitor.sweep()
        return result

    def _limits(self, request: PruneRequest) -> Limits:
        limits = self._daemon.janitor.limits
        changes = {
            name: getattr(request, name)
            for name in ("max_days", "max_entries", "max_bytes")
            if getattr(request, name) is not None
        }
        if any(value < 0 for value in changes.values() if isinstance(value, int)):
            raise Rejected("invalid_event", "a limit cannot be negative; 0 means none")
        if not changes:
            return limits
        return Limits(**{"max_days": 0, "max_entries": 0, "max_bytes": 0, **changes})

    async def _foreseen(self, limits: Limits) -> PruneResult:
        """Counted by a reader of its own: nobody waits who records."""
        daemon = self._daemon
        async with Reader.open(daemon.path, seconds=FORESIGHT_SECONDS) as reader:
            found = await reader.removal(limits, int(daemon.wall() * 1e6), slack=False)
        return PruneResult(found.count, found.from_seq, found.to_seq, dry_run=True)

    def _excess(self, limits: Limits) -> int:
        entries = self._daemon.janitor.pruner.entries
        used, _ = self._daemon.journal.page_bytes()
        by_count = max(0, entries - limits.max_entries) if limits.max_entries else 0
        return max(by_count, entries_for_bytes(used, limits.max_bytes, entries))

    def _pruning(self, limits: Limits) -> Iterator[Any]:
        """In the order of retention itself, which `journal.foresight` counts by."""
        now, pruner = int(self._daemon.wall() * 1e6), self._daemon.janitor.pruner
        yield from pruner.oldest(self._excess(limits), "request")
        for group in age_groups(limits):
            yield from pruner.aged(group, cutoff(now, group.max_days), "request")

    async def clear(self, caller: Caller) -> int:
        """See `Control.clear`."""
        self._admin(caller, "clear")
        daemon, pruner = self._daemon, self._daemon.janitor.pruner
        before = pruner.ledger.counts().get("cleared", 0)
        await self._in_slices("clear", clear(daemon.journal, pruner))
        count = pruner.ledger.counts().get("cleared", 0) - before
        if self._record("events.cleared", caller, "journal", None, {"count": count}).ok:
            pruner.reported()
        daemon.janitor.sweep()
        return count

    async def reindex(self, caller: Caller) -> int:
        """See `Control.reindex`."""
        self._admin(caller, "reindex")
        daemon = self._daemon
        await self._in_slices(
            "reindex", reindexing.forget(daemon.journal, daemon.janitor.followers)
        )
        daemon.janitor.enqueue("reindex", reindexing.rebuild(daemon.journal))
        return daemon.janitor.pruner.entries

    async def _in_slices(self, name: str, job: Iterator[Any]) -> None:
        """Let the janitor do a job and wait until it is done. Raises what the job raises."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._daemon.janitor.enqueue(name, _told(job, done))
        await done

    # ── devices ─────────────────────────────────────────────────────────────────────────────────

    def devices(self) -> list[dict[str, Any]]:
        """See `Control.devices`."""
        return self._daemon.registry.rows()

    def patch_device(self, device_id: str, patch: DevicePatch, caller: Caller) -> dict[str, Any]:
        """See `Control.patch_device`."""
        self._admin(caller, "change a device")
        changed = self._daemon.registry.patch(
            device_id,
            name=patch.name,
            ignored=patch.ignored,
            maintenance_until=patch.maintenance_until,
            actor=caller.actor,
            producer=caller.producer,
            source=caller.source,
        )
        if changed is None:
            raise LookupError(device_id)
        row, receipt = changed
        if receipt is not None and not receipt.ok:
            raise Rejected("io_error", receipt.error or "the change could not be recorded")
        return row

    # ── retention ───────────────────────────────────────────────────────────────────────────────

    def retention(self) -> RetentionState:
        """See `Control.retention`."""
        daemon = self._daemon
        override = None if daemon.journal.fact(SETTINGS) is None else daemon.janitor.limits
        return RetentionState(daemon.janitor.limits, configured(daemon.config), override)

    def set_retention(self, limits: Limits, caller: Caller) -> RetentionState:
        """See `Control.set_retention`."""
        self._admin(caller, "change settings")
        _check_bounds(limits)
        stored = {
            name: getattr(limits, name)
            for name in ("enabled", "max_days", "max_entries", "max_bytes", "categories")
        }
        return self._change_retention(msgspec.json.encode(stored).decode(), caller)

    def delete_retention(self, caller: Caller) -> RetentionState:
        """See `Control.delete_retention`."""
        self._admin(caller, "change settings")
        return self._change_retention(None, caller)

    def _change_retention(self, stored: str | None, caller: Caller) -> RetentionState:
        daemon = self._daemon
        before = daemon.janitor.limits
        old = daemon.journal.fact(SETTINGS)
        self._store(stored)
        after = limits_of(daemon.config, daemon.journal)
        changes = _changes(before, after)
        if changes or (old is None) != (stored is None):
            metadata = {"changes": changes, "to_file": stored is None}
            receipt = self._record("settings.updated", caller, "settings", "retention", metadata)
            if not receipt.ok:
                self._store(old)
                raise Rejected("io_error", receipt.error or "the change could not be recorded")
        daemon.janitor.limits = after
        daemon.janitor.look_soon()
        return self.retention()

    def _store(self, value: str | None) -> None:
        journal = self._daemon.journal
        with journal.transaction():
            if value is None:
                journal.delete_fact(SETTINGS)
            else:
                journal.set_fact(SETTINGS, value)

    # ── keys ────────────────────────────────────────────────────────────────────────────────────

    def keys(self) -> list[Key]:
        """See `Control.keys`."""
        return keys.every(self._daemon.journal)

    def find_key(self, secret: str) -> Key | None:
        """See `Control.find_key`."""
        return keys.find(self._daemon.journal, secret)

    def add_key(self, label: str, role: Role, tenant_id: str | None, caller: Caller) -> str:
        """See `Control.add_key`."""
        self._admin(caller, "make keys")
        secret = keys.add(self._daemon.journal, label, role, tenant_id, self._daemon.wall())
        self._record("key.created", caller, "key", label, {"role": role, "tenant_id": tenant_id})
        return secret

    def revoke_key(self, label: str, caller: Caller) -> None:
        """See `Control.revoke_key`."""
        self._admin(caller, "revoke keys")
        keys.revoke(self._daemon.journal, label)
        self._record("key.revoked", caller, "key", label, {})

    # ── common ──────────────────────────────────────────────────────────────────────────────────

    def _admin(self, caller: Caller, what: str) -> None:
        if not caller.admin:
            self._daemon.denials.note(caller, what)
            raise Rejected("denied", f"only an administrator may {what}")

    def _record(
        self,
        action: str,
        caller: Caller,
        object_type: str,
        object_id: str | None,
        metadata: dict[str, Any],
    ) -> Receipt:
        category = "auth" if object_type == "key" else "system"
        draft = Draft(
            action=action,
            category=category,
            actor=caller.actor,
            object_type=object_type,
            object_id=object_id,
            metadata=metadata,
        )
        return self._daemon.intake.record(draft, source=caller.source, producer=caller.producer)


def _told(job: Iterator[Any], done: asyncio.Future[None]) -> Iterator[Any]:
    try:
        yield from job
    except (JournalError, GeneratorExit) as error:
        if not done.done():
            stopped = isinstance(error, GeneratorExit)
            done.set_exception(Rejected("io_error", "it was interrupted") if stopped else error)
        raise
    if not done.done():
        done.set_result(None)


def _check_bounds(limits: Limits) -> None:
    """Hold settings to the bounds of the configuration's own keys. Raises `Rejected`."""
    days = {
        "max_days": limits.max_days,
        **{f"categories.{n}": d for n, d in limits.categories.items()},
    }
    for name, value in days.items():
        if not 0 <= value <= DAYS_MAX:
            raise Rejected("invalid_event", f"{name} must be from 0 to {DAYS_MAX} - at `$.{name}`")
    if not 0 <= limits.max_entries <= ENTRIES_MAX:
        raise Rejected(
            "invalid_event", f"max_entries must be from 0 to {ENTRIES_MAX} - at `$.max_entries`"
        )
    if limits.max_bytes < 0:
        raise Rejected("invalid_event", "max_bytes must not be negative - at `$.max_bytes`")


def _changes(before: Limits, after: Limits) -> dict[str, dict[str, Any]]:
    return {
        name: {"from": getattr(before, name), "to": getattr(after, name)}
        for name in before.__struct_fields__
        if getattr(before, name) != getattr(after, name)
    }
