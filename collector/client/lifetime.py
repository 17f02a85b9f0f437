"""Forks and the interpreter's end: a client goes on after the one and delivers before the other.

Every open delivery is known here. A forked child forgets what is its parent's. At exit each one is
closed within its own timeout; a child of `multiprocessing`, which skips `atexit`, has a finalizer.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from threading import RLock
from typing import Any, Final, Protocol


class Alive(Protocol):
    """What has something to do at a fork and at the end."""

    def after_fork(self) -> None: ...
    def close(self, timeout: float) -> bool: ...


_open: Final[dict[int, tuple[Alive, float]]] = {}
_lock = RLock()


def watch(delivery: Alive, timeout: float) -> None:
    """Care for `delivery` until `forget`; `timeout` (s) is what its close may take at exit."""
    with _lock:
        _open[id(delivery)] = (delivery, timeout)


def forget(delivery: Alive) -> None:
    """It is closed."""
    with _lock:
        _open.pop(id(delivery), None)


def _close_all() -> None:
    for delivery, timeout in list(_open.values()):
        delivery.close(timeout)
    _open.clear()


def _after_fork() -> None:
    global _lock
    _lock = RLock()
    for delivery, _ in list(_open.values()):
        delivery.after_fork()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        _at_child_end(util)


def _at_child_end(util: Any) -> None:
    """`Process._bootstrap` clears the finalizers before it runs those of `register_after_fork`."""
    finalize: Callable[..., Any] = util.Finalize
    util.register_after_fork(_anchor, lambda _: finalize(None, _close_all, exitpriority=100))


class _Anchor:
    """`register_after_fork` holds its object weakly."""


_anchor: Final = _Anchor()
atexit.register(_close_all)
os.register_at_fork(after_in_child=_after_fork)
