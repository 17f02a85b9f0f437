"""What a producer sends wrong, and what it hears: every socket row of the table of faults."""

from __future__ import annotations

import json
import os
import resource
import socket
import sqlite3
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.daemon.harness import Line, RunningDaemon, encoded, until
from tests.requirements import need_root, need_tool

GOOD = {"action": "thing.done"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"action": "thing.done", "message": "\xff\xfe"}', "invalid_json"),
        (b'{"action": "thing.done"', "invalid_json"),
        (b"hello", "invalid_json"),
        (b"[]", "invalid_event"),
        (b'{"action": "thing.done", "metadata": {"x": NaN}}', "invalid_json"),
        (
            b'{"action": "thing.done", "metadata": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
            "invalid_event",
        ),
        (
            b'{"action": "thing.done", "metadata": ' + b'{"a":' * 9 + b"1" + b"}" * 10,
            "invalid_event",
        ),
        (b'{"action": "thing.done", "metadata": {"x": 99999999999999999999}}', "invalid_event"),
        (b'{"action": "thing.done", "message": "a\\u0000b"}', "invalid_event"),
        (b'{"action": "thing.done", "wat": 1}', "invalid_event"),
        (b'{"action": 5}', "invalid_event"),
        (b'{"action": "Not An Action"}', "invalid_event"),
        (b'{"action": "thing.done", "id": "no-uuid"}', "invalid_event"),
        (b'{"op": "dance"}', "unknown_op"),
        (b'{"op": 5}', "unknown_op"),
        (
            json.dumps(
                {"action": "thing.done", "metadata": {f"k{i}": i for i in range(3000)}}
            ).encode(),
            "invalid_event",
        ),
    ],
)
def test_a_bad_line_is_refused_alone_and_the_connection_lives(
    line: bytes, code: str, shared: RunningDaemon
) -> None:
    with shared.line() as connection:
        connection.send(GOOD, line, GOOD)
        first, refused, second = connection.replies(3)
    assert first["ok"]
    assert second["ok"]
    assert second["seq"] == first["seq"] + 1
    assert (refused["ok"], refused["code"], refused["retry"]) == (False, code, False)
    assert "hello" not in shared.said()
    assert "\xff" not in shared.said()


def test_an_unknown_key_is_named_with_the_nearest_known_one(shared: RunningDaemon) -> None:
    with shared.line() as line:
        refused = line.ask({"action": "thing.done", "mesage": "x"})
    assert "mesage" in refused["error"]
    assert "`message`" in refused["error"]


def test_a_line_over_the_limit_ends_the_connection_after_the_lines_before_it(
    make: Callable[..., RunningDaemon],
) -> None:
    daemon = make(limits='frame = "4KiB"').start()
    with daemon.line() as line:
        line.send(GOOD, b"x" * 5000, GOOD)
        first, refused = line.rest()
    assert first["ok"]
    assert (refused["code"], refused["retry"]) == ("too_large", False)
    with daemon.line() as line:
        line.raw(b"y" * 4097)  # no newline yet, and already too much
        assert [reply["code"] for reply in line.rest()] == ["too_large"]
    with daemon.line() as line:
        body = json.dumps(GOOD).encode()
        assert line.ask(body + b" " * (4096 - len(body)))["ok"]  # the limit itself is allowed
    assert daemon.status()["lost"] == {"too_large": 2}
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 2
    (lost,) = daemon.entries("events.lost")
    assert (lost["metadata"]["cause"], lost["metadata"]["count"]) == ("too_large", 2)


def test_a_line_not_finished_in_time_is_answered_and_the_connection_closed(
    make: Callable[..., RunningDaemon],
) -> None:
    daemon = make(limits='frame_timeout = "300ms"').start()
    with daemon.line() as line:
        line.raw(encoded(GOOD) + b'{"action": "thi')
        first, late = line.rest()
    assert first["ok"]
    assert (late["code"], late["retry"]) == ("timeout", True)
    with daemon.line() as idle:
        assert idle.ask(GOOD)["ok"]
        time.sleep(0.6)  # twice the limit: a line that has not begun has no time limit
        assert idle.ask(GOOD)["ok"]
    assert daemon.status()["lost"] == {"timeout": 1}


