"""How entries are printed: `short` for people, `json` and `csv` for programs."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Callable, Iterable
from typing import IO, Final

import msgspec

from collector.core.csv_form import CSV_COLUMNS, csv_cells
from collector.core.escape import json_line, visible
from collector.core.moments import local
from collector.core.rfc3339 import from_rfc3339
from collector.core.sentence import sentence
from collector.event import Entry

FORMS: Final = ("short", "json", "csv")

Paint = Callable[[str, str], str]
"""Style and text to the text as a terminal shows it."""

STYLES: Final = {
    "time": "32",
    "seq": "2",
    "action": "36",
    "error": "1;31",
    "warning": "33",
    "good": "32",
}
"""SGR parameters (ECMA-48). The words say the same without them."""

_encode: Final = msgspec.json.Encoder().encode


def plain(style: str, text: str) -> str:
    """No colour."""
    return text


def coloured(style: str, text: str) -> str:
    """In the colours of `STYLES`; an unknown style is none."""
    code = STYLES.get(style)
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def printer(
    form: str, out: IO[str], zone: dt.tzinfo, paint: Paint = plain
) -> Callable[[Iterable[Entry]], None]:
    """What prints entries on `out` in `form`; CSV's header is printed now."""
    if form == "csv":
        return _csv_printer(out)
    write = out.write
    if form == "json":
        return lambda entries: _all(write, (as_json(each) + "\n" for each in entries))
    return lambda entries: _all(write, (as_line(each, zone, paint) + "\n" for each in entries))


def as_json(entry: Entry) -> str:
    """One line with every key of `Entry`, harmful characters escaped as JSON has it."""
    return json_line(_encode(entry).decode())


def as_line(entry: Entry, zone: dt.tzinfo, paint: Paint = plain) -> str:
    """`2026-11-20 10:00:00 #42 settings.updated[denied]: ada was not allowed to …`, local time."""
    moment = local(from_rfc3339(entry.occurred_at), zone)
    time = moment.replace(tzinfo=None).isoformat(" ", "seconds")
    marks = ",".join(_marks(entry))
    weight = entry.severity if entry.severity in ("error", "warning") else ""
    action = paint("action", visible(entry.action))
    if marks:
        action += paint(weight, f"[{marks}]")
    said = paint(weight, visible(sentence(entry)))
    return f"{paint('time', time)} {paint('seq', f'#{entry.seq}')} {action}: {said}"


def _marks(entry: Entry) -> list[str]:
    """What is out of the ordinary; a warning because of a failure is said once."""
    missed = entry.outcome in ("failure", "denied")
    marks = [] if entry.outcome == "success" else [entry.outcome]
    if entry.severity == "error" or (entry.severity == "warning" and not missed):
        marks.append(entry.severity)
    return marks


def _csv_printer(out: IO[str]) -> Callable[[Iterable[Entry]], None]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")

    def spill() -> None:
        out.write(buffer.getvalue())
        buffer.seek(0)
        buffer.truncate()

    def write(entries: Iterable[Entry]) -> None:
        writer.writerows(map(csv_cells, entries))
        spill()

    writer.writerow(CSV_COLUMNS)
    spill()
    return write


def _all(write: Callable[[str], object], lines: Iterable[str]) -> None:
    write("".join(lines))
