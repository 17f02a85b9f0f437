"""Journals with damaged bytes: whoever reads or opens them says what is wrong, or tells the truth.

A journal is recorded, with everything derived, and left as a clean stop leaves it or as a kill does,
its write-ahead log beside it. Its copies are damaged as disks and people do it: a bit, sixteen bytes,
a sector of zeros, a page in the place of another, an end that is missing, rubbish behind the end.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio

from collector.core.query import Filter
from collector.errors import CollectorError
from collector.journal.connection import wal_of
from tests.journal.world import SMALL_CHUNK_BITS, fill, rooms, world

PAGE: Final = 4096
SECTOR: Final = 512
SECONDS: Final = 10.0
"""Whoever looks at a small journal for longer than this hangs."""

Files = dict[str, bytes]
"""The bytes of the database ("") and of its write-ahead log ("-wal"), where there is one."""


def recorded(folder: Path, entries: int = 300, *, small: bool = False) -> list[Files]:
    """A journal as a clean stop leaves it, and as a kill does; `small` as in `tests.journal.world`."""
    path = folder / "recorded.db"
    with world(path, small=small) as w:
        fill(w, entries)
        w.follow()
        w.journal.checkpoint()
        fill(w, entries // 4, seed=1)
        killed = {"": path.read_bytes(), "-wal": wal_of(path).read_bytes()}
    return [{"": path.read_bytes()}, killed]


def damaged(rng: random.Random, files: Files) -> Files:
    """A copy with one to three damages in one of its files."""
    part = rng.choice(sorted(files))
    content = bytearray(files[part])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(DAMAGES)(rng, content)
    return {**files, part: bytes(content)}


def _bit(rng: random.Random, content: bytearray) -> None:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _header(rng: random.Random, content: bytearray) -> None:
    if content:
        content[rng.randrange(min(100, len(content)))] = rng.randrange(256)


def _bytes(rng: random.Random, content: bytearray) -> None:
    at = rng.randrange(len(content) + 1)
    content[at : at + 16] = rng.randbytes(16)


def _zeros(rng: random.Random, content: bytearray) -> None:
    at = rng.randrange(len(content) // SECTOR + 1) * SECTOR
    content[at : at + SECTOR] = bytes(len(content[at : at + SECTOR]))


def _page(rng: random.Random, content: bytearray) -> None:
    pages = len(content) // PAGE
    if pages > 1:
        here, there = rng.randrange(pages) * PAGE, rng.randrange(pages) * PAGE
        content[here : here + PAGE] = content[there : there + PAGE]


def _cut(rng: random.Random, content: bytearray) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _more(rng: random.Random, content: bytearray) -> None:
    content += rng.randbytes(rng.choice((1, SECTOR, PAGE, 3 * PAGE)))


DAMAGES: Final[tuple[Callable[[random.Random, bytearray], None], ...]] = (
    _bit, _bit, _header, _bytes, _bytes, _zeros, _page, _cut, _more,
)  # fmt: skip


def write(files: Files, path: Path) -> None:
    """Put a journal at `path`, and nothing else beside it."""
    for part in ("", "-wal", "-shm", "-journal"):
        beside = path.with_name(path.name + part)
        if part in files:
            beside.write_bytes(files[part])
        else:
            beside.unlink(missing_ok=True)


def entries(path: Path) -> list[tuple[Any, ...]]:
    """What the plain view shows. Raises `sqlite3.Error`."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT * FROM entries ORDER BY seq").fetchall()
    finally:
        connection.close()


def judge(path: Path, files: Files, truth: list[tuple[Any, ...]]) -> str:
    """How a journal is met; raises AssertionError where it should not be met so.

    `truth` are the entries before the damage. Returns "sound", "damaged" or "refused".
    """
    write(files, path)
    began = time.monotonic()
    try:
        problems = rooms(True).verifying.verify(path)
    except CollectorError as error:
        says_why(error)
        verdict = "refused"
    else:
        assert all(problems), problems
        verdict = "damaged" if problems else "sound"
    _read(path)
    _open(path)
    assert time.monotonic() - began < SECONDS, f"took {time.monotonic() - began:.1f} s"
    if verdict == "sound":
        write(files, path)
        _is_true(path, truth)
    return verdict


def _is_true(path: Path, truth: list[tuple[Any, ...]]) -> None:
    """What is shown was recorded. The end may be missing: a log whose end is damaged ends sooner.

    An entry has a checksum once the full text has got to its segment: the newest ones have none.
    (Segments are small here, see `tests.journal.world`.)
    """
    connection = sqlite3.connect(path)
    try:
        shown = connection.execute("SELECT * FROM entries ORDER BY seq").fetchall()
        chunk = connection.execute("SELECT max(chunk) FROM checksums").fetchone()[0]
    finally:
        connection.close()
    covered = 0 if chunk is None else (chunk + 1) << SMALL_CHUNK_BITS
    for one, other in zip(shown, truth, strict=False):
        if one[0] < covered:
            assert one == other, f"called sound, and shows {one} in place of {other}"


def _read(path: Path) -> None:
    """Every kind of answer, each right or refused."""

    async def ask() -> None:
        async with rooms(True).reader.Reader.open(path) as reader:
            for wanted in (Filter(), Filter(q="device"), Filter(action=("device.lost",))):
                try:
                    await reader.page(wanted)
                except CollectorError as error:
                    says_why(error)

    try:
        anyio.run(ask)
    except CollectorError as error:
        says_why(error)


def says_why(error: CollectorError) -> None:
    """Raise AssertionError for a refusal without a word."""
    if not str(error).strip():
        raise AssertionError("refused without a word") from error


def _open(path: Path) -> None:
    """As a daemon would: it opens, or says why not."""
    try:
        journal = rooms(True).writer.Journal.open(path, patience=0.0)
    except CollectorError as error:
        says_why(error)
        return
    journal.close()


def fuzz(count: int, seed: int, folder: Path) -> dict[str, int]:
    """Damage so many journals; how each was met. What fails is left at `folder / "events.db"`."""
    originals, rng = recorded(folder, small=True), random.Random(seed)
    path = folder / "events.db"
    truths = []
    for files in originals:
        write(files, path)
        truths.append(entries(path))
    met = {"sound": 0, "damaged": 0, "refused": 0}
    for number in range(count):
        which = rng.randrange(len(originals))
        files = damaged(rng, originals[which])
        try:
            met[judge(path, files, truths[which])] += 1
        except BaseException as error:
            write(files, path)
            error.add_note(f"journal {number} of seed {seed}, left at {path}")
            raise
    return met
