"""The process around a daemon: signals, systemd, logging and exit codes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Final

from collector.config import Config
from collector.daemon.daemon import Daemon
from collector.daemon.measuring import page_url
from collector.errors import EXIT_FAILED, EXIT_IOERR, EXIT_NOPERM, EXIT_OK, CollectorError
from collector.notify import Notifier, listen_sockets, watchdog_interval

_log = logging.getLogger("collector")


def run(
    config: Config,
    *,
    read_config: Callable[[], Config] | None = None,
    on_ready: Callable[[Daemon], None] = lambda daemon: None,
) -> int:
    """Run a daemon until a signal or a failure ends it; returns the exit code.

    `read_config` reads the configuration again for a reload; `on_ready` is called when everything
    is up. Errors are said on stderr.
    """
    set_up_logging(config.log.level)
    try:
        return asyncio.run(_run(config, read_config, on_ready))
    except (CollectorError, OSError) as error:
        _log.error("%s", error)
        return _exit_code(error)


def set_up_logging(level: str) -> None:
    """Messages to stderr; under systemd with the priority prefix that the journal understands."""
    handler = logging.StreamHandler(sys.stderr)
    under_systemd = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(_Prefixed() if under_systemd else logging.Formatter(_FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.ERROR)


_FORMAT: Final = "%(asctime)s %(levelname)-7s %(message)s"
_PRIORITIES: Final = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7}


class _Prefixed(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelname, 6)}>{record.getMessage()}"


async def _run(
    config: Config,
    read_config: Callable[[], Config] | None,
    on_ready: Callable[[Daemon], None],
) -> int:
    notifier = Notifier()
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_stop, stop, number)
    listener = next((opened for _, opened in listen_sockets()), None)
    daemon = Daemon(config, read_config=read_config, listener=listener)
    loop.add_signal_handler(signal.SIGHUP, _on_reload, daemon, notifier)
    await daemon.start()
    _look_for_garbage_less_often()
    on_ready(daemon)
    _say_where(daemon)
    notifier.ready(f"recording to {daemon.path}")
    feeding = asyncio.create_task(_feed_watchdog(notifier))
    waiting: set[asyncio.Future[Any]] = {stop, daemon.failing.ended}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    feeding.cancel()
    notifier.stopping("writing down what was received")
    broken = daemon.failing.ended.result() if daemon.failing.ended.done() else None
    await daemon.stop(record=broken is None)
    notifier.close()
    if broken is None:
        return EXIT_OK
    return _exit_code(broken)


def _exit_code(error: BaseException) -> int:
    """What an error comes to that ends the daemon."""
    if isinstance(error, CollectorError):
        return error.exit_code
    if isinstance(error, OSError):
        return EXIT_NOPERM if isinstance(error, PermissionError) else EXIT_IOERR
    return EXIT_FAILED


def _look_for_garbage_less_often() -> None:
    """What is there after the start stays; recording makes thousands of objects a turn, and no cycles.

    At the defaults the cyclic collector walks through them seven times a batch, for a tenth of
    recording's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _say_where(daemon: Daemon) -> None:
    where = {
        "journal": str(daemon.path),
        "socket": daemon.config.sources.unix.path if daemon.unix is not None else None,
        # With `web.port = 0` it is said when the port is bound.
        "page": page_url(daemon) if daemon.config.web.port else None,
    }
    for name, place in where.items():
        if place:
            _log.info("%-8s %s", name, place)
    entries = daemon.janitor.pruner.entries
    _log.info("ready: %d %s so far", entries, "entry" if entries == 1 else "entries")


def _on_stop(stop: asyncio.Future[None], number: int) -> None:
    """The first signal asks for an end; a second one does not ask."""
    if stop.done():
        os._exit(128 + number)
    stop.set_result(None)


def _on_reload(daemon: Daemon, notifier: Notifier) -> None:
    notifier.reloading()
    try:
        daemon.control.reload(None)
        _log.info("configuration reloaded")
    except CollectorError as error:
        for line in str(error).splitlines():
            _log.error("configuration not reloaded: %s", line)
    notifier.ready()


async def _feed_watchdog(notifier: Notifier) -> None:
    """Fed by the loop: a commit that hangs, hangs the loop, and the service manager notices."""
    interval = watchdog_interval()
    while interval:
        notifier.watchdog()
        await asyncio.sleep(interval / 2)
