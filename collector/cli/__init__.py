"""The command line: one file a verb, and nothing imported that the verb at hand does not need.

`main` is where every call begins. `collector emit` is called from scripts, often many times a
minute, so it must not pay for click (27 ms) or msgspec (29 ms): arguments that are plainly right
are read by `quick`, and whatever is not goes to click, which explains what is wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

COMPLETE_VARIABLE = "_COLLECTOR_COMPLETE"
"""Set by the shell's completion function: click's convention for the program `collector`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line, `sys.argv` by default; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    from collector.cli import edge

    best_effort = words[:1] == ["emit"] and "--best-effort" in words
    return edge.guarded(lambda: _carry_out(words), best_effort=best_effort)


def _carry_out(words: list[str]) -> int:
    if words[:1] == ["emit"] and COMPLETE_VARIABLE not in os.environ:
        from collector.cli import quick

        values = quick.parse(words[1:])
        if values is not None:
            from collector.cli import draft, send

            try:
                return send.emit(values)
            except draft.WrongArgument:
                pass  # nothing was sent; click meets the same argument, and says what is wrong
    from collector.cli import group

    return group.run(words)
