"""Optional parts of the daemon: each runs in a task, and one that fails is tried again.

mDNS, health, HTTP, NATS and plugins may fail without recording stopping. A part that fails is
started again after a pause that doubles, and `status` shows what state it is in and why.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a failed part is started again."""
STEADY: Final = 60.0
"""Seconds of running after which a part's earlier failures no longer count."""

_log = logging.getLogger(__name__)


class Part:
    """One optional part. `run` is called for each start; it runs until it is cancelled."""

    def __init__(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.state = "stopped"
        self.error: str | None = None
        self.failures = 0
        self._run = run
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in a task of its own."""
        self._task = asyncio.get_running_loop().create_task(self._supervise(), name=self.name)

    async def stop(self) -> None:
        """End, and wait for the end."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.state = "stopped"

    def status(self) -> dict[str, Any]:
        """State and the last error."""
        return {"state": self.state, "error": self.error, "failures": self.failures}

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            self.state = "running"
            began = loop.time()
            try:
                await self._run()
                self.state = "finished"
                return
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"[:300]
                self.failures += 1
                self.state = "waiting"
                if loop.time() - began >= STEADY:
                    pause = FIRST_PAUSE
                _log.warning(
                    "%s failed and is tried again in %g s: %s", self.name, pause, self.error
                )
                _log.debug("%s failed", self.name, exc_info=True)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
