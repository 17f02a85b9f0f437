"""The runs that are recorded: a real daemon, its verbs, producers, readers and a disk that fails."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from tests.crash.expected import ACTION, Sent, Stored, Trace, digest_of, moments
from tests.crash.filesystem import LOST, RESERVE
from tests.crash.judging import MAIN
from tests.crash.mutants import RUN
from tests.crash.recording import Recorder
from tests.daemon.harness import Line, RunningDaemon, until

TUNED: Final = """
import collector.janitor.schedule as schedule
schedule.IDLE_AFTER = 0.03
schedule.LOOK_EVERY = 0.2
schedule.RETRY_MOST = 0.2
"""
"""The daemon as it is, but its housekeeping does in a moment what it else does when nobody sends."""
_READER: Final = """
import sqlite3, sys
c = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
c.execute("BEGIN")
c.execute("SELECT count(*) FROM log").fetchone()
print("holds", flush=True)
sys.stdin.read()
"""


class Run:
    """One run below `folder`; what it records becomes a `Trace`. `script` is the daemon's program."""

    def __init__(
        self, name: str, seed: int, library: Path, folder: Path, script: str = TUNED + RUN
    ) -> None:
        self.name, self.seed = name, seed
        self.chance = random.Random(f"{name}/{seed}")
        self.state = folder / "state"
        self.state.mkdir(parents=True)
        self.daemon = RunningDaemon(folder, state=self.state)
        self.settings = {
            "storage": f'path = "{self.daemon.database}"',
            "sources.unix": f'path = "{self.daemon.socket}"',
            "sources.mdns": "enabled = false",
            "sources.queue": "plugins = []",
            "health": "enabled = false",
            "web": "enabled = false",
        }
        self.sent: dict[str, Sent] = {}
        self.told: dict[str, str] = {}
        self.stored: list[Stored] = []
        self.begun: dict[str, bytes] = {}
        self._library, self._folder, self._script = library, folder, script
        self.recorder: Recorder | None = None
        self._recordings = 0
        self.words: tuple[int, ...] = (1, 3, 12, 12, 40)
        """How long messages are, in words; one of these each."""
        self._number = 0

    # ── the recording ───────────────────────────────────────────────────────────────────────────

    def record(self) -> None:
        """From here on, anew; what is there is on the disk. No daemon runs."""
        self._recordings += 1
        self.stored = self._known()
        self.begun = {
            file.name: b"" if RESERVE in file.name else file.read_bytes()
            for file in self.state.iterdir()
            if not file.name.endswith(LOST)
        }
        log = self._folder / f"log{self._recordings}"
        self.recorder = Recorder(self._library, self.state, log)

    def note(self, mark: str, **what: Any) -> None:
        """Add a mark to the recording, where there is one."""
        if self.recorder is not None:
            self.recorder.note(mark=mark, **what)

    def cut(self) -> None:
        """Have what a power cut may have left, at a moment of the recording that is over."""
        trace = self.trace()
        until_here = self.chance.randrange(len(trace.calls) // 2, len(trace.calls))
        for moment in moments(trace):
            files, _ = moment.folder.left(self.chance)
            whole = MAIN in files and f"{MAIN}-journal" not in files  # what a reader can read
            if moment.number >= until_here and whole:
                break
        for file in self.state.iterdir():
            file.unlink()
        for name, content in files.items():
            (self.state / name).write_bytes(content)

    def trace(self) -> Trace:
        """What was recorded."""
        assert self.recorder is not None
        calls = list(self.recorder.calls())
        return Trace(self.name, self.seed, self.begun, calls, self.stored, self.sent, self.told)

    def _known(self) -> list[Stored]:
        """What the journal holds, where there is one."""
        if not self.daemon.database.exists():
            return []
        uri = f"file:{self.daemon.database}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            rows = connection.execute("SELECT seq, id, object_id, message FROM log ORDER BY seq")
            return rows.fetchall()

    def _recorded(self) -> list[str]:
        """A command that runs another under the recorder."""
        if self.recorder is None:
            return []
        names = ("LD_PRELOAD", "CRASH_RECORD_LOG", "CRASH_RECORD_FOLDER", "CRASH_RECORD_FAULTS")
        environment = self.recorder.environment
        return ["/usr/bin/env", *(f"{name}={environment[name]}" for name in names)]

    def _ended(self) -> None:
        """A process has ended: what files hold is known."""
        digests = {
            file.name: digest_of(file.read_bytes())
            for file in self.state.iterdir()
            if not file.name.endswith(LOST) and RESERVE not in file.name
        }
        self.note("files", digests=digests)

    # ── the daemon ──────────────────────────────────────────────────────────────────────────────

    def configure(self, **sections: str) -> None:
        """Set sections of the configuration; `__` stands for a dot, "" takes one away."""
        self.settings |= {name.replace("__", "."): text for name, text in sections.items()}
        text = "\n".join(
            f"{'[[' if name in ('devices', 'resources') else '['}{name}"
            f"{']]' if name in ('devices', 'resources') else ']'}\n{body}\n"
            for name, body in self.settings.items()
            if body
        )
        self.daemon.config.write_text(text)

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        self.configure()
        self.daemon.start(prefix=self._recorded(), script=self._script)

    def stop(self) -> None:
        """A clean stop."""
        code = self.daemon.stop()
        assert code == 0, self.daemon.said()
        self._ended()

    def kill(self) -> None:
        """kill -9."""
        self.daemon.kill()
        self._ended()

    def verb(self, *arguments: str) -> int:
        """One of the command line's verbs; its exit code."""
        command = [sys.executable, "-m", "collector", *arguments]
        with self.daemon.log.open("ab") as log:
            done = subprocess.run(
                [*self._recorded(), *command], stdout=log, stderr=log, check=False
            )
        return done.returncode

    @contextmanager
    def reader(self) -> Iterator[None]:
        """Another process holds a snapshot of the journal meanwhile."""
        command = [sys.executable, "-c", _READER, str(self.daemon.database)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"holds\n"
            self.note("reader", holds=True)
            yield
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait()
            self.note("reader", holds=False)

    def rest(self, seconds: float) -> None:
        """Let the daemon do what it does when nobody sends."""
        time.sleep(seconds)

    # ── producers ───────────────────────────────────────────────────────────────────────────────

    def single(self, count: int) -> None:
        """Events one at a time: a commit each."""
        with self.daemon.line() as line:
            for _ in range(count):
                self._send(line, 1)

    def groups(self, count: int, size: int) -> None:
        """So many groups of so many events."""
        with self.daemon.line() as line:
            for _ in range(count):
                self._send(line, size)

    def again(self, count: int) -> None:
        """Send events that were acknowledged once more."""
        known = [name for name in self.told.values() if self.sent[name].ids[-1]]
        with self.daemon.line() as line:
            self._ask(line, self.chance.sample(known, min(count, len(known))))

    def insist(self, size: int, patience: float = 20.0) -> None:
        """Send a group, and again what was refused for the disk's sake, until all of it is stored."""
        deadline = time.monotonic() + patience
        names = self._draw(size)
        with self.daemon.line() as line:
            while names:
                names = self._ask(line, names)
                if names:
                    assert time.monotonic() < deadline, self.daemon.said()
                    time.sleep(0.02)

    def attempt(self, size: int) -> None:
        """Send a group, whatever becomes of it."""
        with self.daemon.line() as line:
            self._ask(line, self._draw(size))

    def _send(self, line: Line, size: int) -> None:
        refused = self._ask(line, self._draw(size))
        assert not refused, self.daemon.said()

    def _draw(self, size: int) -> list[str]:
        names = []
        for _ in range(size):
            self._number += 1
            name = f"{self.name.replace(' ', '-')}-{self._number}"
            chosen = uuid.UUID(int=self.chance.getrandbits(128), version=4).bytes
            words = self.chance.choice(self.words)
            message = f"w{self._number % 97} {name} " + f"text{self._number} " * words
            id_ = chosen if self.chance.random() < 0.6 else b""
            self.sent[name] = Sent((id_,), message.rstrip())
            names.append(name)
        return names

    def _ask(self, line: Line, names: list[str]) -> list[str]:
        """Send events; those that were refused."""
        events = []
        for name in names:
            sent = self.sent[name]
            event: dict[str, Any] = {
                "action": ACTION,
                "object_type": "event",
                "object_id": name,
                "message": sent.message,
                "actor": {"type": "user", "id": f"u{len(name) % 5}"},
            }
            if sent.ids[-1]:
                event["id"] = str(uuid.UUID(bytes=sent.ids[-1]))
            events.append(event)
        line.send(*events)
        refused = []
        for name, reply in zip(names, line.replies(len(names)), strict=True):
            if reply["ok"]:
                self.told[reply["id"]] = name
            else:
                assert reply["code"] in ("io_error", "storage_full"), reply
                refused.append(name)
                sent = self.sent[name]
                if not sent.ids[-1]:  # from now on it has the id that the refusal names
                    ids = (*sent.ids, uuid.UUID(reply["id"]).bytes)
                    self.sent[name] = Sent(ids, sent.message)
        return refused

    # ── the disk ────────────────────────────────────────────────────────────────────────────────

    def fail(self, which: str, count: int = 1) -> None:
        """Let the next syncs fail."""
        assert self.recorder is not None
        self.recorder.fail_syncs(which, count)

    def failed(self, which: str) -> None:
        """Wait until they have."""
        recorder = self.recorder
        assert recorder is not None
        until(lambda: not recorder.failing(which), self.daemon.said)
