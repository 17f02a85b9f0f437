"""What the library says about itself: to the logger `collector.client`, and sparingly.

`logging` is imported when there is something to say, not before.
"""

from __future__ import annotations

import sys
from time import monotonic
from typing import Final

LOGGER: Final = "collector.client"
QUIET: Final = 60.0
"""Seconds between two notices of one kind."""
KINDS_MAX: Final = 256

_last: Final[dict[str, float]] = {}


def refused(code: str, text: str) -> None:
    """An event was refused for its content: a mistake in the program, said once a minute."""
    _say(f"{code} {text}", "an event was refused (%s): %s", code, text)


def unreachable(text: str) -> None:
    """The daemon went away, or is not there."""
    _say("unreachable", "events are waiting for the collector: %s", text)


def lost(count: int, cause: str) -> None:
    """Events were lost."""
    _say(f"lost {cause}", "%s lost (%s)", tally(count), cause)


def tally(count: int) -> str:
    """`1 event was`, `7 events were`."""
    return "1 event was" if count == 1 else f"{count} events were"


def _say(kind: str, message: str, *args: object) -> None:
    now = monotonic()
    if now - _last.get(kind, -QUIET) < QUIET:
        return
    if len(_last) >= KINDS_MAX:
        _last.clear()
    _last[kind] = now
    try:
        import logging

        logging.getLogger(LOGGER).warning(message, *args)
    except ImportError:  # the interpreter is going away
        if sys.stderr is not None:
            sys.stderr.write(f"{message % args}\n")
    except Exception:  # a handler of theirs
        pass