def test_half_a_line_and_the_end_leave_nothing_partial(shared: RunningDaemon) -> None:
    before = shared.status()
    with shared.line() as line:
        line.raw(encoded(GOOD) + b'{"action": "half.done"}')
        line.no_more()
        answers = line.rest()
    assert [answer["ok"] for answer in answers] == [True]
    after = shared.status()
    assert after["last_seq"] == before["last_seq"] + 1
    assert after["lost"]["half_frame"] == before["lost"].get("half_frame", 0) + 1


def test_replies_that_are_never_read_stop_the_reading_and_others_go_on(
    make: Callable[..., RunningDaemon],
) -> None:
    daemon = make(limits='unread = "64KiB"').start()
    with daemon.line(timeout=1.0) as deaf, daemon.line() as other:
        with pytest.raises(TimeoutError):
            _flood(deaf)
        assert other.ask(GOOD)["ok"]
        assert daemon.status()["last_seq"] > 2000


def _flood(line: Line) -> None:
    """Far more events than the replies to them have room for."""
    for _ in range(400):
        line.raw(encoded(GOOD) * 2000)


def test_a_peer_that_never_reads_is_closed_after_its_time(
    make: Callable[..., RunningDaemon],
) -> None:
    daemon = make(limits='unread = "64KiB"').start(
        script="import collector.sources.connection as c, collector.cli as cli\n"
        "c.UNREAD_PATIENCE = 0.3\nraise SystemExit(cli.main())"
    )
    with daemon.line(timeout=1.0) as deaf:
        with pytest.raises((TimeoutError, BrokenPipeError, ConnectionResetError)):
            _flood(deaf)
        until(lambda: daemon.status()["unix"]["connections"] == 1)
    assert daemon.status()["lost"]["unread"] == 1
    # so is one that ends its side and leaves less than the limit unread
    with daemon.line(timeout=1.0) as deaf:
        deaf.raw(encoded({"op": "status"}) * 150)
        deaf.no_more()
        until(lambda: daemon.status()["unix"]["connections"] == 1)


def test_replies_come_in_order_with_commands_between_events(shared: RunningDaemon) -> None:
    requests: list[dict[str, Any] | bytes] = []
    for number in range(200):
        requests += [{**GOOD, "object_type": "n", "object_id": str(number)}]
        if number % 7 == 0:
            requests += [{"op": "ping"}]
        if number % 11 == 0:
            requests += [b"nonsense"]
        if number % 13 == 0:
            requests += [b"", b"   "]  # blank lines are no requests
        if number % 50 == 0:
            requests += [{"op": "status"}]
    with shared.line() as line:
        line.send(*requests)
        line.no_more()
        answers = line.rest()
    asked = [request for request in requests if request not in (b"", b"   ")]
    assert [_kind(answer) for answer in answers] == [_asked(request) for request in asked]
    seqs = [answer["seq"] for answer in answers if "seq" in answer]
    assert seqs == list(range(seqs[0], seqs[0] + 200))
    # a command sees what was sent before it
    positions = [index for index, answer in enumerate(answers) if "status" in answer]
    for position in positions:
        before = [a["seq"] for a in answers[:position] if "seq" in a]
        assert answers[position]["status"]["last_seq"] == before[-1]


def _kind(answer: dict[str, Any]) -> str:
    if not answer["ok"]:
        return str(answer["code"])
    return next(key for key in ("pong", "status", "seq") if key in answer)


def _asked(request: dict[str, Any] | bytes) -> str:
    if isinstance(request, bytes):
        return "invalid_json"
    return {"ping": "pong", "status": "status", None: "seq"}[request.get("op")]


