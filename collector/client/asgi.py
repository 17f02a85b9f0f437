"""Pure ASGI middleware: what a request records carries its user, its address and its trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias, Unpack

from collector.client.addresses import Proxies
from collector.client.context import ambient, enter, leave
from collector.client.fields import Circumstances, Who
from collector.client.requests import asker, correlation

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class AuditMiddleware:
    """Wraps an ASGI application: Starlette, FastAPI, Litestar, Django, any other.

    `actor` gets the connection's scope when something is recorded and returns the actor (any form)
    or the application's user object, or None; by default the scope's `user`, where authentication
    middleware of Starlette and Litestar puts it, inside or outside of this one. `trusted_proxies`
    are those whose `X-Forwarded-For` or `Forwarded` count. Further fields, such as `channel`, hold
    for every event.
    """

    def __init__(
        self,
        app: App,
        *,
        actor: Callable[[Scope], Who | Any] | None = None,
        trusted_proxies: Iterable[str] = (),
        **fields: Unpack[Circumstances],
    ) -> None:
        self.app = app
        self._actor = actor or (lambda scope: scope.get("user"))
        self._proxies = Proxies(trusted_proxies)
        self._fields = fields

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        token = enter({**ambient(), **self._request(scope)})
        try:
            await self.app(scope, receive, send)
        finally:
            leave(token)

    def _request(self, scope: Scope) -> dict[str, Any]:
        """The fields of one request; auditing never stands in its way."""
        fields: dict[str, Any] = {**self._fields, "actor": asker(lambda: self._actor(scope))}
        try:
            headers = _headers(scope)
            peer = scope.get("client")
            fields["ip"] = self._proxies.client(
                peer[0] if peer else None,
                headers.get("x-forwarded-for", ""),
                headers.get("forwarded", ""),
            )
            fields.setdefault("correlation_id", correlation(headers.get("traceparent")))
        except Exception:  # a server that breaks the ASGI specification
            pass
        return fields


def _headers(scope: Scope) -> dict[str, str]:
    """The few headers that matter; one that is given twice is one list (RFC 9110)."""
    found: dict[str, str] = {}
    for raw, value in scope.get("headers") or ():
        name = raw.lower()
        if name in (b"x-forwarded-for", b"forwarded", b"traceparent"):
            key, text = name.decode("latin-1"), value.decode("latin-1")
            found[key] = f"{found[key]},{text}" if key in found else text
    return found
