"""The verbs against a real `collector run`: what one records another finds, and each end is right."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.config import load
from tests.cli.harness import COMMAND, Result, run, wait_for
from tests.requirements import need_root

CONFIG = """
[storage]
path = "state/events.db"
[sources.unix]
path = "run/collector.sock"
[sources.mdns]
enabled = false
[health]
enabled = false
[web]
enabled = false
"""


class Daemon:
    """A running daemon, everything it says, and a way to call verbs that find it."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self.config = home / "config.toml"
        self.config.write_text(CONFIG)
        self.database = home / "state" / "events.db"
        self.socket = home / "run" / "collector.sock"
        self.env = {**env, "COLLECTOR_CONFIG": str(self.config)}
        self.said: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "run", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env
        )
        self.said.clear()
        self._thread = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._thread.start()
        wait_for(lambda: self.call("status").code == 0 or self.process.poll() is not None, "up")

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self.said.append(line.decode().rstrip("\n"))

    def stop(self) -> int:
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
        self._thread.join(5)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()
        return code

    def call(self, *words: str, stdin: bytes = b"") -> Result:
        return run(*words, env=self.env, stdin=stdin)


@pytest.fixture
def stopped(tmp_path: Path, env: dict[str, str]) -> Iterator[Daemon]:
    made = Daemon(tmp_path, env)
    yield made
    made.stop()


@pytest.fixture
def daemon(stopped: Daemon) -> Daemon:
    stopped.start()
    return stopped


def test_what_is_emitted_is_queried(daemon: Daemon) -> None:
    done = daemon.call("emit", "backup.completed", "--object", "backup:nightly", "-d", "bytes=123")
    assert done.code == 0
    (entry,) = daemon.call("query", "-a", "backup.*", "-o", "json").json()
    assert done.out == f"{entry['seq']}\n"
    assert (entry["object_type"], entry["object_id"]) == ("backup", "nightly")
    assert entry["metadata"] == {"bytes": 123}
    assert entry["producer"]["uid"] == os.getuid()
    assert entry["actor"]["id"] == str(os.getuid())


def test_an_id_sent_twice_counts_once(daemon: Daemon) -> None:
    words = ["emit", "x.y", "--id", "0192f1c4-8c1e-4d6f-9a3e-111111111111"]
    assert daemon.call(*words) == daemon.call(*words)


def test_what_is_no_event_is_refused_by_the_daemon(daemon: Daemon) -> None:
    for words in (
        ["Not An Action"],
        ["x.y", "--id", "5"],
        ["x.y", "--ip", "moon"],
        ["x.y", "-c", "?"],
    ):
        done = daemon.call("emit", *words)
        assert (done.code, done.out) == (65, "")
        assert "(invalid_event)" in done.err


def test_many_are_pipelined_in_order(daemon: Daemon) -> None:
    lines = [json.dumps({"action": "n.counted", "metadata": {"n": n}}) for n in range(20_000)]
    lines[7] = "{broken"
    lines[11] = '{"op":"prune","max_entries":1}'
    lines[13] = json.dumps({"action": "x.y", "message": "m" * 300_000})
    done = daemon.call("emit", "--json", "-", stdin="\n".join(lines).encode())
    assert done.code == 65
    seqs = [int(line) for line in done.lines]
    assert len(seqs) == 19_997
    assert seqs == list(range(seqs[0], seqs[0] + 19_997))
    assert [text.split(":")[1] for text in done.err.splitlines()] == [
        " line 8", " line 12", " line 14",
    ]  # fmt: skip
    found = daemon.call("query", "-a", "n.counted", "-n", "all", "-r", "-o", "json").json()
    assert [entry["metadata"]["n"] for entry in found] == [
        n for n in range(20_000) if n not in (7, 11, 13)
    ]


def test_status_tells_people_and_scripts(daemon: Daemon) -> None:
    daemon.call("emit", "x.y")
    told = daemon.call("status", "-o", "json").json()[0]
    assert told["database"] == str(daemon.database)
    lines = daemon.call("status").lines
    assert f"database: {daemon.database}" in lines
    assert f"socket: {daemon.socket}" in lines
    assert f"pid: {told['pid']}" in lines
    assert any(line.startswith("uptime: 0:00:") for line in lines)