def test_the_same_id_is_stored_once_within_a_batch_across_batches_and_after_a_restart(
    make: Callable[..., RunningDaemon],
) -> None:
    daemon = make().start()
    ids = [str(uuid.uuid4()) for _ in range(3)]
    events = [{**GOOD, "id": id_} for id_ in ids]
    with daemon.line() as line:
        line.send(events[0], events[0], {**events[1], "id": ids[1].upper()}, events[1])
        one, again, two, same = line.replies(4)
        assigned = line.ask(GOOD)
    assert "duplicate" not in one
    assert again["duplicate"]
    assert again["seq"] == one["seq"]
    assert same["duplicate"]
    assert same["seq"] == two["seq"]
    assert same["id"] == ids[1]
    daemon.kill()
    daemon.start()
    with daemon.line() as line:
        line.send(*events, {**GOOD, "id": assigned["id"]})
        answers = line.replies(4)
    assert [answer.get("duplicate", False) for answer in answers] == [True, True, False, True]
    assert [answers[0]["seq"], answers[1]["seq"]] == [one["seq"], two["seq"]]
    assert answers[3]["seq"] == assigned["seq"]
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 4


def test_who_sends_is_the_kernels_word_and_the_default_actor(shared: RunningDaemon) -> None:
    with shared.line() as line:
        seq = line.ask({"action": "who.asked"})["seq"]
        claimed = line.ask({"action": "who.asked", "actor": "user:somebody"})["seq"]
        refused = line.ask({"action": "who.asked", "producer": {"assurance": "peercred"}})
    by_seq = {entry["seq"]: entry for entry in shared.entries("who.asked")}
    producer = json.loads(by_seq[seq]["producer"])
    assert producer["assurance"] == "peercred"
    assert (producer["uid"], producer["gid"], producer["pid"]) == (
        os.getuid(),
        os.getgid(),
        os.getpid(),
    )
    assert by_seq[seq]["actor_id"] == str(os.getuid())
    assert by_seq[claimed]["actor_id"] == "somebody"
    assert json.loads(by_seq[claimed]["producer"]) == producer
    assert refused["code"] == "invalid_event"


def test_a_command_that_changes_something_is_denied_to_another_user_who_is_shown_out(
    make: Callable[..., RunningDaemon],
) -> None:
    need_root()
    setpriv = need_tool("setpriv", "util-linux")
    daemon = make(unix='mode = "0666"')
    for folder in (daemon.folder, *daemon.folder.parents):
        if folder.stat().st_mode & 0o005 != 0o005 and folder.as_posix().startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    daemon.start()
    daemon.socket.parent.chmod(0o755)
    script = (
        "import socket, sys\n"
        f"s = socket.socket(socket.AF_UNIX); s.connect({str(daemon.socket)!r})\n"
        's.sendall(b\'{"action":"other.spoke"}\\n{"op":"prune"}\\n{"action":"never.said"}\\n\')\n'
        "while data := s.recv(4096): sys.stdout.write(data.decode())\n"
    )
    import subprocess

    done = subprocess.run(
        [
            setpriv,
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "/usr/bin/python3",
            "-c",
            script,
        ],
        capture_output=True,
        timeout=30,
        check=True,
    )
    event, denied = map(json.loads, done.stdout.splitlines())
    assert event["ok"]
    assert denied["code"] == "denied"
    assert not denied["retry"]
    assert daemon.stop() == 0
    (entry,) = daemon.entries("auth.denied")
    assert entry["outcome"] == "denied"
    assert entry["actor_id"] == "65534"
    assert json.loads(daemon.entries("other.spoke")[0]["producer"])["uid"] == 65534
    assert daemon.entries("never.said") == []
    assert daemon.entries("events.pruned") == []


@pytest.mark.parametrize(
    ("trigger", "poison"),
    [
        ("log WHEN new.object_id = 'poison' BEGIN SELECT raise(ABORT, 'no')", {}),
        ("kinds WHEN new.action = 'poison.taken' BEGIN SELECT raise(ABORT, 'no')",
         {"action": "poison.taken"}),
        ("principals WHEN new.id = 'poison' BEGIN SELECT raise(ROLLBACK, 'no')",
         {"actor": "user:poison"}),
        ("scopes WHEN new.tenant_id = 'poison' BEGIN SELECT raise(FAIL, 'no')",
         {"tenant_id": "poison"}),
    ],
    ids=["log", "kinds", "principals", "scopes"],
)  # fmt: skip
def test_an_event_that_the_database_refuses_for_itself_fails_alone(
    make: Callable[..., RunningDaemon], trigger: str, poison: dict[str, str]
) -> None:
    daemon = make().start()
    assert daemon.stop() == 0
    with sqlite3.connect(daemon.database) as connection:
        connection.execute(f"CREATE TRIGGER never BEFORE INSERT ON {trigger}; END")
    connection.close()
    daemon.start()
    with daemon.line() as line:
        many = [{**GOOD, "object_type": "x", "object_id": str(n)} for n in range(50)]
        many[20] |= {"object_id": "poison", **poison}
        line.send(*many, b"nonsense", {**GOOD, "target": "user:1"})
        answers = line.replies(52)
    assert [index for index, answer in enumerate(answers) if not answer["ok"]] == [20, 50]
    assert (answers[20]["code"], answers[20]["retry"]) == ("failed", False)
    seqs = [answer["seq"] for answer in answers if answer["ok"]]
    assert seqs == list(range(seqs[0], seqs[0] + 50))
    assert "cannot be written" not in daemon.said()  # it is no fault of the disk
    assert daemon.stop() == 0
    assert len(daemon.entries("thing.done")) == 50


