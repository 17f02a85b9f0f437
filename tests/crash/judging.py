"""Judges what a power cut has left: acknowledged ⊆ stored ⊆ sent, each id once, the ledger's equation.

Most states are read by SQLite alone, as a reader would. Where SQLite alone cannot tell (the main file
is missing, a replacement was under way), and in a sample of the others, the product's own start comes
first; of the sample its indexes are also held against a scan, and each acknowledged id must be known.
"""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
import time
from bisect import bisect
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from collector.core.query import Filter
from collector.daemon.opening import open_journal
from collector.errors import CollectorError
from collector.journal.finding import matching
from collector.journal.verifying import verify
from tests.crash.expected import ACTION, Journal, Moment, Stored, Trace
from tests.crash.filesystem import RESERVE

MAIN: Final = "events.db"
BACKUP: Final = "backup.db"
_USUAL: Final = re.compile(
    r"events\.db(-wal|-journal|\.reserve(\.new)?|\.(corrupt|before-restore)-\w[\w.]*?(-\d+)?(-wal)?)?"
    r"|backup\.db(-journal|-wal)?|\.(events|backup)\.db\.\d+\.new(-journal|-wal)?"
)
_ASIDE: Final = re.compile(r"events\.db\.(corrupt|before-restore)-[\w.]+?(-\d+)?")
Files = dict[str, bytes]


class Found(NamedTuple):
    """What a journal's file holds."""

    rows: set[Stored]
    """Its entries, but for those of the trace's beginning that stand at its head as they should."""
    head: Sequence[Stored]
    """Those."""
    missing: Sequence[Stored]
    """Entries of the trace's beginning that are not there."""
    kinds: dict[int, str]
    of_kind: dict[int, int]
    """Entries by kind."""
    last_removed: int
    problems: list[str]

    def everything(self) -> list[Stored]:
        """All entries, in order."""
        return [*self.head, *sorted(self.rows)]