def test_run_says_where_everything_is(daemon: Daemon) -> None:
    for where in (daemon.database, daemon.socket):
        wait_for(lambda where=where: any(str(where) in line for line in daemon.said), str(where))


def test_prune_tells_first_and_removes_then(daemon: Daemon) -> None:
    daemon.call("emit", "--json", "-", stdin=b'{"action":"n.a"}\n' * 100)
    dry = daemon.call("prune", "--max-entries", "10", "--dry-run")
    assert dry.code == 0
    assert "would be pruned" in dry.out
    assert len(daemon.call("query", "-a", "n.a", "-n", "all").lines) == 100
    done = daemon.call("prune", "--max-entries", "10")
    assert done.code == 0
    assert done.out.endswith(")\n")
    assert " pruned (seq 1 to " in done.out
    assert len(daemon.call("query", "-a", "n.a", "-n", "all").lines) <= 10
    (pruned,) = daemon.call("query", "-a", "events.pruned", "-o", "json").json()
    assert pruned["actor"]["id"] == str(os.getuid())
    told = daemon.call("status", "-o", "json").json()[0]
    count = pruned["metadata"]["by_request"]
    assert told["removed"]["request"]["count"] == count == pruned["metadata"]["total"]
    assert told["last_seq"] == told["journal"]["entries"] + count
    assert "removed:" in daemon.call("status").lines
    assert daemon.call("prune", "--max-entries", "1000").out == "nothing pruned\n"
    # Only the limits that are given count, as the help says.
    assert daemon.call("prune", "--max-bytes", "1GiB", "--dry-run").out == "nothing to prune\n"


def test_reload_applies_or_tells_why_not(daemon: Daemon) -> None:
    assert daemon.call("reload").code == 0
    daemon.config.write_text(CONFIG + "[retention]\nmax_dayz = 3\n")
    done = daemon.call("reload")
    assert (done.code, done.out) == (78, "")
    assert 'retention.max_dayz: unknown key; did you mean "retention.max_days"?' in done.err
    actions = [
        entry["action"] for entry in daemon.call("query", "-a", "config.*", "-o", "json").json()
    ]
    assert actions == ["config.rejected", "config.reloaded"]


def test_flags_of_run_survive_a_reload(stopped: Daemon, tmp_path: Path) -> None:
    stopped.env["COLLECTOR_SOCKET"] = str(tmp_path / "own.sock")
    stopped.start("--db", str(tmp_path / "own.db"), "--socket", str(tmp_path / "own.sock"))
    assert stopped.call("reload").code == 0
    assert stopped.call("status", "-o", "json").json()[0]["database"] == str(tmp_path / "own.db")


def test_reindex_with_and_without_a_daemon(daemon: Daemon) -> None:
    daemon.call("emit", "--json", "-", stdin=b'{"action":"n.a"}\n' * 100)
    assert daemon.call("reindex").code == 0
    # The journal is the daemon's: nobody else rebuilds it meanwhile.
    assert daemon.call("reindex", "--db", str(daemon.database)).code == 69
    daemon.stop()
    done = daemon.call("reindex")
    assert done.code == 0
    assert "built anew" in done.err
    assert len(daemon.call("query", "-a", "n.a", "-n", "all").lines) == 100


def test_a_backup_of_a_running_daemon_is_restored_without_one(
    daemon: Daemon, tmp_path: Path
) -> None:
    daemon.call("emit", "x.first")
    copy = tmp_path / "copy.db"
    assert daemon.call("backup", str(copy)).code == 0
    assert daemon.call("verify", "--db", str(copy)).code == 0
    assert len(daemon.call("query", "--db", str(copy), "-a", "x.*").lines) == 1
    daemon.call("emit", "x.second")
    assert daemon.call("restore", str(copy)).code == 69
    daemon.stop()
    assert daemon.call("restore", str(copy)).code == 0
    assert len(daemon.call("query", "-a", "x.*").lines) == 1
    assert daemon.call("verify").code == 0
    daemon.start()
    assert daemon.call("emit", "x.third").code == 0
    starts = daemon.call("query", "-a", "collector.started", "-o", "json").json()
    started = max(starts, key=lambda entry: entry["seq"])
    assert started["metadata"]["abandoned_seq"] >= 3
    told = daemon.call("status", "-o", "json").json()[0]["abandoned"]
    assert told["last_seq"] == started["metadata"]["abandoned_seq"]
    daemon.stop()
    daemon.start()  # it is said once
    said = [
        e["metadata"] for e in daemon.call("query", "-a", "collector.started", "-o", "json").json()
    ]
    assert sum("abandoned_seq" in metadata for metadata in said) == 1


