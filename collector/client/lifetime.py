"""Forks and the end of a process: a client goes on after the one and delivers before the other.

    at fork    every client forgets what is its parent's
    at exit    every client ends: it delivers what it holds, within its own timeout, and from then
               on each call delivers its own event before it returns

This module is imported with the library, so that the hooks are there before the first event, in
whichever process that is recorded. A child of `multiprocessing` skips exit handlers and runs the
finalizers of `multiprocessing.util`; that module is looked for, and never imported. See
docs/decisions/0013-the-end-of-a-process.md.
"""

from __future__ import annotations

import atexit
import os
import sys
from threading import RLock
from typing import Any, Final, Protocol

FINALIZER_PRIORITY: Final = 100
"""Before the finalizers of others, which may wait: whoever joins a child may lose patience."""


class Alive(Protocol):
    """What has something to do at a fork and at the end."""

    def after_fork(self) -> None: ...
    def end(self, timeout: float) -> bool: ...


_open: Final[dict[int, tuple[Alive, float]]] = {}
_lock = RLock()
_ending = False
_watches_children = False


def watch(delivery: Alive, timeout: float) -> None:
    """Care for `delivery` until `forget`; `timeout` (s) is what its end may take."""
    with _lock:
        _open[id(delivery)] = (delivery, timeout)
    if _ending:
        delivery.end(timeout)


def forget(delivery: Alive) -> None:
    """It is closed."""
    with _lock:
        _open.pop(id(delivery), None)


def _end_all() -> None:
    global _ending
    _ending = True
    for delivery, timeout in list(_open.values()):
        delivery.end(timeout)


def _at_exit() -> None:
    """What `__del__` may want after this cannot be imported any more: have it now."""
    functions = sys.modules.get("collector.client.functions")
    try:
        if functions is not None:
            functions.default()
    finally:
        _end_all()


def _after_fork() -> None:
    global _lock, _ending
    _lock = RLock()
    _ending = False
    for delivery, _ in list(_open.values()):
        delivery.after_fork()
    _watch_children()


def _watch_children() -> None:
    """Have `_on_child_start` called in every child that `multiprocessing` makes, if it is loaded."""
    global _watches_children
    util: Any = sys.modules.get("multiprocessing.util")
    if _watches_children or not hasattr(util, "register_after_fork"):  # not there, or not yet whole
        return
    _watches_children = True
    # `Process._bootstrap` clears the finalizers before it runs what is registered here.
    util.register_after_fork(_anchor, _on_child_start)
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        _on_child_start(_anchor)  # this is a child, past that point


def _on_child_start(_: object) -> None:
    util: Any = sys.modules["multiprocessing.util"]
    util.Finalize(None, _end_all, exitpriority=FINALIZER_PRIORITY)


class _Anchor:
    """`register_after_fork` holds its object weakly."""


_anchor: Final = _Anchor()
atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
_watch_children()