class Judge:
    """Judges states of one trace in a folder of its own, which it empties and fills as it likes."""

    def __init__(self, trace: Trace, folder: Path) -> None:
        self.trace = trace
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._there: Files = {}
        self._aside: dict[tuple[bytes | None, ...], Found] = {}
        self._counted: dict[int, int] = {}
        self._head_ids: dict[int, set[bytes]] = {}
        self.started = 0
        """States that the product's own start was tried on."""

    def judge(self, files: Files, moment: Moment, *, start: bool, chance: random.Random) -> str:
        """What is wrong with a state, in words; "" where nothing is."""
        strange = sorted(name for name in files if not _USUAL.fullmatch(name))
        asides = {name for name in files if _ASIDE.fullmatch(name)}
        acknowledged = moment.journal.rows or moment.journal.seqs or moment.replaced
        if start or strange or (MAIN not in files and (acknowledged or asides)):
            return self._start(files, moment, chance)
        if MAIN not in files:
            return ""
        try:
            return self._judged(files, moment, self._found(files, MAIN))
        except sqlite3.Error as error:
            return f"SQLite: {error}"

    # ── the rules ───────────────────────────────────────────────────────────────────────────────

    def _judged(self, files: Files, moment: Moment, found: Found) -> str:
        """One of the journals that may be there is, and the ones that it replaced are beside it."""
        wrong = self._own(found)
        if wrong:
            return wrong
        replaced = moment.replaced
        wrong = self._lacks(found, moment.journal)
        if wrong and moment.next is not None:
            wrong = self._lacks(found, moment.next)
            replaced = [*replaced, moment.journal]
        wrong = wrong or self._beside(files, replaced)
        if not wrong and moment.backup is not None and BACKUP in files:
            wrong = self._backed_up(files, moment.backup)
        return wrong

    def _own(self, found: Found) -> str:
        """Stored ⊆ sent, each id once, and what the file says of itself."""
        if found.problems:
            return found.problems[0]
        sent = self.trace.sent
        ids = [row[1] for row in found.rows if row[1]]
        if len(set(ids)) != len(ids) or not self._ids(found.head).isdisjoint(ids):
            return "an id is stored twice"
        ours = self._ours(found.head)
        for seq, id_, name, message in found.rows:
            event = sent.get(name)
            if event is not None:
                ours += 1
                if event.message != message or id_ not in event.ids:
                    return f"entry {seq} ({name}) is not what was sent"
        kinds = [kind for kind, action in found.kinds.items() if action == ACTION]
        stored = sum(found.of_kind.get(kind, 0) for kind in kinds)
        if stored != ours:
            return f"{stored - ours} entries are stored that nobody sent"
        return ""

    def _ours(self, head: Sequence[Stored]) -> int:
        if len(head) not in self._counted:
            self._counted[len(head)] = sum(1 for row in head if row[2] in self.trace.sent)
        return self._counted[len(head)]

    def _ids(self, head: Sequence[Stored]) -> set[bytes]:
        if len(head) not in self._head_ids:
            self._head_ids[len(head)] = {row[1] for row in head if row[1]}
        return self._head_ids[len(head)]

    def _lacks(self, found: Found, journal: Journal) -> str:
        """Acknowledged ⊆ stored, but for what was removed as it should be."""
        gone = list(journal.rows - found.rows)
        if journal.whole:
            gone += found.missing
        seqs = {row[0] for row in found.rows} if journal.seqs or gone else set()
        lost = [row[0] for row in gone] + [seq for seq in journal.seqs if seq not in seqs]
        if lost and (journal.keep is not None or journal.removable):
            upto = found.last_removed
            if journal.keep is not None:
                last = max(max(seqs, default=0), upto)
                upto = min(upto, last - journal.keep)
            upto = max(upto, journal.removable)
            lost = [seq for seq in lost if seq > upto]
        if not lost:
            return ""
        return f"{len(lost)} acknowledged events are lost, the first of seq {min(lost)}"

    def _beside(self, files: Files, replaced: list[Journal]) -> str:
        if not replaced:
            return ""
        asides = [self._set_aside(files, name) for name in files if _ASIDE.fullmatch(name)]
        for journal in replaced:
            if all(self._lacks(found, journal) for found in asides):
                return "a journal that was replaced is nowhere beside the new one"
        return ""

    def _set_aside(self, files: Files, name: str) -> Found:
        key = (files[name], files.get(f"{name}-wal"))
        if key not in self._aside:
            self._aside[key] = self._found(files, name)
        return self._aside[key]

    def _backed_up(self, files: Files, backup: Journal) -> str:
        key = (files[BACKUP], files.get(f"{BACKUP}-wal"))
        if key not in self._aside:
            self._aside[key] = self._found(files, BACKUP)
        found = self._aside[key]
        wrong = self._own(found) or self._lacks(found, backup)
        return f"the backup: {wrong}" if wrong else ""

    # ── by SQLite alone ─────────────────────────────────────────────────────────────────────────

    def _put(self, files: Files, name: str) -> Path:
        """Have a database there, what belongs to it beside it; the rest only where it is asked for."""
        for part in ("", "-wal", "-journal"):
            self._write(f"{name}{part}", files.get(f"{name}{part}"))
        path = self.folder / name
        Path(f"{path}-shm").unlink(missing_ok=True)
        return path

    def _write(self, name: str, content: bytes | None) -> None:
        if self._there.get(name) is content:
            return
        path = self.folder / name
        if content is None:
            path.unlink(missing_ok=True)
            self._there.pop(name, None)
        else:
            path.write_bytes(content)
            self._there[name] = content

    def _found(self, files: Files, name: str) -> Found:
        path = self._put(files, name)
        hot = f"{name}-journal" in files  # SQLite rolls it back, which a reader may not
        connection = sqlite3.connect(
            f"file:{path}?mode={'rw' if hot else 'ro'}", uri=True, isolation_level=None
        )
        with closing(connection):
            try:
                return read(connection, self.trace.stored)
            finally:
                if hot:
                    for part in ("", "-wal", "-journal"):
                        self._there.pop(f"{name}{part}", None)

    # ── by the product ──────────────────────────────────────────────────────────────────────────

    def _start(self, files: Files, moment: Moment, chance: random.Random) -> str:
        """Start on all of the files, as a daemon does, and judge what is there then."""
        self.started += 1
        folder = self.folder / "start"
        folder.mkdir(exist_ok=True)
        for file in folder.iterdir():
            file.unlink()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        path = folder / MAIN
        try:
            opened = open_journal(path, "quarantine", now=time.time, patience=0.0)
        except CollectorError as error:
            return f"it does not start: {error}"
        connection = opened.journal.connection
        try:
            aside = {file.name for file in folder.iterdir() if ".corrupt-" in file.name}
            if aside - files.keys() and moment.doing != "quarantine":
                return "it was quarantined"
            found = read(connection, self.trace.stored, checked=True)
            wrong = self._indexed(connection, found, chance) or self._known(opened.journal, found)
        finally:
            opened.journal.close()
            opened.lock.release()
        if wrong:
            return f"after a start: {wrong}"
        left = {
            file.name: file.read_bytes()
            for file in folder.iterdir()
            if not file.name.endswith((".lock", "-shm")) and RESERVE not in file.name
        }
        wrong = self._judged(left, moment, found)
        if not wrong and chance.random() < 0.1:
            wrong = "; ".join(verify(path))
        return f"after a start: {wrong}" if wrong else ""

    def _known(self, journal: Any, found: Found) -> str:
        """Whoever sends a stored event again must be told so."""
        entries = found.everything()
        ids = {id_: seq for seq, id_, _, _ in entries if id_}
        known = journal.ids.stored(ids)
        if known != ids:
            return f"{len(ids.keys() - known.keys())} stored ids are not known"
        if journal.last_seq < max((row[0] for row in entries), default=0):
            return "the next seq is one that was handed out"
        return ""

    def _indexed(self, connection: sqlite3.Connection, found: Found, chance: random.Random) -> str:
        """What the indexes answer, and what a scan does."""

        def fetch(sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
            return connection.execute(sql, values).fetchall()

        rows = found.everything()
        if not rows:
            return ""
        for seq, _, name, message in chance.sample(rows, min(3, len(rows))):
            asked: list[tuple[Filter, Callable[[Stored], bool]]] = []
            if name:
                asked.append((Filter(object_id=(name,)), lambda row, name=name: row[2] == name))
            word = message.split(" ")[0]
            if word and name in self.trace.sent:
                asked.append((Filter(q=word), lambda row, word=word: row[3].startswith(word + " ")))
            for wanted, fits in asked:
                answer = {row[0] for batch in matching(fetch, wanted, "log.seq") for row in batch}
                scanned = {row[0] for row in rows if fits(row)}
                if answer != scanned:
                    return (
                        f"{wanted} finds {len(answer)} entries, a scan {len(scanned)} (entry {seq})"
                    )
        action = chance.choice(sorted(set(found.kinds.values())))
        number = sum(len(batch) for batch in matching(fetch, Filter(action=(action,)), "log.seq"))
        kinds = {kind for kind, other in found.kinds.items() if other == action}
        scanned_ = sum(found.of_kind.get(kind, 0) for kind in kinds)
        if number != scanned_:
            return f"action {action} finds {number} entries, a scan {scanned_}"
        return ""


def read(
    connection: sqlite3.Connection, begun: Sequence[Stored], *, checked: bool = False
) -> Found:
    """All that is judged of a journal; `begun` is what it held when the trace began, in order.

    `checked` has SQLite check its structure as well.
    """
    run = connection.execute
    run("BEGIN")
    if not run("SELECT count(*) FROM sqlite_schema WHERE name = 'log'").fetchone()[0]:
        run("ROLLBACK")
        return Found(set(), (), begun, {}, {}, 0, [])
    fetched = run("SELECT seq, id, object_id, message FROM log ORDER BY seq").fetchall()
    of_kind = dict(run("SELECT kind, count(*) FROM log GROUP BY kind").fetchall())
    kinds = dict(run("SELECT kind, action FROM kinds").fetchall())
    fact = run("SELECT value FROM facts WHERE name = 'last_seq'").fetchone()
    removed = fact[0] if fact else 0
    problems = _problems(connection, len(fetched), removed)
    if of_kind.keys() - kinds.keys():
        problems.append("an entry's kind is missing")
    if checked:
        found = run("PRAGMA quick_check").fetchone()[0]
        if found != "ok":
            problems.append(f"SQLite's check: {found}")
    run("ROLLBACK")
    return Found(*_parted(fetched, begun), kinds, of_kind, removed, problems)


def _parted(
    fetched: list[Stored], begun: Sequence[Stored]
) -> tuple[set[Stored], Sequence[Stored], Sequence[Stored]]:
    """Entries, less those that stand at the head as they did in the beginning; those; those gone."""
    if not begun:
        return set(fetched), (), ()
    at = bisect(begun, fetched[0][0] - 1, key=lambda row: row[0]) if fetched else len(begun)
    head = begun[at:]
    if fetched[: len(head)] == head:
        return set(fetched[len(head) :]), head, begun[:at]
    there = set(fetched)
    return there, (), [row for row in begun if row not in there]


def _problems(connection: sqlite3.Connection, count: int, removed: int) -> list[str]:
    """The ledger's equation, in journals that have one."""
    run = connection.execute
    if not run("SELECT count(*) FROM sqlite_schema WHERE name = 'removed'").fetchone()[0]:
        return []
    told = run("SELECT coalesce(sum(count), 0) FROM removed").fetchone()[0]
    last = max(removed, run("SELECT coalesce(max(seq), 0) FROM log").fetchone()[0])
    if last != count + told:
        return [f"the ledger does not add up: {last} handed out, {count} stored, {told} removed"]
    return []