def test_a_backup_takes_nobodys_place(daemon: Daemon, tmp_path: Path) -> None:
    daemon.call("emit", "x.y")
    letter = tmp_path / "letter"
    letter.write_text("dear")
    assert daemon.call("backup", str(letter)).code == 73
    assert letter.read_text() == "dear"
    # The live journal by any of its names.
    link = tmp_path / "link.db"
    link.symlink_to(daemon.database)
    for name in (daemon.database, link):
        assert daemon.call("backup", str(name)).code == 73
        assert daemon.call("restore", str(name)).code == 73
    assert daemon.call("emit", "x.z").code == 0
    assert len(daemon.call("query", "-a", "x.*").lines) == 2


def test_verify_finds_damage(daemon: Daemon) -> None:
    daemon.call("emit", "--json", "-", stdin=b'{"action":"n.a","message":"findme"}\n' * 3000)
    daemon.stop()
    assert daemon.call("verify").code == 0
    content = bytearray(daemon.database.read_bytes())
    for at in range(4096 * 4, len(content), 4096):
        content[at : at + 64] = b"\xff" * 64
    daemon.database.write_bytes(content)
    done = daemon.call("verify")
    assert done.code == 65
    assert "problem" in done.err or "malformed" in done.err


def test_devices_come_from_the_daemon_and_else_from_the_journal(daemon: Daemon) -> None:
    assert daemon.call("devices", "-o", "json") == Result(0, "", "")
    daemon.stop()
    done = daemon.call("devices")
    assert done.code == 0
    assert "no daemon answers" in done.err
    assert daemon.call("devices", "--socket", str(daemon.socket)).code == 69


def test_without_a_daemon_its_verbs_tell_how_to_start_one(stopped: Daemon) -> None:
    for verb in (["status"], ["prune"], ["reload"], ["emit", "x.y"]):
        done = stopped.call(*verb)
        assert (done.code, done.out) == (69, ""), verb
        assert str(stopped.socket) in done.err
        assert "collector run" in done.err


def test_a_second_daemon_is_told_of_the_first(daemon: Daemon) -> None:
    done = daemon.call("run")
    assert done.code == 69
    assert "already running" in done.err
    assert daemon.call("emit", "x.y").code == 0


def test_run_with_a_wrong_configuration_is_78(stopped: Daemon) -> None:
    stopped.config.write_text("[storag]\n")
    for verb in ("run", "check"):
        done = stopped.call(verb)
        assert (done.code, done.out) == (78, "")
        assert "storag" in done.err


def test_a_stop_answers_and_ends_with_0(daemon: Daemon) -> None:
    daemon.call("emit", "x.y")
    assert daemon.stop() == 0
    # The journal at rest is read without any right to write beside it.
    assert daemon.call("query", "-a", "x.y").code == 0


def test_check_shows_what_is_in_force(
    stopped: Daemon, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result]
) -> None:
    monkeypatch.setenv("COLLECTOR__RETENTION__MAX_DAYS", "7")
    done = cli("check", "--config", str(stopped.config), "--show")
    assert done.code == 0
    assert "max_days = 7" in done.out
    assert str(stopped.config) in done.err
    quiet = cli("check", "--config", str(stopped.config))
    assert (quiet.code, quiet.out) == (0, "")


