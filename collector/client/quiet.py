"""Listeners inside somebody else's transaction: what fails in them breaks nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from collector.client import notices
from collector.errors import CollectorError

F = TypeVar("F", bound=Callable[..., Any])


class Meant(Exception):
    """Raised by an integration on purpose, for the programmer to see."""


def quiet(listener: F) -> F:
    """Auditing never breaks a save, but where it says so on purpose (`Meant`, a strict sink)."""

    @wraps(listener)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return listener(*args, **kwargs)
        except (Meant, CollectorError):
            raise
        except Exception as error:
            notices.refused("failed", f"a change could not be collected: {type(error).__name__}")

    return call  # type: ignore[return-value]
