"""The long forms: `python -m tests.fuzz WHAT --count N --seed N`. Ends at the first finding."""

from __future__ import annotations

import argparse
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.fuzz import configs, daemons, frames, journals, restores

ROUND: Final = 50_000
"""Frames between two looks at what is stored."""


def _frames(count: int, seed: int, folder: Path) -> int:
    daemon = frames.daemon_in(folder).start()
    fuzzer = frames.Fuzzer(daemon, seed)
    try:
        while fuzzer.sent < count:
            fuzzer.run(min(ROUND, count - fuzzer.sent))
            print(f"{fuzzer.sent:,} frames", flush=True)
        assert daemon.stop() == 0, daemon.said()
        assert "Traceback" not in daemon.said(), daemon.said()
    finally:
        daemon.kill()
    return fuzzer.sent


KINDS: Final[dict[str, tuple[Callable[[int, int, Path], Any], int]]] = {
    "frames": (_frames, 10_000_000),
    "configs": (configs.fuzz, 10_000),
    "journals": (journals.fuzz, 10_000),
    "daemons": (daemons.fuzz, 500),
    "restores": (restores.fuzz, 1_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", choices=KINDS)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 30))
    given = parser.parse_args()
    fuzz, usual = KINDS[given.what]
    folder = Path(tempfile.mkdtemp(prefix="collector-fuzz-"))
    print(f"{given.what}, seed {given.seed}, in {folder}", flush=True)
    began = time.monotonic()
    print(fuzz(given.count or usual, given.seed, folder))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
