"""`spool`: on the disk before the call returns, delivered by whoever comes, bounded and crash-safe."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.client import Client
from collector.client.segment import Segment
from tests.client.conftest import until
from tests.client.server import Server, refusal


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def make(tmp_path: Path, spool: Path) -> Callable[..., Client]:
    def make(**arguments: Any) -> Client:
        socket = tmp_path / "collector.sock"
        return Client(socket, mode="spool", spool=spool, timeout=5, **arguments)

    return make


def spooled(spool: Path) -> list[dict[str, Any]]:
    text = b"".join(path.read_bytes() for path in sorted(spool.glob("*.events")))
    return [msgspec.json.decode(line) for line in text.splitlines()]


def test_event_is_on_the_disk_when_the_call_returns(make: Any, spool: Path) -> None:
    client = make()
    receipt = client.record("a.b", metadata={"password": "hunter2"})
    assert (receipt.ok, receipt.seq) == (True, None)
    (event,) = spooled(spool)
    assert event["id"] == receipt.id
    assert "hunter2" not in str(event)
    assert spool.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in spool.iterdir()} == {0o600}
    client.close(0.1)


def test_what_a_process_leaves_the_next_one_delivers(
    make: Any, spool: Path, server: Server
) -> None:
    server.stop()
    first = make()
    for number in range(20):
        first.record(f"a.n{number}")
    first.close(0.1)
    assert first.dropped == 0
    server.start()
    with make() as second:
        until(lambda: len(server.stored) == 20)
        assert second.flush(10)
    assert server.actions() == [f"a.n{number}" for number in range(20)]
    assert list(spool.iterdir()) == []


def test_receipt_is_filled_in_when_the_daemon_has_it(make: Any, server: Server) -> None:
    with make() as client:
        receipt = client.record("a.b")
        assert client.flush(10)
        assert receipt.seq == 1


def test_files_go_when_everything_is_delivered(make: Any, spool: Path, server: Server) -> None:
    with make(spool_bytes=100_000) as client:
        for number in range(2000):
            client.record(f"a.n{number}")
            if number % 100 == 0:
                assert client.flush(10)
        assert client.flush(10)
        assert list(spool.iterdir()) == []
    assert server.actions() == [f"a.n{number}" for number in range(2000)]


def test_full_spool_refuses_keeps_what_it_has_and_reports(
    make: Any, spool: Path, server: Server
) -> None:
    server.stop()
    client = make(spool_bytes=5000)
    receipts = [client.record(f"a.n{number}") for number in range(100)]
    taken = [receipt for receipt in receipts if receipt.ok]
    refused = [receipt for receipt in receipts if not receipt.ok]
    assert 0 < len(taken) < 60
    assert {(receipt.code, receipt.retry) for receipt in refused} == {("storage_full", True)}
    assert sum(path.stat().st_size for path in spool.iterdir()) <= 5000
    assert client.dropped == len(refused)
    server.start()
    assert client.flush(10)
    reports = [
        each["metadata"] for each in server.stored.values() if each["action"] == "events.lost"
    ]
    assert [(each["count"], each["cause"]) for each in reports] == [(len(refused), "spool_full")]
    assert {receipt.id for receipt in taken} <= set(server.stored)
    assert client.record("a.after").ok
    client.close()


def test_refusals_between_acceptances_lose_nothing(make: Any, spool: Path, server: Server) -> None:
    """Replies settle out of order: the position on the disk never passes what is not delivered."""
    once: set[str] = set()

    def moody(event: dict[str, Any]) -> dict[str, Any] | None:
        odd = event["action"][-1] in "13579"
        if odd and event["id"] not in once:
            once.add(event["id"])
            return refusal(event, "busy", retry=True)
        return None

    server.answer = moody
    with make() as client:
        for number in range(50):
            client.record(f"a.n{number}")
        assert client.flush(20)
    assert sorted(server.actions()) == sorted(f"a.n{number}" for number in range(50))
    assert list(spool.iterdir()) == []


def test_unwritable_directory_costs_a_receipt(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    client = Client(tmp_path / "s", mode="spool", spool=tmp_path / "file")
    receipt = client.record("a.b")
    assert (receipt.ok, receipt.code, receipt.retry) == (False, "io_error", True)
    assert client.dropped == 1
    client.close(0.1)


def test_threads_share_an_fsync(make: Any, spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make()
    syncs = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (syncs.append(fd), real(fd))[1])

    def work(name: int) -> None:
        for number in range(50):
            assert client.record(f"t{name}.n{number}").ok

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spooled(spool)) == 400
    assert 0 < len(syncs) <= 400
    client.close(0.1)


def test_append_that_fails_leaves_no_half_line(tmp_path: Path, monkeypatch: Any) -> None:
    segment = Segment.create(tmp_path / "x.events")
    segment.append(b'{"a":1}\n')
    real = os.write
    left = [3]

    def short(fd: int, data: Any) -> int:
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        taken = real(fd, bytes(data)[: left[0]])
        left[0] = 0
        return taken

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space"):
        segment.append(b'{"b":2}\n')
    monkeypatch.undo()
    segment.append(b'{"c":3}\n')
    assert (tmp_path / "x.events").read_bytes() == b'{"a":1}\n{"c":3}\n'
    segment.close()


LINES = st.lists(
    st.binary(min_size=1, max_size=30).map(lambda raw: raw.hex().encode()), max_size=12
)


@given(
    lines=LINES, torn=st.binary(max_size=20), most=st.integers(1, 5), most_bytes=st.integers(1, 80)
)
def test_segment_gives_back_whole_lines_however_it_ends(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes], torn: bytes, most: int, most_bytes: int,
) -> None:  # fmt: skip
    path = tmp_path_factory.mktemp("segment") / "x.events"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + torn.replace(b"\n", b""))
    segment = Segment.adopt(path)
    assert segment is not None
    got = []
    while taken := segment.take(most, most_bytes):
        assert len(taken) <= most
        got += [line for _, line in taken]
        for start, line in taken:
            segment.finish(start, len(line))
    segment.close()
    assert got == [line + b"\n" for line in lines]
    assert segment.exhausted


@given(order=st.permutations(range(6)), until_=st.integers(0, 6))
def test_position_is_the_part_without_a_gap(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], until_: int
) -> None:
    path = tmp_path_factory.mktemp("segment") / "x.events"
    path.write_bytes(b"1\n" * 6)
    segment = Segment.adopt(path)
    assert segment is not None
    places = segment.take(6, 100)
    for index in order[:until_]:
        segment.finish(places[index][0], 2)
    segment.write_position()
    segment.close()
    settled = set(order[:until_])
    whole = next((index for index in range(6) if index not in settled), 6)
    again = Segment.adopt(path)
    assert again is not None
    assert again.done == 2 * whole
    again.close()


def test_file_of_a_living_process_is_left_to_it(make: Any, spool: Path, tmp_path: Path) -> None:
    client = make()
    client.record("a.b")
    (path,) = spool.glob("*.events")
    script = f"""
        from pathlib import Path
        from collector.client.segment import Segment
        print(Segment.adopt(Path({str(path)!r})))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None"
    client.close(0.1)


def test_killed_process_loses_nothing_it_was_told_is_safe(
    tmp_path: Path, spool: Path, server: Server
) -> None:
    """Several processes, killed while they record; the ids they were promised arrive, each once."""
    server.stop()
    script = f"""
        import sys
        from collector.client import Client
        client = Client({str(server.path)!r}, mode="spool", spool={str(spool)!r})
        for number in range(10**6):
            receipt = client.record(f"a.n{{number}}")
            assert receipt.ok
            print(receipt.id, flush=True)
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    promised: list[str] = []
    for process in processes:
        assert process.stdout is not None
        promised += [process.stdout.readline().decode().strip() for _ in range(100)]
    for process in processes:
        process.kill()
        assert process.stdout is not None
        promised += process.stdout.read().decode().split("\n")[:-1]
        process.stdout.close()
        process.wait()
    server.start()
    with Client(server.path, mode="spool", spool=spool) as client:
        until(lambda: set(promised) <= set(server.stored), 30)
        assert client.flush(10)
    assert list(spool.iterdir()) == []
