"""The daemon: builds every object by hand, starts outputs before inputs, and stops in reverse.

`Daemon` knows nothing of processes: signals, exit codes and systemd are `process.py`'s, and an
embedding program uses it through `Collector`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collector.clock import ClockWatch, boottime
from collector.config import Config
from collector.core.admission import Admission
from collector.core.audited import audited
from collector.core.losses import Losses
from collector.core.redaction import Redactor
from collector.core.rfc3339 import rfc3339
from collector.daemon.control import DaemonControl
from collector.daemon.denials import Denials
from collector.daemon.failing import Failing
from collector.daemon.limits import limits_of
from collector.daemon.moving import report
from collector.daemon.opening import judged, open_journal
from collector.daemon.parts import optional_parts
from collector.daemon.quarantined import Quarantined
from collector.daemon.supervisor import Part
from collector.errors import JournalCorrupt, JournalError
from collector.event import Draft
from collector.hub import Hub
from collector.intake import Intake
from collector.janitor import Janitor
from collector.journal import intents, succession
from collector.journal.connection import translated
from collector.journal.files import make_directory
from collector.journal.intents import Intent
from collector.journal.sqlite_version import require_sqlite
from collector.journal.versions import Versions, install_views
from collector.sources.devices import Registry
from collector.sources.health import policy_of
from collector.sources.queue import DraftQueue
from collector.sources.socket_file import SocketFile
from collector.sources.unix import UnixSource
from collector.web import exposure

if TYPE_CHECKING:
    from collector.sources.mdns import MdnsSource

RUNNING: Final = "running_since"
"""A fact that stands in the journal while a daemon runs, and is gone after a clean stop."""

_log = logging.getLogger(__name__)


class Daemon:
    """One running daemon on one journal. `start`, then `stop`; what fails for good is `failed`."""

    def __init__(
        self,
        config: Config,
        *,
        read_config: Callable[[], Config] | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        boottime: Callable[[], float] = boottime,
        listener: socket.socket | None = None,
    ) -> None:
        self.config = config
        self.read_config = read_config or (lambda: self.config)
        self.wall, self.monotonic, self._boottime = wall, monotonic, boottime
        self.began = wall()
        self._began_boottime = boottime()
        self.path = Path(config.storage.path)
        self.listener = listener
        self.losses = Losses()
        self.parts: dict[str, Part] = {}
        self.socket_file: SocketFile | None = None
        self.unix: UnixSource | None = None
        loop = asyncio.get_running_loop()
        self.details: dict[str, Any] = {}
        """Sources that can say more of themselves than that they run."""
        self.mdns: MdnsSource | None = None
        self.web_port: int | None = None
        """The TCP port that HTTP is served at, while it is."""
        self.restarting: asyncio.Task[None] | None = None
        self.control = DaemonControl(self)
        self.failing = Failing(self.path, monotonic, loop.create_future(), self._on_suspicion)
        require_sqlite()
        opened = open_journal(self.path, config.storage.on_corrupt, now=wall)
        self.lock, self.journal, self.intent = opened.lock, opened.journal, opened.intent
        try:
            with translated(self.path):
                self._build(loop)
        except BaseException as error:
            self.journal.close()
            self.lock.release()
            if isinstance(error, JournalCorrupt):
                raise judged(self.path, error) from error
            raise

    def _build(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make everything that stands between the journal and the outside."""
        config = self.config
        redactor = self.redactor_of(config)
        self.hub = Hub(self.journal.entries)
        self.intake = Intake(
            self.journal,
            Admission(self.journal.books, redactor, config.categories),
            Versions(self.journal.connection, audited(config.resources), redactor),
            self.hub,
            wall=self.wall,
            monotonic=self.monotonic,
            call_soon=loop.call_soon,
            make_room=self._make_room,
            on_failure=self._on_failure,
            lost=self.lost,
        )
        self.clock = ClockWatch(wall=self.wall, steady=self._boottime)
        self.janitor = Janitor(
            self.journal,
            self.intake,
            limits_of(config, self.journal),
            interval=config.retention.interval,
            on_full=config.storage.on_full,
            wal_max=config.storage.wal_max,
            wall=self.wall,
            monotonic=self.monotonic,
            clock=self.clock,
            losses=self.losses,
            processor=time.thread_time,
        )
        self.registry = Registry(
            self.intake,
            wall=self.wall,
            mono=self.monotonic,
            grace=config.sources.mdns.grace,
            policy=policy_of(config.health),
            new_journal=self.journal.new,
        )
        self.quarantined = Quarantined(self.journal)
        self.denials = Denials(self.intake, self.monotonic)
        self.queue = DraftQueue(self.intake, size=config.sources.queue.size, lost=self.lost)

    @property
    def uptime(self) -> float:
        """Seconds since the start, suspension included, whatever became of the wall clock."""
        return self._boottime() - self._began_boottime

    def redactor_of(self, config: Config) -> Redactor:
        """The rules of a configuration under this journal's key. Raises `ConfigError`."""
        rules = config.redaction
        return Redactor(
            keys=rules.keys, patterns=rules.patterns, emails=rules.emails, key=self.journal.hmac_key
        )

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Begin: record the start, then housekeeping, then outputs, then inputs."""
        try:
            with translated(self.path):
                self._start()
        except BaseException as error:
            await self.stop(record=False)
            if isinstance(error, JournalCorrupt):
                raise judged(self.path, error) from error
            raise

    def _start(self) -> None:
        if self.config.web.enabled:
            exposure.check(self.config.web.host, len(self.control.keys()))
        install_views(self.journal.connection, audited(self.config.resources))
        if self.config.sources.unix.enabled and self.listener is None:
            self._take_socket()
        self.janitor.disk.reserve.take()
        self._record_start()
        self.registry.load(self.journal.devices())
        self.registry.configure(self.config.devices)
        self.quarantined.start()
        self._housekeeping = asyncio.create_task(self.janitor.run(), name="janitor")
        self._housekeeping.add_done_callback(self._janitor_ended)
        self.parts = optional_parts(self)
        for name, part in self.parts.items():
            if name == "web":
                part.start()
        if self.config.sources.unix.enabled:
            self._listen()
        for name, part in self.parts.items():
            if name != "web":
                part.start()

    def _take_socket(self) -> None:
        """Have the socket before a start is recorded: one that fails for its sake was none."""
        unix = self.config.sources.unix
        make_directory(Path(unix.path).parent)
        self.socket_file = SocketFile(unix.path, unix.mode, unix.group)

    def _listen(self) -> None:
        unix = self.config.sources.unix
        listener = self.listener if self.socket_file is None else self.socket_file.listener
        assert listener is not None
        self.unix = UnixSource(
            listener, self.intake, self.control, unix.limits, unix.admin_groups, self.lost
        )
        self.unix.start()

    async def stop(self, *, record: bool = True) -> None:
        """End: inputs first, then what they brought is answered, then outputs, then the journal."""
        await self.failing.stop()
        await self.quarantined.stop()
        self.queue.drain()  # what threads handed in until now was there before the end began
        if record:
            self._record(Draft(action="collector.stopping"))
        await asyncio.gather(*(p.stop() for n, p in self.parts.items() if n != "web"))
        self.queue.close()
        if self.unix is not None:
            await self.unix.stop()
        self.intake.flush()
        if record:
            self.registry.flush()
            self.janitor.report_losses(all_of_them=True)
            self.janitor.report_pruned()
        self.hub.close()
        if "web" in self.parts:
            await self.parts["web"].stop()
        task = getattr(self, "_housekeeping", None)
        if task is not None:
            task.remove_done_callback(self._janitor_ended)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._close(clean=record)

    def _close(self, *, clean: bool) -> None:
        if clean:
            try:
                with self.journal.transaction():
                    self.journal.delete_fact(RUNNING)
            except JournalError as error:
                _log.error("the journal was not closed cleanly: %s", error)
        self.journal.close(clean=self._writes_well())
        if self.socket_file is not None:
            self.socket_file.close()
        self.lock.release()

    def _writes_well(self) -> bool:
        return self.intake.failing.since is None and not self.failing.ended.done()

    def _record_start(self) -> None:
        """Say that we are there, and what became of the one before."""
        journal = self.journal
        metadata: dict[str, Any] = {"previous": "clean", "pid": os.getpid()}
        if journal.new:
            metadata["previous"] = "first"
        elif journal.fact(RUNNING) is not None:
            metadata["previous"] = "unclean"
            metadata["from"] = self._last_recorded() or rfc3339(journal.fact(RUNNING) / 1e6)
            metadata["to"] = rfc3339(self.began)
        with journal.transaction():
            journal.set_fact(RUNNING, int(self.began * 1e6))
        if self.intent is not None:
            self._record_move(self.intent)
        severity = "warning" if metadata["previous"] == "unclean" else None
        metadata |= succession.unreported(journal)
        started = Draft(action="collector.started", severity=severity, metadata=metadata)
        self._record(started, settles=lambda: succession.mark_reported(journal))

    def _record_move(self, intent: Intent) -> None:
        """Tell of a quarantine or restore; once, since its id is the intent's."""
        draft = report(intent, self.path)
        if draft.action == "storage.quarantined":
            _log.error("the journal was damaged; it is kept as %s", intent.aside)
        if self._record(draft):
            intents.recorded(self.path)

    def _last_recorded(self) -> str | None:
        entries = self.journal.entries(self.journal.last_seq, self.journal.last_seq)
        return entries[0].recorded_at if entries else None

    def _record(self, draft: Draft, settles: Callable[[], None] | None = None) -> bool:
        receipt = self.intake.record(draft, source="collector", settles=settles)
        if not receipt.ok:
            _log.error("%s could not be recorded: %s", draft.action, receipt.error)
        return receipt.ok

    # ── what goes wrong ─────────────────────────────────────────────────────────────────────────

    def lost(self, cause: str, count: int) -> None:
        """Something was turned away; it becomes an `events.lost` entry."""
        self.losses.add(cause, count, self.wall())

    def _make_room(self, error: JournalError) -> bool:
        return self.janitor.make_room(error)

    def _on_failure(self, error: JournalError) -> None:
        self.failing.note(error, self.intake.failing.since)

    def _on_suspicion(self, looking: bool, damage: JournalError | None) -> None:
        """Nothing is written while the journal is looked at, nor after it was found damaged."""
        failing = self.intake.failing
        failing.suspected = looking or damage is not None
        failing.error = damage or failing.error

    def _janitor_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.failing.give_up(task.exception() or RuntimeError("the janitor ended"))
