"""`tail`: the end of the journal in order, nothing missed and nothing twice while it grows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.harness import COMMAND, Book, run, wait_for


class Tail:
    """A running `tail -f` whose lines arrive in `lines`."""

    def __init__(self, *words: str, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "tail", "-f", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))

    def seqs(self) -> list[int]:
        return [json.loads(line)["seq"] for line in list(self.lines)]

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(10)
        self._thread.join(5)
        assert self.process.stderr is not None
        return code, self.process.stderr.read().decode()


@contextmanager
def tail(*words: str, env: dict[str, str]) -> Iterator[Tail]:
    started = Tail(*words, env=env)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()
        assert started.process.stdout is not None
        assert started.process.stderr is not None
        started._thread.join(5)
        started.process.stdout.close()
        started.process.stderr.close()


@pytest.fixture
def there(env: dict[str, str], book: Book) -> dict[str, str]:
    return {**env, "COLLECTOR_DB": str(book.path)}


def test_the_last_entries_come_oldest_first(there: dict[str, str], book: Book) -> None:
    book.many(30)
    done = run("tail", "-n", "3", env=there)
    assert done.code == 0
    assert [line.split()[2] for line in done.lines] == ["#28", "#29", "#30"]
    assert len(run("tail", env=there).lines) == 10
    assert len(run("tail", "-n", "all", env=there).lines) == 30
    assert run("tail", "-n", "0", env=there).out == ""


def test_following_misses_nothing_and_repeats_nothing(there: dict[str, str], book: Book) -> None:
    book.many(5)
    with tail("-n", "2", "-o", "json", env=there) as started:
        wait_for(lambda: len(started.lines) == 2, "the last two")
        for _ in range(20):
            book.many(60)
        wait_for(lambda: len(started.lines) >= 1202, "all that was recorded")
        assert started.seqs() == list(range(4, 1206))
        assert started.stop() == (130, "")


def test_following_filters(there: dict[str, str], book: Book) -> None:
    with tail("-a", "door.*", "-o", "json", env=there) as started:
        for n in range(10):
            book.record("door.opened" if n % 2 else "lamp.lit")
        wait_for(lambda: len(started.lines) >= 5, "the doors")
        assert started.seqs() == [2, 4, 6, 8, 10]


def test_following_goes_on_from_a_cursor(there: dict[str, str], book: Book) -> None:
    book.many(700)
    with tail("--after", "3", "-o", "json", env=there) as started:
        wait_for(lambda: len(started.lines) == 697, "what there is")
        book.record("x.y")
        wait_for(lambda: len(started.lines) == 698, "what is new")
        assert started.seqs() == list(range(4, 702))


def test_following_ends_quietly_when_nobody_reads(there: dict[str, str], book: Book) -> None:
    book.record("x.y")
    process = subprocess.Popen(
        [*COMMAND, "tail", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=there
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        # Nothing more is recorded: it must notice without writing.
        try:
            assert process.wait(10) in (0, 141)
        finally:
            process.kill()
        assert process.stderr.read() == b""


def test_following_survives_a_stop_and_a_start(there: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "own.db"
    first = Book(path)
    first.record("x.y")
    first.close()
    with tail("-o", "json", "--db", str(path), env=there) as started:
        wait_for(lambda: started.lines, "the entry of a journal at rest")
        second = Book(path)
        second.record("x.y")
        wait_for(lambda: len(started.lines) == 2, "what a new daemon records")
        second.close()
        third = Book(path)
        third.record("x.y")
        wait_for(lambda: len(started.lines) == 3, "and the one after it")
        third.close()
        assert started.seqs() == [1, 2, 3]


def test_a_journal_that_is_replaced_is_followed_by_its_name(
    there: dict[str, str], tmp_path: Path
) -> None:
    path, other = tmp_path / "own.db", tmp_path / "other.db"
    for each, count in ((path, 5), (other, 2)):
        book = Book(each)
        book.many(count)
        book.close()
    with tail("-n", "0", "-o", "json", "--db", str(path), env=there) as started:
        # It is following once the descriptor is open.
        fds = Path(f"/proc/{started.process.pid}/fd")
        wait_for(lambda: any(os.path.realpath(fd) == str(path) for fd in fds.iterdir()), "open")
        os.replace(other, path)
        wait_for(lambda: len(started.lines) == 2, "the new journal")
        assert started.seqs() == [1, 2]
        code, err = started.stop()
        assert code == 130
        assert "was replaced" in err


def test_a_cursor_beyond_the_end_is_told(there: dict[str, str], book: Book) -> None:
    book.record("x.y")
    done = run("tail", "--after", "99", env=there)
    assert (done.code, done.out) == (0, "")
    assert "beyond the journal's last seq" in done.err
