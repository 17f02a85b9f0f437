"""What the handlers work with, put together once for an application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import Struct

from collector.config import Config
from collector.core.control import Control
from collector.hub import Hub
from collector.intake import Intake
from collector.journal.reader import Reader
from collector.web.denials import Denials
from collector.web.guesses import Guesses
from collector.web.identity import SCOPE_KEY, Identity
from collector.web.session import Sessions


class Services(Struct, frozen=True, eq=False):
    """`wall` is seconds since the epoch."""

    config: Config
    control: Control
    reader: Reader
    intake: Intake
    hub: Hub
    sessions: Sessions
    denials: Denials
    guesses: Guesses
    wall: Callable[[], float]


Given: TypeAlias = NamedDependency[SkipValidation[Services]]
Who: TypeAlias = NamedDependency[SkipValidation[Identity]]


def identity_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Identity:
    """Who asks, as the gate found out."""
    scope: Any = connection.scope
    identity: Identity = scope[SCOPE_KEY]
    return identity


def provide_who(request: Request[Any, Any, Any]) -> Identity:
    """The dependency `who`."""
    return identity_of(request)


def provide_services(state: State) -> Services:
    """The dependency `services`."""
    services: Services = state["services"]
    return services