def test_more_events_a_second_than_allowed_are_refused_and_commands_are_not(
    make: Callable[..., RunningDaemon],
) -> None:
    daemon = make(limits="rate = 10").start()
    with daemon.line() as line:
        line.send(*[GOOD] * 25, b"", {"op": "ping"}, {"op": "status"})
        answers = line.replies(27)
    codes = [answer.get("code") for answer in answers[:25]]
    assert codes[:10] == [None] * 10
    assert set(codes[12:]) == {"rate_limited"}
    assert answers[-3]["retry"] is True
    assert answers[25]["pong"]
    assert answers[26]["status"]["lost"]["rate_limited"] >= 13


# ── too many ────────────────────────────────────────────────────────────────────────────────────


def test_connections_are_limited_and_four_more_are_kept_for_admins(
    make: Callable[..., RunningDaemon],
) -> None:
    daemon = make(limits="connections = 8\nconnections_per_uid = 6").start()
    lines = [daemon.line()]
    until(lambda: lines[0].ask({"op": "status"})["status"]["unix"]["connections"] == 1)
    lines += [daemon.line() for _ in range(9)]  # of one user: 6, and the admins' four
    try:
        assert all(line.ask({"op": "ping"})["ok"] for line in lines)
        with daemon.line() as late:
            (busy,) = late.rest()
        assert (busy["code"], busy["retry"]) == ("busy", True)
    finally:
        for line in lines:
            line.socket.close()
    until(lambda: daemon.answers())
    assert daemon.status()["lost"]["busy"] >= 1


def test_one_over_256_connections_hears_busy(make: Callable[..., RunningDaemon]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    daemon = make(limits="connections_per_uid = 256").start()
    lines = [daemon.line()]
    until(lambda: lines[0].ask({"op": "status"})["status"]["unix"]["connections"] == 1)
    lines += [daemon.line() for _ in range(259)]
    try:
        assert lines[-1].ask(GOOD)["ok"]
        with daemon.line() as late:
            assert [reply["code"] for reply in late.rest()] == ["busy"]
        assert lines[0].ask(GOOD)["ok"]
    finally:
        for line in lines:
            line.socket.close()


def test_without_descriptors_a_peer_hears_busy_and_the_daemon_lives(
    make: Callable[..., RunningDaemon],
) -> None:
    daemon = make(limits="connections_per_uid = 200")
    daemon.start(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)))
    lines: list[Line] = []
    turned_away = 0
    try:
        for _ in range(60):
            line = daemon.line()
            try:
                answer = line.ask({"op": "ping"})
            except (EOFError, OSError):
                answer = {"ok": False, "code": "busy"}
            if answer["ok"]:
                lines.append(line)
            else:
                assert answer["code"] == "busy"
                turned_away += 1
                line.socket.close()
        assert lines
        assert turned_away
        assert lines[0].ask(GOOD)["ok"]
    finally:
        for line in lines:
            line.socket.close()
    until(lambda: daemon.answers())
    assert daemon.status()["lost"]["busy"] >= turned_away


def test_a_socket_that_is_dropped_at_once_leaves_nothing_behind(shared: RunningDaemon) -> None:
    for _ in range(50):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(shared.socket))
    until(lambda: shared.status()["unix"]["connections"] == 1)
