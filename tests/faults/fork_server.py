"""A process that has all imports behind it and forks one daemon after the other, quickly.

A program: `LD_PRELOAD=shim.so python fork_server.py`. It reads one JSON object a line from its
standard input and answers each with one. `{"do": "fork", …}` starts a child, `{"do": "wait"}` looks
what became of the last one. A child is what `collector run` is, to its end: the same command line,
the same signals, the same exit.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.faults.shim import Shim

NOT_OURS: Final = ("collector.client.", "collector.__main__")
"""Modules that want a framework which is not there, or that run when they are imported."""
ONLY_FOR_HTTP: Final = ("collector.web.", "collector.sources.mdns", "collector.cli.")
DEPTH: Final = 8
"""Lines of ours that tell one call site from another."""


def main() -> int:
    """Serve until the input ends; a child returns its own exit code."""
    preload(web="web" in sys.argv)
    gc.freeze()  # what is imported stays, and no child has to look through it
    pid = 0
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "fork":
            pid = os.fork()
            if pid == 0:
                return child(request)
            answer: Any = pid
        else:
            answer = waited(pid, request["seconds"])
        print(json.dumps(answer), flush=True)
    return 0


def preload(*, web: bool) -> None:
    """Import everything that a daemon may import later: that is not what a run is about.

    HTTP's libraries are half of it, and cost each child as much again at its end.
    """
    import collector

    for module in pkgutil.walk_packages(collector.__path__, "collector."):
        left_out = NOT_OURS if web else (*NOT_OURS, *ONLY_FOR_HTTP)
        if not module.name.startswith(left_out):
            importlib.import_module(module.name)


def waited(pid: int, seconds: float) -> int | None:
    """The exit code of a child, negative for a signal; None where it lives on for so long."""
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.002)


# ── the child ───────────────────────────────────────────────────────────────────────────────────


def child(request: dict[str, Any]) -> int:
    """Become a process of its own, arm the shim, and do what is asked for."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, stream in enumerate((nothing, log, log)):
        os.dup2(stream, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    hung = open(request["log"] + ".hung", "w")  # noqa: SIM115 - as long as the process
    faulthandler.enable(hung)
    os.environ.update(request.get("environment", {}))
    if request.get("idle_after"):
        import collector.janitor.schedule as schedule

        schedule.IDLE_AFTER = request["idle_after"]  # type: ignore[misc]
    if request.get("mutant"):
        exec(request["mutant"], {})  # a daemon that is broken on purpose
    if request.get("ordinary"):
        give_up_overriding()
    shim = Shim()
    shim.watch(*request["watch"])
    heard = _armed(shim, request)
    try:
        return _called(request)
    finally:
        hung.flush()
        if heard is not None:
            shim.disarm()
            Path(request["sites"]).write_text(json.dumps(heard))


def give_up_overriding() -> None:
    """Mode bits hold for us too from now on, root or not: capset(2) without CAP_DAC_OVERRIDE (1) and
    CAP_DAC_READ_SEARCH (2), version 3 of its header."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("=Ii", 0x20080522, 0)
    sets = ctypes.create_string_buffer(24)
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    low = [word & ~0b110 for word in struct.unpack("=6I", sets.raw)[:3]]
    if libc.capset(header, struct.pack("=6I", *low, *struct.unpack("=6I", sets.raw)[3:])):
        raise OSError(ctypes.get_errno(), "capset")


def _called(request: dict[str, Any]) -> int:
    if "arguments" in request:
        from collector.cli import main as command_line

        return command_line(request["arguments"])
    module, _, name = request["call"].partition(":")
    code: int = getattr(importlib.import_module(module), name)(*request["with"])
    return code


def _armed(shim: Shim, request: dict[str, Any]) -> list[Any] | None:
    fault = request.get("fault")
    if fault:
        report = os.open(request["report"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
        shim.fail(**fault, report=report)
        return None
    if "sites" not in request:
        return None
    heard: list[Any] = []

    def hears(kind: int, number: int, path: bytes, stack: bytes) -> None:
        heard.append([kind, number, path.decode(), stack.decode(), _lines_of_ours()])

    shim.listen(hears)
    return heard


def _lines_of_ours() -> list[str]:
    """The innermost lines of the daemon's own code that led here."""
    lines: list[str] = []
    frame = sys._getframe(2)
    while frame is not None and len(lines) < DEPTH:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("collector."):
            lines.append(f"{module}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return lines


if __name__ == "__main__":
    sys.exit(main())
