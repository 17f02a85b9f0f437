"""`emit`: an answer for every line in its order, however the daemon behaves."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector.cli.pipeline import WINDOW
from tests.cli.harness import COMMAND, Result, Script, counting, run, wait_for

Start = Callable[..., Script]


@pytest.fixture
def sock(tmp_path: Path, env: dict[str, str]) -> dict[str, str]:
    return {**env, "COLLECTOR_SOCKET": str(tmp_path / "collector.sock")}


def emit(sock: dict[str, str], content: bytes, *words: str) -> Result:
    return run("emit", "--json", "-", *words, env=sock, stdin=content)


def refusing(code: str, retry: bool = False, **more: Any) -> Callable[[bytes], dict[str, Any]]:
    """Refuses lines that hold `bad`, acknowledges the others."""
    accept = counting()

    def answer(line: bytes) -> dict[str, Any]:
        if b"bad" in line:
            return {"ok": False, "code": code, "error": "because", "retry": retry, **more}
        return accept(line)

    return answer


def test_one_event_prints_its_seq(script: Start, sock: dict[str, str]) -> None:
    daemon = script(counting())
    done = run("emit", "x.y", "-d", "n=1", env=sock)
    assert done == Result(0, "1\n", "")
    assert [json.loads(line) for line in daemon.lines] == [{"action": "x.y", "metadata": {"n": 1}}]


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("invalid_event", 65), ("too_large", 65), ("denied", 77), ("io_error", 74), ("busy", 75),
        ("storage_full", 75), ("rate_limited", 75), ("draining", 75), ("timeout", 75),
        ("failed", 1), ("unknown_op", 1), ("a_code_of_tomorrow", 1),
    ],
)  # fmt: skip
def test_a_refusal_is_told_and_is_the_exit_code(
    script: Start, sock: dict[str, str], cli: Callable[..., Result], code: str, exit_code: int
) -> None:
    script(refusing(code))
    done = cli("emit", "bad.thing", "--socket", sock["COLLECTOR_SOCKET"])
    assert (done.code, done.out) == (exit_code, "")
    assert done.err == f"collector: because ({code})\n"


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [("x.y",), ("--json", "-")])
def test_a_seq_that_cannot_be_printed_is_told_by_the_name_of_its_place(
    script: Start, sock: dict[str, str], words: tuple[str, ...], unbuffered: str
) -> None:
    script(counting())
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "emit", *words],
            input=b'{"action":"x.y"}\n', stdout=full, stderr=subprocess.PIPE, check=False,
            env={**sock, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.returncode == 74
    assert done.stderr == b"collector: standard output: No space left on device\n"


def test_a_refusal_that_may_be_retried_tells_the_id(
    script: Start, sock: dict[str, str], cli: Callable[..., Result]
) -> None:
    script(refusing("busy", retry=True, id="0192"))
    done = cli("emit", "bad.thing", "--socket", sock["COLLECTOR_SOCKET"])
    assert "try again with --id 0192" in done.err


def test_warnings_go_to_stderr(
    script: Start, sock: dict[str, str], cli: Callable[..., Result]
) -> None:
    script(lambda line: {"ok": True, "seq": 7, "id": "0", "warnings": ["no \x1b such resource"]})
    done = cli("emit", "x.y", "--socket", sock["COLLECTOR_SOCKET"])
    assert done == Result(0, "7\n", "collector: warning: no \\x1b such resource\n")


def test_an_answer_that_never_comes_ends_at_the_timeout(
    script: Start, sock: dict[str, str]
) -> None:
    script(counting()).hold.clear()
    done = run("emit", "x.y", "--timeout", "0.2", env=sock)
    assert (done.code, done.out) == (69, "")
    assert "timed out" in done.err


def test_a_daemon_that_hangs_up_leaves_it_open(script: Start, sock: dict[str, str]) -> None:
    script(lambda line: None)
    done = run("emit", "x.y", env=sock)
    assert (done.code, done.out) == (69, "")
    assert "may be recorded or not" in done.err


def test_what_answers_is_no_daemon(script: Start, sock: dict[str, str]) -> None:
    script(lambda line: {"hello": "world"})
    assert run("emit", "x.y", env=sock).code == 69


def test_no_daemon_names_the_way_out(sock: dict[str, str]) -> None:
    done = run("emit", "x.y", env=sock)
    assert done.code == 69
    assert sock["COLLECTOR_SOCKET"] in done.err
    assert "collector run" in done.err


@pytest.mark.parametrize(
    "words", [["x.y"], ["--json", "-"], ["--outcome", "odd", "x.y"], [], ["x.y", "-d", "novalue"]]
)
def test_best_effort_ends_well_whatever_happens(sock: dict[str, str], words: list[str]) -> None:
    done = run("emit", "--best-effort", *words, env=sock)
    assert (done.code, done.out) == (0, "")
    assert done.err


def test_lines_are_answered_in_order_with_their_numbers(
    script: Start, sock: dict[str, str]
) -> None:
    script(refusing("invalid_event"))
    content = b'{"action":"a"}\n\n{"action":"bad"}\n  \r\n{"op":"prune"}\n{"action":"b"}'
    done = emit(sock, content)
    assert done.code == 65
    assert done.out == "1\n2\n"
    assert done.err.splitlines() == [
        "collector: line 3: because (invalid_event)",
        'collector: line 5: the key "op" makes it a command, not an event (invalid_event)',
    ]


def test_a_command_among_the_events_never_reaches_the_daemon(
    script: Start, sock: dict[str, str]
) -> None:
    daemon = script(counting())
    done = emit(sock, b'{"op":"prune","max_days":1}\n{"op":"reload"}\n')
    assert done.code == 65
    assert daemon.lines == []


def test_bad_data_outweighs_what_may_be_tried_again(script: Start, sock: dict[str, str]) -> None:
    accept = counting()
    codes = {b"busy": "busy", b"odd": "invalid_event"}

    def answer(line: bytes) -> dict[str, Any]:
        code = next((code for word, code in codes.items() if word in line), None)
        return {"ok": False, "code": code, "error": "no"} if code else accept(line)

    script(answer)
    assert emit(sock, b'{"action":"busy"}\n{"action":"a"}\n').code == 75
    assert emit(sock, b'{"action":"busy"}\n{"action":"odd"}\n{"action":"busy"}\n').code == 65


def test_ten_thousand_lines_keep_a_bounded_number_in_flight(
    script: Start, sock: dict[str, str]
) -> None:
    daemon = script(counting())
    content = b"".join(b'{"action":"n.%d"}\n' % n for n in range(10_000))
    done = emit(sock, content)
    assert done.code == 0
    assert done.lines == [str(seq) for seq in range(1, 10_001)]
    assert [json.loads(line)["action"] for line in daemon.lines] == [
        f"n.{n}" for n in range(10_000)
    ]
    assert 1 < daemon.most_unanswered <= WINDOW


def test_what_follows_a_line_too_large_is_sent_on_a_new_connection(
    script: Start, sock: dict[str, str]
) -> None:
    accept = counting()

    def answer(line: bytes) -> dict[str, Any]:
        if b"bad" in line:
            return {"ok": False, "code": "too_large", "error": "too large", "close": True}
        return accept(line)

    daemon = script(answer)
    lines = [b'{"action":"a%d"}' % n if n % 3 else b'{"action":"bad%d"}' % n for n in range(9)]
    done = emit(sock, b"\n".join(lines))
    assert done.code == 65
    assert done.out == "".join(f"{seq}\n" for seq in range(1, 7))
    assert [text.split(":")[1] for text in done.err.splitlines()] == [
        " line 1", " line 4", " line 7",
    ]  # fmt: skip
    assert daemon.lines == lines


def test_a_daemon_that_goes_away_tells_which_lines_are_open(
    script: Start, sock: dict[str, str]
) -> None:
    accept = counting()
    script(lambda line: None if b"stop" in line else accept(line))
    done = emit(sock, b'{"action":"a"}\n{"action":"stop"}\n{"action":"b"}\n')
    assert (done.code, done.out) == (69, "1\n")
    assert "lines 2 to 3 may be recorded or not" in done.err


def test_answers_come_while_the_source_is_still_open(script: Start, sock: dict[str, str]) -> None:
    script(counting())
    with subprocess.Popen(
        [*COMMAND, "emit", "--json", "-", "--timeout", "0.3"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=sock,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for seq in (b"1\n", b"2\n"):
            process.stdin.write(b'{"action":"a"}\n')
            process.stdin.flush()
            assert process.stdout.readline() == seq
        # Nothing in flight: however long the source is silent, no timeout runs.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.6)
        process.stdin.close()
        assert process.wait(5) == 0


def test_a_file_is_read_as_well_as_stdin(
    script: Start, sock: dict[str, str], tmp_path: Path
) -> None:
    script(counting())
    file = tmp_path / "events.json"
    file.write_text('{\n "action": "a",\n "metadata": {"n": 1}\n}\n')
    assert run("emit", "--json", str(file), env=sock) == Result(0, "1\n", "")
    missing = run("emit", "--json", str(tmp_path / "none"), env=sock)
    assert missing.code == 74
    assert "none: No such file" in missing.err


def test_json_brings_whole_events(cli: Callable[..., Result]) -> None:
    for words in (["x.y"], ["-d", "a=1"], ["--actor", "user:7"]):
        done = cli("emit", "--json", "-", *words)
        assert done.code == 2
        assert "goes without --json" in done.err


def test_a_reader_that_leaves_ends_it_quietly(script: Start, sock: dict[str, str]) -> None:
    script(counting())
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "emit", "x.y"], stdout=write, stderr=subprocess.PIPE, env=sock, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_source_is_not_read_far_ahead_of_a_slow_daemon(
    script: Start, sock: dict[str, str], tmp_path: Path
) -> None:
    daemon = script(counting())
    daemon.hold.clear()
    lines = 40_000
    with subprocess.Popen(
        [*COMMAND, "emit", "--json", "-", "--timeout", "20"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=sock,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        os.set_blocking(process.stdin.fileno(), False)
        content = b'{"action":"n.a","message":"%s"}\n' % (b"x" * 100) * lines
        sent = 0

        def stuck() -> bool:
            nonlocal sent
            try:
                sent += os.write(process.stdin.fileno(), content[sent : sent + 65536])
                return False
            except BlockingIOError:
                return bool(daemon.connections)

        try:
            wait_for(stuck, "the source blocks")
            assert sent < len(content) / 2
            daemon.hold.set()
            process.stdin.close()
            process.wait(20)
        finally:
            process.kill()
