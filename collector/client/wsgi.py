"""WSGI middleware: the same as `asgi`, for Flask, Django under WSGI and any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, Unpack

from collector.client.addresses import Proxies
from collector.client.context import ambient, enter, leave
from collector.client.fields import Circumstances, Who
from collector.client.requests import asker, correlation

Environ: TypeAlias = dict[str, Any]
App: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class AuditWSGIMiddleware:
    """Wraps a WSGI application. Arguments as `AuditMiddleware`'s; `actor` gets the environ, and by
    default `REMOTE_USER` is the user. A body that is produced while it is sent belongs to it."""

    def __init__(
        self,
        app: App,
        *,
        actor: Callable[[Environ], Who | Any] | None = None,
        trusted_proxies: Iterable[str] = (),
        **fields: Unpack[Circumstances],
    ) -> None:
        self.app = app
        self._actor = actor or (lambda environ: environ.get("REMOTE_USER") or None)
        self._proxies = Proxies(trusted_proxies)
        self._fields = fields

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        fields = {**ambient(), **self._request(environ)}
        token = enter(fields)
        try:
            body = self.app(environ, start_response)
        finally:
            leave(token)
        # A finished body goes on as it is: servers look at its length and at `wsgi.file_wrapper`.
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(body, list | tuple) or (
            isinstance(wrapper, type) and isinstance(body, wrapper)
        ):
            return body
        return _Body(body, fields)

    def _request(self, environ: Environ) -> dict[str, Any]:
        fields: dict[str, Any] = {**self._fields, "actor": asker(lambda: self._actor(environ))}
        try:
            fields["ip"] = self._proxies.client(
                environ.get("REMOTE_ADDR"),
                environ.get("HTTP_X_FORWARDED_FOR", ""),
                environ.get("HTTP_FORWARDED", ""),
            )
            fields.setdefault("correlation_id", correlation(environ.get("HTTP_TRACEPARENT")))
        except Exception:  # a server that breaks PEP 3333
            pass
        return fields


class _Body:
    """A body whose every step, and whose end, happens within the request's context."""

    def __init__(self, body: Iterable[bytes], fields: Mapping[str, Any]) -> None:
        self._body = body
        self._fields = fields
        self._steps: Iterator[bytes] | None = None

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        token = enter(self._fields)
        try:
            if self._steps is None:
                self._steps = iter(self._body)
            return next(self._steps)
        finally:
            leave(token)

    def close(self) -> None:
        """The server has sent it, or gave up."""
        close = getattr(self._body, "close", None)
        if close is None:
            return
        token = enter(self._fields)
        try:
            close()
        finally:
            leave(token)
