"""uvicorn's protocol on sockets of our own: no signals, no lifespan, no clock that ticks when idle.

Only the protocol class of uvicorn is used. Its server would take SIGTERM, make Unix sockets of mode
0666 and wake ten times a second; what remains of it here is what a server must do: accept, count
connections, and at the end let requests finish within a deadline.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from collector.errors import AddressTaken
from collector.event import Producer
from collector.web.gate import App, Receive, Scope, Send
from collector.web.identity import PEER_KEY

KEEP_ALIVE: Final = 15
"""Seconds that an idle connection stays open."""
CONNECTIONS_MAX: Final = 1024
"""Connections, streams included; more are answered 503."""
GRACE: Final = 2.0
"""Seconds that requests have to finish when the server stops."""

logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


class Transport:
    """Serves one application on any number of sockets. Use `listen`, then `stop`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._config = _config(app)

    async def listen(
        self,
        listener: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        peer_of: Callable[[socket.socket], Producer] | None = None,
    ) -> None:
        """Accept on a bound socket. With `peer_of`, requests carry the kernel's word on the peer."""
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            return _Protocol(self._config, self._state, self._app, peer_of)

        self._servers.append(await loop.create_server(protocol, sock=listener, ssl=tls))

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._state.connections)

    async def stop(self) -> None:
        """Accept no more, let requests finish, then cancel what is left. Streams end before this."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=GRACE)
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        for connection in list(self._state.connections):
            connection.transport.abort()


class _Protocol(H11Protocol):
    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        app: App,
        peer_of: Callable[[socket.socket], Producer] | None,
    ) -> None:
        super().__init__(config, state, {})
        self._own_app = app
        self._peer_of = peer_of

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio; the peer's credentials are asked for once, while it is surely there."""
        super().connection_made(transport)
        self.app: Any = self._own_app
        if self._peer_of is not None:
            connection = transport.get_extra_info("socket")
            self.app = _with_peer(self._own_app, self._peer_of(connection))


def _with_peer(app: App, peer: Producer) -> App:
    async def attested(scope: Scope, receive: Receive, send: Send) -> None:
        scope[PEER_KEY] = peer
        await app(scope, receive, send)

    return attested


def _config(app: App) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        interface="asgi3",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        limit_concurrency=CONNECTIONS_MAX,
    )
    config.load()
    return config


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets for a host name or address, one for each of its addresses.

    Raises `AddressTaken` with the configuration's keys.
    """
    flags = socket.AI_PASSIVE | socket.AI_ADDRCONFIG
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except OSError as error:
        raise AddressTaken(f"web.host: {host}: {error.strerror}") from error
    bound: list[socket.socket] = []
    try:
        for family, kind, number, _, address in dict.fromkeys(found):
            bound.append(_listener(family, kind, number, _same_port(address, bound)))
    except OSError as error:
        for each in bound:
            each.close()
        name, bound_to = str(address[0]), str(address[1])
        where = f"[{name}]:{bound_to}" if ":" in name else f"{name}:{bound_to}"
        raise AddressTaken(
            f"web.host, web.port: cannot listen on {where}: {error.strerror}"
        ) from error
    return bound


def _listener(family: int, kind: int, number: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, kind, number)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(512)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _same_port(address: Any, bound: list[socket.socket]) -> tuple[Any, ...]:
    """With port 0 the second address takes the port that the first one got."""
    if address[1] == 0 and bound:
        return (address[0], bound[0].getsockname()[1], *address[2:])
    return tuple(address)
