"""The long form: every call of a run fails once, with every error.

    python -m tests.faults RESULTS [--variant plain|reader|web|idle] [--kind KIND] [--workers N]

One line of JSON for each fault is appended to the file RESULTS; what stands there already is not tried
again, so that the command can be stopped and resumed. It ends with a count, and with 1 where anything
was wrong.
"""

from __future__ import annotations

import argparse
import json
import queue
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.faults.calls import KINDS
from tests.faults.forking import ForkServer
from tests.faults.planning import calls, plan
from tests.faults.run import VARIANTS, Fault, Variant, tried
from tests.faults.shim import compiled


def main() -> int:
    """Parse, plan, try, count."""
    arguments = _arguments()
    results: Path = arguments.results
    with tempfile.TemporaryDirectory(prefix="faults-", dir=arguments.folder) as name:
        folder = Path(name)
        shim = compiled(shutil.which("gcc") or "gcc", folder)
        for variant in arguments.variant or VARIANTS:
            _try_all(results, shim, folder / variant, variant, arguments)
    return _told(results)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("results", type=Path)
    parser.add_argument("--variant", action="append", choices=VARIANTS)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--error", action="append")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sites-only", action="store_true", help="no second call of any site")
    parser.add_argument("--folder", type=Path, help="where the runs' files are, by default $TMPDIR")
    return parser.parse_args()


def _try_all(
    results: Path, shim: Path, folder: Path, variant: Variant, arguments: argparse.Namespace
) -> None:
    folder.mkdir()
    with ForkServer(shim, folder / "server.log", web=variant == "web") as server:
        found = calls(server, folder / "plan", variant)
    wanted = [
        fault
        for fault in plan(found, sites_only=arguments.sites_only)
        if (not arguments.kind or fault.kind in arguments.kind)
        and (not arguments.error or fault.error in arguments.error)
    ]
    done = {tuple(line["fault"]) for line in _lines(results) if line["variant"] == variant}
    waiting: queue.SimpleQueue[Fault] = queue.SimpleQueue()
    for fault in wanted:
        if tuple(fault) not in done:
            waiting.put(fault)
    print(f"{variant}: {len(wanted)} faults, {waiting.qsize()} to be tried", flush=True)
    write = threading.Lock()

    def work(number: int) -> None:
        log = folder / f"server-{number}.log"
        with ForkServer(shim, log, web=variant == "web") as server:
            while True:
                try:
                    fault = waiting.get_nowait()
                except queue.Empty:
                    return
                began = time.monotonic()
                outcome, _ = tried(server, folder / f"run-{number}", variant, fault)
                line = {"variant": variant, "fault": fault, **outcome._asdict()}
                line["seconds"] = round(time.monotonic() - began, 2)
                with write, results.open("a") as file:
                    file.write(json.dumps(line) + "\n")

    workers = [threading.Thread(target=work, args=(n,)) for n in range(arguments.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def _lines(results: Path) -> list[dict[str, Any]]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text().splitlines()]


def _told(results: Path) -> int:
    lines = _lines(results)
    wrong = [line for line in lines if line["problems"]]
    missed = sum(not line["hit"] for line in lines)
    for line in wrong:
        print(json.dumps(line))
    print(f"{len(lines)} faults, {missed} never came to be, {len(wrong)} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
