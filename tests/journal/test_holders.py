"""Who holds a snapshot is told from the kernel's list of locks, and no file of the journal is opened."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.journal.connection import open_writer
from collector.journal.holders import UNKNOWN, Holder, _verb, described, holders
from tests.journal.readers import READER, held_elsewhere
from tests.requirements import need, need_root, need_tool


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Path]:
    """A journal that this process writes to."""
    path = tmp_path / "events.db"
    connection = open_writer(path)
    yield path
    connection.close()


def test_a_reader_in_another_process_is_named_until_it_leaves(journal: Path) -> None:
    assert holders(journal) == []
    with held_elsewhere(journal) as pid, held_elsewhere(journal) as other:
        comm = Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
        assert holders(journal) == [Holder(each, comm) for each in sorted((pid, other))]
    assert holders(journal) == []


def test_a_reader_of_another_journal_is_not_taken_for_one_of_this(
    journal: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.db"
    connection = open_writer(other)
    with held_elsewhere(other) as pid:
        assert [each.pid for each in holders(other)] == [pid]
        assert holders(journal) == []
    connection.close()


def test_a_reader_of_this_very_process_is_one_too(journal: Path) -> None:
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM log").fetchone()
    assert [each.pid for each in holders(journal)] == [os.getpid()]
    connection.close()
    assert holders(journal) == []


def test_looking_for_holders_leaves_the_locks_of_this_process_alone(journal: Path) -> None:
    """Had the `-shm` been opened and closed, our own snapshot's lock would be gone from the list."""
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True, isolation_level=None)
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM log").fetchone()
    for _ in range(3):
        assert [each.pid for each in holders(journal)] == [os.getpid()]
    connection.close()


def test_a_journal_that_nobody_has_open_has_no_holders(tmp_path: Path) -> None:
    assert holders(tmp_path / "events.db") == []


def test_a_reader_that_its_namespace_hides_is_unknown(journal: Path, tmp_path: Path) -> None:
    """Seen by a `/proc` of another pid namespace, mounted beside ours: the kernel lists it there not."""
    need_root()
    unshare, mount = need_tool("unshare"), need_tool("mount")
    proc = tmp_path / "proc"
    proc.mkdir()
    asked = (
        "import sys; from pathlib import Path;"
        "from collector.journal.holders import described, holders;"
        "found = holders(*map(Path, sys.argv[1:])); print(len(found), described(found))"
    )
    inner = f'{mount} -t proc proc {proc} && exec "$@"'
    command = [unshare, "--pid", "--fork", "sh", "-c", inner, "sh", sys.executable, "-c", asked]
    with held_elsewhere(journal):
        done = subprocess.run([*command, journal, proc], capture_output=True, text=True)
        subprocess.run(["umount", "-l", proc], check=False)
        need(done.returncode == 0, f"may not make a namespace: {done.stderr}")
        assert holders(journal), "from here it is seen"
    assert done.stdout == "0 an unknown reader (of another pid namespace)\n"


def test_a_reader_in_an_inner_namespace_is_named_by_the_pid_it_has_here(journal: Path) -> None:
    need_root()
    unshare = need_tool("unshare")
    with held_elsewhere(journal, unshare, "--pid", "--fork") as outer:
        inner = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        assert [str(each.pid) for each in holders(journal)] == inner


def test_an_overlay_is_found_by_the_device_of_its_mount(tmp_path: Path) -> None:
    """As in a container: `stat` gives another device there than the kernel's list of locks."""
    need_root()
    mount = need_tool("mount")
    folders = [tmp_path / name for name in ("lower", "upper", "work", "merged")]
    for folder in folders:
        folder.mkdir()
    lower, upper, work, merged = folders
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    done = subprocess.run(
        [mount, "-t", "overlay", "overlay", "-o", options, merged], capture_output=True, text=True
    )
    need(done.returncode == 0, f"may not mount an overlay: {done.stderr}")
    try:
        connection = open_writer(merged / "events.db")
        with held_elsewhere(merged / "events.db") as pid:
            assert [each.pid for each in holders(merged / "events.db")] == [pid]
        connection.close()
    finally:
        subprocess.run(["umount", "-l", merged], check=False)


