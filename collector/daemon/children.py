"""Processes that do a piece of work for the daemon beside its loop, and end with whoever asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any


async def output_of(
    arguments: Sequence[str], environment: Mapping[str, str], *, stderr: Any = None
) -> tuple[int, bytes] | None:
    """The exit code of a process and what it has printed; None where it could not be started.

    `stderr` is as for `subprocess`: None is the daemon's own. Cancelled, the process is killed.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    except OSError:
        return None
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return process.returncode, output
