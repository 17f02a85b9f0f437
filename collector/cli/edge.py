"""Where errors become a message on stderr and an exit code, and a closed pipe a quiet end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Final

from collector.errors import EXIT_IOERR, EXIT_NOPERM, EXIT_OK, CollectorError

EXIT_INTERRUPTED: Final = 130
"""128 + SIGINT, as shells report it."""
EXIT_PIPE: Final = 141
"""128 + SIGPIPE: what a shell reports of `git log | head`."""


OUTPUT: Final = "standard output"


def guarded(command: Callable[[], int], *, best_effort: bool = False) -> int:
    """The exit code of `command`, whatever happens in it; 0 where only an effort was asked for."""
    _have_streams()
    try:
        code = command()
        sys.stdout.flush()
    except CollectorError as error:
        complain(str(error))
        code = error.exit_code
    except BrokenPipeError:
        code = EXIT_PIPE
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except OSError as error:
        complain(_said(error))
        code = EXIT_NOPERM if isinstance(error, PermissionError) else EXIT_IOERR
    _let_go()
    return EXIT_OK if best_effort else code


def put(text: str) -> None:
    """Print to stdout; an error says so also where Python keeps no buffer."""
    try:
        sys.stdout.write(text)
    except OSError as error:
        error.filename = OUTPUT
        raise


def complain(text: str) -> None:
    """One message on stderr, harmless on a terminal whatever it quotes."""
    from collector.core.escape import visible  # only those who err pay for it

    say("\n".join(visible(line) for line in f"collector: {text}".split("\n")))


def say(text: str) -> None:
    """Words for people on stderr; if that is closed, nobody wanted them."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def _said(error: OSError) -> str:
    said = error.strerror or str(error)
    name = error.filename or (OUTPUT if _output_is_stuck() else None)
    return f"{name}: {said}" if name else said


def _output_is_stuck() -> bool:
    """Whether stdout holds what it could not write; its own errors name no file."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return True
    return False


def _have_streams() -> None:
    """Python leaves None where a descriptor was closed before the start: then nobody listens."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open until the end


def _let_go() -> None:
    """Nothing may be left in a buffer that cannot be written: Python would complain at its end."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (OSError, ValueError):
            pass
