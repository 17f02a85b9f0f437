"""A file of events is read line by line, however its bytes arrive, in bounded memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.cli import lines as module
from collector.cli.lines import Line, Source, opened


def read(content: bytes, chunks: int = 1 << 18) -> list[Line]:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        source = Source(reader)
        found: list[Line] = []
        for at in range(0, len(content), chunks):
            os.write(writer, content[at : at + chunks])
            found += source.read()
        os.close(writer)
        writer = -1
        while not source.ended:
            found += source.read()
        return found
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


@given(
    st.lists(st.sampled_from([b"{}", b"", b" ", b'{"a":1}', b"\r"]), max_size=8), st.integers(1, 9)
)
def test_lines_are_the_same_under_any_split(parts: list[bytes], chunk: int) -> None:
    content = b"\n".join(parts)
    expected = [(n, part) for n, part in enumerate(parts, 1) if part.strip()]
    assert [(line.number, line.text) for line in read(content, chunk)] == expected


def test_an_endless_line_is_bounded_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_MAX", 10)
    found = read(b"x" * 50 + b"\n{}\n" + b"y" * 50, 5)
    assert [(line.number, line.text) for line in found] == [(1, b""), (2, b"{}"), (3, b"")]
    assert [line.refusal.code if line.refusal else None for line in found] == [
        "too_large", None, "too_large",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('{"action":"a"}\n{"action":"b"}\n', ['{"action":"a"}', '{"action":"b"}']),
        ('{\n  "action": "a"\n}\n', ['{"action":"a"}']),
        ('[{"action":"a"},\n {"action":"ü"}]', ['{"action":"a"}', '{"action":"ü"}']),
        ('[{"action":"a"}]', ['{"action":"a"}']),
        ("not json\n{}\n", ["not json", "{}"]),
        ("", []),
    ],
)
def test_a_file_holds_events_a_line_or_one_document(
    tmp_path: Path, content: str, texts: list[str]
) -> None:
    file = tmp_path / "events"
    file.write_text(content)
    with opened(str(file)) as stream:  # type: ignore[union-attr]
        source = Source(stream.fileno())
        found: list[Line] = []
        while not source.ended:
            found += source.read()
    assert [line.text.decode() for line in found] == texts
