"""`collector status`: what the daemon says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import click

from collector.cli import options


@click.command(
    "status",
    short_help="Show what the daemon says of itself.",
    epilog=options.examples("collector status", "collector status -o json | jq .sources"),
)
@options.form("short", "json")
@options.socket
@options.config
def command(output: str, socket: str | None, config: str | None) -> None:
    """Print the daemon's state: where it records, how much, how its sources fare.

    Exits 69 where no daemon answers, so that it serves as a check in scripts.
    """
    from collector.cli.ask import ask
    from collector.cli.terminal import output as opened
    from collector.core.escape import json_line, visible

    status = ask({"op": "status"}, socket, config).get("status") or {}
    with opened(utf8=output == "json") as out:
        if output == "json":
            out.stream.write(json_line(json.dumps(status, ensure_ascii=False)) + "\n")
        else:
            out.stream.writelines(f"{visible(line)}\n" for line in _lines(status, ""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    """Nested objects as indented `name: value` lines, names in words."""
    for name, each in value.items():
        title = f"{indent}{str(name).replace('_', ' ')}:"
        if isinstance(each, dict) and each:
            yield title
            yield from _lines(each, f"{indent}  ")
        elif isinstance(each, list) and any(isinstance(item, dict) for item in each):
            yield title
            for item in each:
                yield f"{indent}  - {_flat(item)}"
        else:
            yield f"{title} {_plain(str(name), each)}"


def _plain(name: str, value: Any) -> str:
    """A pid is no quantity, and a time in seconds is for programs."""
    if name == "pid":
        return str(value)
    if name == "uptime" and isinstance(value, int | float):
        return str(timedelta(seconds=int(value)))
    return _flat(value)


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(name, each)}" for name, each in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_flat, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return "-" if value is None or value == "" else str(value)
