"""Hostile input, a little of each kind; the seeds are fixed, and the long forms take others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import configs, daemons, frames, journals, restores


def test_mutated_frames_are_answered_line_by_line_and_nothing_is_acknowledged_unstored(
    tmp_path: Path,
) -> None:
    daemon = frames.daemon_in(tmp_path).start()
    try:
        fuzzer = frames.Fuzzer(daemon, 1)
        fuzzer.run(10_000)
        fuzzer.run(10_000)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.said()
    finally:
        daemon.kill()


def test_a_mutated_configuration_is_taken_whole_or_refused_with_reasons(tmp_path: Path) -> None:
    taken, refused = configs.fuzz(300, 1, tmp_path)
    assert min(taken, refused) > 0


def test_a_damaged_journal_is_refused_or_tells_the_truth(tmp_path: Path) -> None:
    met = journals.fuzz(60, 1, tmp_path)
    assert all(met.values()), met


def test_the_daemon_on_damaged_journals_serves_or_says_why_not(tmp_path: Path) -> None:
    daemons.fuzz(8, 1, tmp_path)


def test_a_hostile_file_is_refused_or_restored_as_a_sound_journal_of_ours(tmp_path: Path) -> None:
    met = restores.fuzz(60, 1, tmp_path)
    assert all(met.values()), met


# ── the fuzzers find what they are there to find ────────────────────────────────────────────────


def test_a_reply_too_few_is_found(tmp_path: Path) -> None:
    fuzzer = frames.Fuzzer(frames.daemon_in(tmp_path), 1)
    with pytest.raises(frames.Finding, match="2 lines, 1 replies"):
        fuzzer._answered(b'{"action":"a.b"}\n{}\n', [frames.Reply(True, 1, "i")])


def test_changed_content_in_a_journal_called_sound_is_found(tmp_path: Path) -> None:
    (files, _killed), path = journals.recorded(tmp_path, small=True), tmp_path / "events.db"
    journals.write(files, path)
    truth = journals.entries(path)
    other = [(one[0], "another", *one[2:]) for one in truth]
    with pytest.raises(AssertionError, match="called sound"):
        journals.judge(path, files, other)