def test_check_wants_a_key_before_the_page_is_reachable_from_elsewhere(
    stopped: Daemon, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Result]
) -> None:
    """As a start does; with a file that is no journal the start is left to say what is wrong."""
    ask = ("check", "--config", str(stopped.config))
    database = Path(load(str(stopped.config)).storage.path)
    monkeypatch.setenv("COLLECTOR__WEB__HOST", "0.0.0.0")
    monkeypatch.setenv("COLLECTOR__WEB__ENABLED", "true")
    assert not database.exists()
    for _ in range(2):
        done = cli(*ask)
        assert (done.code, done.out) == (78, "")
        assert "web.host" in done.err
        assert "collector keys add" in done.err
        assert cli("keys", "add", "ada", "--role", "admin", *ask[1:]).code == 0
        assert cli(*ask).code == 0
        assert cli("keys", "revoke", "ada", *ask[1:]).code == 0
    monkeypatch.setenv("COLLECTOR__WEB__ENABLED", "false")
    assert cli(*ask).code == 0
    monkeypatch.setenv("COLLECTOR__WEB__ENABLED", "true")
    database.write_bytes(b"not a database" * 1000)
    assert cli(*ask).code == 0


@pytest.mark.parametrize("running", [True, False])
def test_keys_are_made_listed_and_revoked(stopped: Daemon, running: bool) -> None:
    if running:
        stopped.start()
    made = stopped.call("keys", "add", "shop", "--role", "producer", "--tenant", "t-1")
    assert made.code == 0
    secret = made.out.strip()
    assert secret
    assert secret not in made.err
    again = stopped.call("keys", "add", "shop", "--role", "viewer")
    assert again.code in (1, 65)
    assert again.out == ""
    (key,) = stopped.call("keys", "list", "-o", "json").json()
    assert (key["label"], key["role"], key["tenant_id"]) == ("shop", "producer", "t-1")
    listed = stopped.call("keys", "list")
    assert listed.lines[0].split()[:3] == ["shop", "producer", "t-1"]
    assert secret not in listed.out
    assert stopped.call("keys", "revoke", "shop").code == 0
    assert stopped.call("keys", "revoke", "shop").code == 1
    assert stopped.call("keys", "list").out == ""
    recorded = stopped.call("query", "-a", "key.*", "-o", "json").json()
    assert [entry["action"] for entry in recorded] == ["key.revoked", "key.created"]
    assert {entry["actor"]["id"] for entry in recorded} == {str(os.getuid())}
    for label in ("no/label", ""):
        refused = stopped.call("keys", "add", label, "--role", "viewer")
        assert (refused.code, refused.out) == (65, "")
        assert "a label is 1 to 64 letters, digits" in refused.err
        assert f"got {label!r}" in refused.err
    assert stopped.call("keys", "add", "x").code == 2
    # Nothing that was done here looks like a daemon that was cut off.
    stopped.stop()
    stopped.start()
    (started, *_) = stopped.call("query", "-a", "collector.started", "-o", "json").json()
    assert started["metadata"]["previous"] in ("clean", "first")


def test_keys_need_a_journal_to_list_or_revoke(stopped: Daemon) -> None:
    assert stopped.call("keys", "list").code == 74
    assert stopped.call("keys", "revoke", "x").code == 74
    assert not stopped.database.exists()


AS_NOBODY = """
import os, sys
# All that is imported later, while this process may still read it.
import encodings.idna, json, select
import collector.cli.ask, collector.cli.group, collector.cli.prune, collector.cli.reload
import collector.cli.status, collector.cli.terminal, collector.client.connection
import collector.core.escape
from collector.cli import main
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""


def test_only_root_and_admins_may_change_something(stopped: Daemon) -> None:
    need_root()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        socket = f"{folder}/collector.sock"
        stopped.env["COLLECTOR_SOCKET"] = socket
        stopped.env["COLLECTOR__SOURCES__UNIX__MODE"] = "0666"
        stopped.start("--socket", socket)

        def as_nobody(*words: str) -> int:
            command = [sys.executable, "-c", AS_NOBODY, *words]
            return subprocess.run(
                command, env=stopped.env, capture_output=True, check=False
            ).returncode

        assert as_nobody("status") == 0
        assert as_nobody("prune", "--max-entries", "1") == 77
        assert as_nobody("reload") == 77
        os.chmod(socket, 0o600)
        assert as_nobody("status") == 77
        stopped.stop()
