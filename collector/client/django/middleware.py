"""Who asks, from where, in which transaction: said once for everything a request records."""

# Django comes without types.
# mypy: disable-error-code="import-untyped, misc, no-any-return"

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings

from collector.client.addresses import Proxies
from collector.client.context import ambient, enter, leave
from collector.client.requests import asker, correlation


class CollectorMiddleware:
    """What a request records carries its user, its address and its trace.

    `settings.COLLECTOR_TRUSTED_PROXIES` lists the proxies whose forwarding headers count. Works in
    both worlds; the user is asked for when something is recorded, so that it costs no query of its
    own. In a coroutine a user that nobody has loaded yet is not loaded for our sake.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._proxies = Proxies(getattr(settings, "COLLECTOR_TRUSTED_PROXIES", ()))
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self._async:
            return self._respond(request)
        token = enter({**ambient(), **self._fields(request)})
        try:
            return self.get_response(request)
        finally:
            leave(token)

    async def _respond(self, request: Any) -> Any:
        token = enter({**ambient(), **self._fields(request)})
        try:
            return await self.get_response(request)
        finally:
            leave(token)

    def _fields(self, request: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {"actor": asker(partial(_user, request))}
        try:
            meta = request.META
            fields["ip"] = self._proxies.client(
                meta.get("REMOTE_ADDR"),
                meta.get("HTTP_X_FORWARDED_FOR", ""),
                meta.get("HTTP_FORWARDED", ""),
            )
            fields["correlation_id"] = correlation(meta.get("HTTP_TRACEPARENT"))
        except Exception:  # auditing never stands in a request's way
            pass
        return fields


def _user(request: Any) -> Any:
    """The user; what `request.auser()` found where a coroutine asked for it."""
    return getattr(request, "_acached_user", None) or getattr(request, "user", None)
