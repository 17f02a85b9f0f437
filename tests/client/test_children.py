"""Children of `multiprocessing`, workers of a server that forks: each event arrives or is told."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from tests.client.conftest import until
from tests.client.pythons import RUNNING, VERSIONS, python
from tests.client.server import Server

ROOT = Path(__file__).parents[2]
METHODS = ("fork", "forkserver", "spawn")
PROGRAM = '''
import importlib.util, multiprocessing, multiprocessing.util, os, sys, threading, warnings
from concurrent.futures import ProcessPoolExecutor
from collector.client import record      # in the parent it is never called

warnings.simplefilter("ignore", DeprecationWarning)


def say(kind):
    for number in range(200):
        record(f"{kind}.n{number}")


def returns():
    say("returned")

def raises():
    say("raised")
    sys.stderr = open(os.devnull, "w")
    raise RuntimeError("on purpose")

def exits():
    say("exited")
    sys.exit(3)

def in_finalizer():
    multiprocessing.util.Finalize(None, say, args=("finalized",), exitpriority=1)

def in_last_finalizer():
    multiprocessing.util.Finalize(None, say, args=("last_finalized",), exitpriority=-1000)

def in_thread_after_the_finalizers():
    over = threading.Event()
    multiprocessing.util.Finalize(None, over.set, exitpriority=-1000)
    def late():
        over.wait(0.5)   # from Python 3.13 on, finalizers run after the threads
        say("threaded")
    threading.Thread(target=late).start()

def in_daemon_thread():
    tally = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND)
    started = threading.Event()
    def spin():
        number = 0
        while True:
            assert record(f"spun.n{number}").ok
            os.write(tally, b"1")
            number += 1
            if number == 200:
                started.set()
    threading.Thread(target=spin, daemon=True).start()
    assert started.wait(30)

def in_grandchild():
    child = multiprocessing.Process(target=say, args=("grandchild",))
    child.start()
    child.join()

def in_coroutine():
    import asyncio
    from collector.client import AsyncClient
    async def main():
        client = AsyncClient()
        for number in range(200):
            client.record(f"coroutine.n{number}")
    asyncio.run(main())


CHILDREN = [returns, raises, exits, in_finalizer, in_last_finalizer, in_grandchild,
            in_thread_after_the_finalizers, in_daemon_thread, in_coroutine]

if __name__ == "__main__":
    if importlib.util.find_spec("anyio") is None:
        CHILDREN.remove(in_coroutine)
    context = multiprocessing.get_context(sys.argv[1])
    children = [context.Process(target=child) for child in CHILDREN]
    for child in children: child.start()
    for child in children: child.join()
    print([child.exitcode for child in children if child.exitcode])
    print(*[child.__name__ for child in CHILDREN])
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(say, ["executor_a", "executor_b", "executor_c"]))
    pool = context.Pool(2)
    pool.map(say, ["pool_a", "pool_b", "pool_c"], chunksize=1)
    pool.close()
    pool.join()
'''  # fmt: skip
KINDS = (
    *("returned", "raised", "exited", "finalized", "last_finalized", "grandchild", "threaded"),
    *("coroutine", "executor_a", "executor_b", "executor_c", "pool_a", "pool_b", "pool_c"),
)


def environment(server: Server) -> dict[str, str]:
    return {**os.environ, "COLLECTOR_SOCKET": str(server.path), "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("version", VERSIONS)
def test_children_of_multiprocessing_deliver_however_they_end(
    server: Server, tmp_path: Path, method: str, version: str
) -> None:
    program, tally = tmp_path / "program.py", tmp_path / "tally"
    program.write_text(PROGRAM)
    tally.touch()
    done = subprocess.run(
        [python(version), str(program), method, str(tally)],
        capture_output=True, text=True, timeout=120, env=environment(server),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("[1, 3]\n"), done.stdout
    kinds = Counter(action.partition(".")[0] for action in server.actions())
    spun = kinds.pop("spun")
    # What was under way when the process was over may have arrived, and nobody was told so.
    assert tally.stat().st_size <= spun <= tally.stat().st_size + 1
    expected = dict.fromkeys(KINDS, 200)
    if "in_coroutine" not in done.stdout:
        assert version != RUNNING
        del expected["coroutine"]
    assert kinds == expected


def test_library_that_only_a_child_imports_delivers_at_its_end(
    server: Server, tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import multiprocessing, sys

            def work():
                from collector.client import record
                for number in range(200): record("a.b")

            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            child.join()
            assert "collector" not in sys.modules
        """)
    )
    subprocess.run([sys.executable, str(program)], check=True, timeout=60, env=environment(server))
    assert server.actions() == ["a.b"] * 200


def test_what_did_not_fit_into_a_childs_buffer_is_reported(server: Server, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import multiprocessing
            from collector.client import Client, configure, record

            def work():
                configure(Client(buffer=10))
                for number in range(500): record(f"a.n{number}")

            children = [multiprocessing.get_context("fork").Process(target=work) for _ in range(4)]
            for child in children: child.start()
            for child in children: child.join()
        """)
    )
    server.answer = lambda event: None
    subprocess.run([sys.executable, str(program)], check=True, timeout=60, env=environment(server))
    reports = [each for each in server.stored.values() if each["action"] == "events.lost"]
    lost = sum(each["metadata"]["count"] for each in reports)
    assert lost > 0, "nothing was dropped: the test proves nothing"
    assert len(server.stored) - len(reports) + lost == 2000


APPLICATION = """
import os
from collector.client import Client, configure, record
{setup}
tally = os.open(os.environ["TALLY"], os.O_WRONLY | os.O_APPEND)

def application(environ, start_response):
    for number in range(20):
        assert record(f"request.n{{number}}").ok
        os.write(tally, b"1")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@pytest.mark.parametrize("worker", ["sync", "gthread"])
@pytest.mark.parametrize("preload", [True, False], ids=["preload", "each"])
def test_workers_of_gunicorn_deliver_what_requests_recorded(
    server: Server, tmp_path: Path, worker: str, preload: bool
) -> None:
    """Workers are forked, renewed after a few requests, and stopped with the server."""
    pytest.importorskip("gunicorn")
    # With `preload` the client is the parent's, which has recorded with it before the fork.
    setup = "configure(Client()); record('parent.before')" if preload else ""
    (tmp_path / "shop.py").write_text(APPLICATION.format(setup=setup))
    tally, web = tmp_path / "tally", tmp_path / "web.sock"
    tally.touch()
    command = [
        sys.executable, "-m", "gunicorn", "shop:application", "--chdir", str(tmp_path),
        "--bind", f"unix:{web}", "--workers", "2", "--worker-class", worker,
        "--max-requests", "4", "--worker-tmp-dir", str(tmp_path), *(["--preload"] if preload else []),
    ]  # fmt: skip
    log = tmp_path / "gunicorn.log"
    with log.open("wb") as stream:
        running = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**environment(server), "TALLY": str(tally)}
        )
    try:
        until(lambda: _get(web), 30)
        for _ in range(20):
            until(lambda: _get(web))
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0, log.read_text()
    assert tally.stat().st_size >= 21 * 20
    recorded = Counter(action.partition(".")[0] for action in server.actions())
    parent = {"parent": 1} if preload else {}
    assert recorded == {"request": tally.stat().st_size, **parent}, log.read_text()


def _get(path: Path) -> bool:
    connection = http.client.HTTPConnection("localhost", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(path))
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False  # not there yet, or its worker was renewed meanwhile
    finally:
        connection.close()
