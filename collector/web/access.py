"""What each role may do: guards for the handlers, one a kind of path.

They are coroutines because Litestar runs plain functions in threads, and refusals are recorded.
"""

from __future__ import annotations

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from collector.web.guesses import ADDRESS_KEY
from collector.web.identity import Identity
from collector.web.problems import Refused, of_error
from collector.web.services import Services, identity_of

Connection = ASGIConnection[Any, Any, Any, Any]


async def may_read(connection: Connection, handler: BaseRouteHandler) -> None:
    """Admins and viewers, anonymous ones included where the configuration lets them."""
    _check(connection, identity_of(connection), ("admin", "viewer"))


async def may_read_all(connection: Connection, handler: BaseRouteHandler) -> None:
    """As `may_read`, but for what belongs to no tenant."""
    who = identity_of(connection)
    _check(connection, who, ("admin", "viewer"))
    _whole(connection, who)


async def may_take_away(connection: Connection, handler: BaseRouteHandler) -> None:
    """Export: readers who have said who they are."""
    who = identity_of(connection)
    _known(connection, who)
    _check(connection, who, ("admin", "viewer"))


async def has_said_who(connection: Connection, handler: BaseRouteHandler) -> None:
    """Anyone but an anonymous caller."""
    _known(connection, identity_of(connection))


async def may_record(connection: Connection, handler: BaseRouteHandler) -> None:
    """POST of events."""
    _check(connection, identity_of(connection), ("admin", "producer"))


async def may_administer(connection: Connection, handler: BaseRouteHandler) -> None:
    """Settings, keys, devices, clearing: an admin of the whole journal, never anonymous."""
    who = identity_of(connection)
    _known(connection, who)
    _check(connection, who, ("admin",))
    _whole(connection, who)


def _known(connection: Connection, who: Identity) -> None:
    if not who.known:
        _refuse(connection, who, _unauthorized())


def _check(connection: Connection, who: Identity, roles: tuple[str, ...]) -> None:
    if who.role in roles:
        return
    if not who.known:
        _refuse(connection, who, _unauthorized())
    needed = " or ".join(roles)
    detail = f"the role {who.role} may not do this; it needs {needed}"
    _refuse(connection, who, Refused("denied", detail))


def _whole(connection: Connection, who: Identity) -> None:
    if who.tenant_id is not None:
        _refuse(connection, who, Refused("denied", "a key of one tenant may not do this"))


def _unauthorized() -> Refused:
    return Refused(
        "unauthorized",
        "this needs a key: Authorization: Bearer KEY, from `collector keys add LABEL --role ROLE`",
        {"WWW-Authenticate": "Bearer"},
    )


def _refuse(connection: Connection, who: Identity, refused: Refused) -> None:
    services: Services = connection.app.state["services"]
    scope: Any = connection.scope
    about = {"method": scope["method"][:20], "path": scope["path"][:200]}
    address = scope.get(ADDRESS_KEY)
    services.denials.record(of_error(refused).code, address, who.actor, about)
    raise refused
