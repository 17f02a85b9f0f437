"""Which calls of a run are to fail: every number of a kind up to 300, then each further site once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.faults.calls import ERRORS, KINDS
from tests.faults.forking import ForkServer
from tests.faults.run import Fault, Variant, tried

EVERY: Final = 300
"""Numbers of a kind that are tried whatever their site; beyond, the first of each site."""
FRAMES: Final = 6
"""Frames inside SQLite that tell one site from another; the outer ones are those of any statement."""


class Site(NamedTuple):
    """Where a call is made: on which file, from which frames of SQLite's, from which lines of ours."""

    kind: str
    file: str
    frames: tuple[str, ...]
    lines: tuple[str, ...]


class Called(NamedTuple):
    """One call of a run without a fault."""

    life: int
    kind: str
    number: int
    site: Site


def calls(server: ForkServer, folder: Path, variant: Variant) -> list[Called]:
    """Every call of the first two lives of a run in which none fails. Fails where that run does."""
    outcome, run = tried(server, folder, variant, None, sites=True)
    assert not outcome.problems, outcome.problems
    found = []
    for life in (1, 2):
        for index, number, path, frames, lines in json.loads(run.sites_of(life).read_text()):
            kind = KINDS[index]
            file = re.sub(r"\.collector-\w+", ".collector-*", path.replace(str(folder), ""))
            site = Site(kind, file, tuple(frames.split()[:FRAMES]), tuple(lines))
            found.append(Called(life, kind, number, site))
    return found


def plan(found: list[Called], *, sites_only: bool = False) -> Iterator[Fault]:
    """The faults to be tried, the first call of each site before the rest, or these alone."""
    seen: set[tuple[int, Site]] = set()
    later = []
    for call in found:
        fresh = (call.life, call.site) not in seen
        seen.add((call.life, call.site))
        if fresh:
            yield from _each_error(call)
        elif call.number <= EVERY and not sites_only:
            later.append(call)
    for call in later:
        yield from _each_error(call)


def _each_error(call: Called) -> Iterator[Fault]:
    for error in ERRORS[call.kind]:
        yield Fault(call.life, call.kind, call.number, error)
