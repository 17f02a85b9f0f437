"""`python -m tests.benchmarks`: measure everything and print the table of targets."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks import client_library, footprint, http, page, reading, recording
from tests.benchmarks.bench import TINY, Bench, Line, Sizes, machine
from tests.benchmarks.servers import redis_is_here, scratch

ROWS: Final[dict[str, Callable[[Bench], list[Line]]]] = {
    "burst": recording.burst,
    "sustained": recording.sustained,
    "ids": recording.ids,
    "connections": recording.connections,
    "post": http.post,
    "single": http.single,
    "feed": http.feed,
    "streams": http.streams,
    "calls": client_library.calls,
    "delivery": client_library.delivery,
    "blocks": client_library.blocks,
    "imports": client_library.imports,
    "written": recording.written,
    "stored": footprint.stored,
    "memory": footprint.memory,
    "pages": reading.pages,
    "counts": reading.counts,
    "page": page.page,
    "growth": recording.growth,
    "acknowledgement": recording.acknowledgement,
    "start": footprint.start,
    "emit": footprint.emit,
}
"""In the order in which they are measured: what changes the large journal comes last."""
FURTHER: Final = frozenset(
    ("post", "single", "feed", "streams", "calls", "delivery", "blocks", "imports", "page")
)
"""Rows of HTTP, the library and the page: left out unless they are asked for."""
LARGE: Final = 10_000_000


def main(words: Sequence[str] | None = None) -> int:
    """Measure what is asked for; the exit code says nothing of the figures."""
    asked = _arguments(words)
    sizes = _sizes(asked)
    redis = redis_is_here() and not asked.no_redis
    print(f"{machine()}; Redis {'measured too' if redis else 'not measured'}")
    start = time.perf_counter()
    with scratch(Path(asked.disk)) as place:
        bench = Bench(place, sizes, redis)
        try:
            for name in asked.only or [row for row in ROWS if asked.all or row not in FURTHER]:
                for line in ROWS[name](bench):
                    print(shown(line), flush=True)
        finally:
            bench.close()
    print(f"{time.perf_counter() - start:.0f} s; {machine().replace('before', 'after')}")
    return 0


def shown(line: Line) -> str:
    """A row of the table as it is printed."""
    value = "-" if line.value is None else f"{line.value:,.{0 if line.value >= 100 else 2}f}"
    return f"{line.what:<62} {value:>9}   {line.target:<9} {line.detail}".rstrip()


def _sizes(asked: argparse.Namespace) -> Sizes:
    if asked.tiny:
        return TINY
    sizes = Sizes(sustained=asked.sustained)
    return sizes._replace(filled=LARGE, prune=1_000_000) if asked.large else sizes


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=ROWS, help="measure this row alone")
    parser.add_argument("--all", action="store_true", help="HTTP, the library and the page too")
    parser.add_argument("--large", action="store_true", help="a journal of 10 million entries")
    parser.add_argument("--sustained", type=float, default=Sizes().sustained, metavar="SECONDS")
    parser.add_argument("--no-redis", action="store_true", help="leave Redis out")
    parser.add_argument("--tiny", action="store_true", help="only see that it runs")
    here = str(Path(__file__).parent)
    parser.add_argument("--disk", default=here, help="a directory on the disk to measure")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
