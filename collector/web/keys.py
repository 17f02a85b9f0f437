"""API keys, and the session of a browser that logged in with one."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias, cast

from litestar import Request, Response, delete, get, post
from litestar.datastructures import Cookie
from litestar.params import PathParameter
from msgspec import Meta, Struct

from collector.core.control import Key, Role
from collector.event import Principal
from collector.web.access import has_said_who, may_administer
from collector.web.bodies import read
from collector.web.guesses import ADDRESS_KEY
from collector.web.identity import Identity, of_key
from collector.web.patterns import LABEL
from collector.web.problems import Refused
from collector.web.services import Given, Services, Who
from collector.web.session import COOKIE, LIFETIME

Label: TypeAlias = Annotated[str, Meta(pattern=LABEL)]


class NewKey(Struct, forbid_unknown_fields=True):
    """What a key is to be called and may do; `tenant_id` binds it to one tenant."""

    label: Label
    role: Role
    tenant_id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class MadeKey(Struct):
    """A new key; `secret` is shown this once."""

    key: Key
    secret: str


class KeyList(Struct):
    """Every key, without secrets."""

    keys: list[Key]


class Login(Struct, forbid_unknown_fields=True):
    """A key, to be exchanged for a cookie."""

    key: Annotated[str, Meta(min_length=1, max_length=200)]


class Session(Struct, kw_only=True):
    """Who the caller is; `role` null may do nothing, `known` is false for an anonymous one.

    Seqs are those of the journal `journal_id`: where it changes, cursors kept from before are void.
    """

    role: Role | None
    known: bool
    actor: Principal
    tenant_id: str | None
    journal_id: str


@get("/keys", guards=[may_administer], tags=["keys"], operation_id="listKeys")
async def list_keys(services: Given) -> KeyList:
    """Every key, without secrets."""
    return KeyList(services.control.keys())


@post("/keys", guards=[may_administer], tags=["keys"], operation_id="addKey")
async def add_key(request: Request[Any, Any, Any], services: Given, who: Who) -> MadeKey:
    """Make a key; its secret is in this answer and nowhere else."""
    data = await read(request, NewKey)
    known = services.control.keys()
    if any(key.label == data.label for key in known):
        raise Refused("conflict", f"there is a key {data.label!r} already; revoke it first")
    secret = services.control.add_key(data.label, data.role, data.tenant_id, who.caller)
    made = services.control.find_key(secret)
    assert made is not None
    return MadeKey(made, secret)


@delete("/keys/{label:str}", guards=[may_administer], tags=["keys"], operation_id="revokeKey")
async def revoke_key(
    services: Given, who: Who, label: Annotated[str, PathParameter(pattern=LABEL)]
) -> None:
    """Revoke a key; its sessions end at once."""
    try:
        services.control.revoke_key(label, who.caller)
    except LookupError:
        raise Refused("not_found", f"there is no key {label!r}") from None


@get("/session", tags=["session"], operation_id="getSession")
async def get_session(services: Given, who: Who) -> Session:
    """Who the caller is, and of which journal."""
    return _session(services, who)


@post("/session", tags=["session"], operation_id="login", status_code=200)
async def login(request: Request[Any, Any, Any], services: Given) -> Response[Session]:
    """Exchange a key for a cookie, so that the page need not keep the key."""
    secret, scope = (await read(request, Login)).key, cast(dict[str, Any], request.scope)
    try:
        key = services.guesses.find(secret, scope)
        if key is None:
            raise Refused("unauthorized", "this key is not known")
    except Refused as refused:
        nobody = Principal(type="anonymous", name="anonymous")
        about = {"method": "POST", "path": "/api/v1/session"}
        services.denials.record(refused.code, scope.get(ADDRESS_KEY), nobody, about)
        raise
    cookie = Cookie(
        key=COOKIE,
        value=services.sessions.issue(key),
        path="/",
        max_age=LIFETIME,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return Response(_session(services, of_key(key)), cookies=[cookie])


@delete("/session", guards=[has_said_who], tags=["session"], operation_id="logout")
async def logout() -> Response[None]:
    """Forget the cookie."""
    gone = Cookie(key=COOKIE, value="", path="/", max_age=0, httponly=True, samesite="strict")
    return Response(None, status_code=204, cookies=[gone])


def _session(services: Services, who: Identity) -> Session:
    return Session(
        role=who.role,
        known=who.known,
        actor=who.actor,
        tenant_id=who.tenant_id,
        journal_id=services.intake.journal.id,
    )


HANDLERS: Final[list[Any]] = [list_keys, add_key, revoke_key, get_session, login, logout]
