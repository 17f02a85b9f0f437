"""One run: two lives of a daemon, one call that fails in one of them, a third life, and a judgement."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from tests.daemon.harness import Line, RunningDaemon
from tests.faults import judging
from tests.faults.calls import Phase
from tests.faults.forking import ForkedDaemon, ForkServer
from tests.faults.producing import Ended, Hangs, Producer

Variant = Literal["plain", "reader", "web", "idle"]
VARIANTS: Final[tuple[Variant, ...]] = ("plain", "reader", "web", "idle")
"""As it is; with a reader that holds a snapshot; with HTTP; with housekeeping at its work."""
KEPT: Final = 30
"""Entries that the run's prune leaves."""
DEADLINE: Final = 20.0
"""Seconds for a start, or an end, until it counts as hanging."""
AUDITED: Final = '\n[[resources]]\nslug = "things"\nobject_type = "thing"\naudit = true\n'


class Fault(NamedTuple):
    """The call that fails: in which life (1, 2), the how many-th of its kind, with which error."""

    life: int
    kind: str
    number: int
    error: str


class Outcome(NamedTuple):
    """What a run has shown: the failed call's path, the lives' ends, and what was wrong."""

    hit: str
    ends: list[tuple[Phase, int]]
    problems: list[str]


class Run:
    """One run of a daemon. `sites` makes it a run without a fault that writes down every call;
    `mutant` is what breaks the daemon on purpose."""

    def __init__(
        self, daemon: RunningDaemon, variant: Variant, *, sites: bool = False, mutant: str = ""
    ) -> None:
        self.daemon, self.folder, self.variant = daemon, daemon.folder, variant
        self.sites, self.mutant = sites, mutant
        self.producer = Producer()
        self.ends: list[tuple[Phase, int]] = []
        self.problems: list[str] = []
        self.pruned = False
        self._reader: sqlite3.Connection | None = None
        self._refused_since: float | None = None
        self._life = 0

    # ── lives ───────────────────────────────────────────────────────────────────────────────────

    def live(self, fault: Fault | None = None) -> None:
        """Start, go through the script of this life, stop; whatever ends the daemon ends the life."""
        self._life += 1
        self._phase: Phase = "start"
        try:
            self._spawn(fault)
            self._wait_until_it_answers()
            self._phase = "running"
            self._script()
            self._phase = "stop"
            self._let_go()
            os.kill(self._child.pid, signal.SIGTERM)
            self._ended(self._child.wait(DEADLINE))
        except Ended:
            self._ended(self._child.wait(DEADLINE))
        except Hangs as hang:
            self._hung(str(hang))
        except subprocess.TimeoutExpired:
            self._hung(f"it does not end (phase {self._phase})")
        finally:
            self._let_go()
            self.daemon.process = None

    def _spawn(self, fault: Fault | None) -> None:
        how: dict[str, Any] = {}
        if fault is not None and fault.life == self._life:
            how["fault"] = {
                "kind": fault.kind,
                "first": fault.number,
                "last": fault.number,
                "error": fault.error,
            }
        if self.sites:
            how["sites"] = str(self.sites_of(self._life))
        if self.variant == "web":
            how["environment"] = {"COLLECTOR__WEB__ENABLED": "true", "COLLECTOR__WEB__PORT": "0"}
        if self.variant == "idle":
            how["idle_after"] = 0.01
        if self.mutant and self._life < 3:
            how["mutant"] = self.mutant
        self.daemon.spawn(**how)
        assert self.daemon.process is not None
        self._child = self.daemon.process

    def sites_of(self, life: int) -> Path:
        """Where a life without a fault has written down its calls."""
        return self.folder / f"sites-{life}.json"

    def _alive(self) -> bool:
        return self._child.poll() is None

    def _wait_until_it_answers(self) -> None:
        """One connection as soon as there is a socket, and a ping over it."""
        deadline = time.monotonic() + DEADLINE
        while True:
            if not self._alive():
                raise Ended
            if time.monotonic() > deadline:
                raise Hangs("it does not answer")
            try:
                with Line(self.daemon.socket, timeout=DEADLINE) as line:
                    if line.ask({"op": "ping"})["ok"]:
                        return
            except TimeoutError:
                raise Hangs("it does not answer a ping") from None
            except (OSError, EOFError):
                time.sleep(0.003)

    def _ended(self, code: int) -> None:
        self.ends.append((self._phase, code))

    def _hung(self, how: str) -> None:
        self.problems.append(f"life {self._life}: {how}")
        with suppress(ProcessLookupError):
            os.kill(self._child.pid, signal.SIGABRT)  # faulthandler tells where
        self._ended(self._child.wait(DEADLINE))

    # ── the script ──────────────────────────────────────────────────────────────────────────────

    def _script(self) -> None:
        {1: self._first, 2: self._second, 3: self._third}[self._life]()

    def _first(self) -> None:
        self._record("a", 40, ids=True)
        self._hold()
        self._record("b", 40, ids=False)
        self._query()
        self._idle()
        self.problems += judging.entries_of(self.producer, judging.stored(self.daemon.database), 0)
        self._ask({"op": "prune", "max_entries": KEPT})
        self.pruned = True
        self._record("c", 20, ids=True)
        self._record("d", 10, ids=False)

    def _second(self) -> None:
        self._record("e", 20, ids=True)
        self._hold()
        self._query()
        again = [name for name in self.producer.acknowledged if name in self.producer.ids][-10:]
        self.producer.converse(self.daemon.socket, self._alive, again)
        self._record("f", 10, ids=False)
        self._idle()

    def _third(self) -> None:
        """What may be sent again is sent again, and the daemon is as good as new."""
        open_ = [
            name
            for name in self.producer.ids
            if name in self.producer.sent and name not in self.producer.acknowledged
        ]
        self.producer.converse(self.daemon.socket, self._alive, open_)
        self._record("g", 10, ids=True)

    def _record(self, name: str, count: int, *, ids: bool) -> None:
        names = [f"{name}-{number}" for number in range(count)]
        self.producer.record(self.daemon.socket, self._alive, names, ids=ids)

    def _ask(self, command: dict[str, Any]) -> dict[str, Any] | None:
        return self.producer.ask(self.daemon.socket, self._alive, command)

    def _query(self) -> None:
        """By a reader of the daemon's own, in a thread; over HTTP where there is HTTP."""
        self._ask({"op": "status"})
        self._ask({"op": "prune", "max_entries": KEPT, "dry_run": True})
        if self.variant == "web":
            self._over_http("GET", "/api/v1/events?limit=20&action=fault.tried")
            self._over_http("GET", "/api/v1/stats?by=action")
            self._over_http("POST", "/api/v1/events", json.dumps({"action": "fault.http"}))

    def _over_http(self, method: str, path: str, body: str | None = None) -> None:
        """A request on `api.sock`; a fault may break it, and nothing may break behind it."""
        connection = http.client.HTTPConnection("collector", timeout=DEADLINE)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(DEADLINE)
            connection.sock.connect(str(self.daemon.socket.with_name("api.sock")))
            connection.request(method, path, body, {"Content-Type": "application/json"})
            connection.getresponse().read()
        except TimeoutError:
            raise Hangs(f"{method} {path} over HTTP") from None
        except (OSError, http.client.HTTPException):
            if not self._alive():
                raise Ended from None
        finally:
            connection.close()

    def _idle(self) -> None:
        """Where housekeeping is what the run is about: wait until it has nothing left to do."""
        if self.variant != "idle":
            return
        for _ in range(40):
            answer = self._ask({"op": "status"})
            if answer is not None and not any(_lags(answer["status"])):
                return
            time.sleep(0.01)

    # ── a reader that holds a snapshot ──────────────────────────────────────────────────────────

    def _hold(self) -> None:
        """Begin to read, where the run has a reader; it leaves when it is in the way."""
        if self.variant != "reader":
            return
        self._reader = sqlite3.connect(
            f"file:{self.daemon.database}?mode=ro", uri=True, isolation_level=None
        )
        self._reader.execute("BEGIN")
        self._reader.execute("SELECT count(*) FROM log").fetchone()
        self._refused_since = None
        self.producer.on_refusal = self._in_the_way

    def _in_the_way(self) -> None:
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        if now - self._refused_since > 0.3:
            self._let_go()

    def _let_go(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    # ── the judgement ───────────────────────────────────────────────────────────────────────────

    def judged(self, fault: Fault | None = None) -> Outcome:
        """After the last life: what is wrong with the ends, the words and the journal."""
        report = self.folder / "failed"
        hit = report.read_text() if report.exists() else ""
        path = hit.split(" ", 3)[3].strip() if hit else ""
        database = self.daemon.database
        self.problems += judging.ends(self.ends, hit.partition(" ")[0])
        self.problems += judging.refusals(self.producer, "" if fault is None else fault.error)
        self.problems += judging.words(self.daemon.said())
        self.problems += judging.folder(database.parent)
        self.problems += judging.journal(database, self.producer, pruned=self.pruned)
        return Outcome(path.replace(str(self.folder), ""), self.ends, self.problems)


def _lags(status: dict[str, Any]) -> list[int]:
    """How far each follower is behind the log, wherever `status` says it."""
    found = status.get("lag") or status.get("janitor", {}).get("lag") or {}
    return list(found.values())


def tried(
    server: ForkServer,
    folder: Path,
    variant: Variant,
    fault: Fault | None,
    *,
    sites: bool = False,
    mutant: str = "",
) -> tuple[Outcome, Run]:
    """A whole run in a fresh folder, and its judgement."""
    shutil.rmtree(folder, ignore_errors=True)
    daemon = ForkedDaemon(server, folder, retention=AUDITED)
    run = Run(daemon, variant, sites=sites, mutant=mutant)
    for _ in range(3):
        run.live(fault)
    return run.judged(fault), run