# ── what the kernel may list ────────────────────────────────────────────────────────────────────


def _proc(tmp_path: Path, *locks: str) -> tuple[Path, Path]:
    """A journal's path and a `/proc` that lists these locks, with the `-shm`'s numbers put in."""
    proc = tmp_path / "proc"
    proc.mkdir()
    shm = tmp_path / "events.db-shm"
    shm.touch()
    stat = shm.stat()
    here = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    elsewhere = f"{os.major(stat.st_dev) + 1:02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    lines = [lock.replace("HERE", here).replace("ELSEWHERE", elsewhere) for lock in locks]
    (proc / "locks").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path / "events.db", proc


@pytest.mark.parametrize(
    ("lock", "found"),
    [
        ("1: POSIX  ADVISORY  READ  7 HERE 123 123", True),
        ("1: POSIX  ADVISORY  READ  7 HERE 127 127", True),
        ("1: POSIX  ADVISORY  READ  7 HERE 0 EOF", True),
        ("1: POSIX  ADVISORY  READ  7 HERE 128 128", False),  # every open connection has that
        ("1: POSIX  ADVISORY  READ  7 HERE 122 122", False),
        ("1: POSIX  ADVISORY  WRITE 7 HERE 120 120", False),  # a writer
        ("1: POSIX  ADVISORY  WRITE 7 HERE 124 124", False),  # a checkpoint, or a mark being set
        ("1: -> POSIX  ADVISORY  READ  7 HERE 123 123", False),  # waits, and holds nothing
        ("1: FLOCK  ADVISORY  READ  7 HERE 0 EOF", False),
        ("1: POSIX  ADVISORY  READ  7 ELSEWHERE 123 123", False),  # the same inode on another disk
        ("what a later kernel may write", False),
    ],
)
def test_only_a_shared_lock_on_a_readers_byte_counts(
    tmp_path: Path, lock: str, found: bool
) -> None:
    path, proc = _proc(tmp_path, lock)
    assert holders(path, proc) == ([Holder(7)] if found else [])


@pytest.mark.parametrize("pid", [0, -1])
def test_an_owner_without_a_number_is_unknown(tmp_path: Path, pid: int) -> None:
    path, proc = _proc(tmp_path, f"1: POSIX  ADVISORY  READ  {pid} HERE 124 124")
    assert holders(path, proc) == [UNKNOWN]


def test_where_the_list_of_locks_may_not_be_read_nobody_is_found(tmp_path: Path) -> None:
    path, proc = _proc(tmp_path)
    (proc / "locks").unlink()
    assert holders(path, proc) == []


# ── names ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (
            ["/opt/collector/bin/python3", "/opt/collector/bin/collector", "backup", "x.db"],
            "backup",
        ),
        (["/usr/bin/python3.11", "-I", "/usr/bin/collector", "tail", "-f"], "tail"),
        (["python3", "-m", "collector", "verify"], "verify"),
        (["collector", "export", "--format", "csv"], "export"),
        (["sqlite3", "collector", "backup"], ""),  # a database of that name
        (["python3", "backup.py", "collector", "query"], ""),
        (["python3", "-c", "print()", "collector", "query"], ""),
        (["collector", "--version"], ""),
        (["collector"], ""),
        (["python3"], ""),
        ([""], ""),
    ],
)
def test_our_own_verbs_are_known_by_the_command_line(words: list[str], verb: str) -> None:
    assert _verb(words) == verb


def test_our_own_verb_is_named_while_it_reads(journal: Path, tmp_path: Path) -> None:
    program = tmp_path / "collector"
    program.write_text(READER)
    with held_elsewhere(journal, program=(str(program), "verify")) as pid:
        found = holders(journal)
    assert [each.verb for each in found] == ["verify"]
    assert described(found) == f"pid {pid} (collector verify)"


def test_many_readers_are_counted_past_the_first_few() -> None:
    found = [Holder(pid, "sqlite3") for pid in range(1, 8)]
    assert described(found).endswith("pid 4 (sqlite3) and 3 more")
    assert described([Holder(3)]) == "pid 3"
