"""Serving: the optional task that the daemon runs where `web.enabled`."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import cast

from collector.config import Config
from collector.core.control import Control, Key
from collector.errors import ConfigError
from collector.event import Producer
from collector.hub import Hub
from collector.intake import Intake
from collector.journal.reader import Reader
from collector.web.app import application
from collector.web.denials import Denials
from collector.web.exposure import check
from collector.web.gate import App, Gate, rules
from collector.web.guesses import Guesses
from collector.web.services import Services
from collector.web.session import Sessions
from collector.web.transport import Transport, bind

_log = logging.getLogger(__name__)


async def serve(
    config: Config,
    control: Control,
    reader: Reader,
    intake: Intake,
    hub: Hub,
    *,
    api_listener: socket.socket | None = None,
    peer_of: Callable[[socket.socket], Producer] | None = None,
    is_admin: Callable[[Producer], bool] = lambda producer: False,
    wall: Callable[[], float] = time.time,
    listeners: Sequence[socket.socket] | None = None,
    started: Callable[[list[str]], None] = lambda urls: None,
) -> None:
    """Serve until cancelled, or until the hub closes and the task is cancelled after it.

    `api_listener` is the bound Unix socket `api.sock`; with it come `peer_of` and `is_admin`.
    `listeners` are bound TCP sockets, by default made from `[web]`. `started` hears the URLs.
    Raises `ConfigError` for a configuration that would be unsafe, `AddressTaken` where the port is.
    """
    check(config.web.host, len(control.keys()))
    tls = _tls(config)
    gate = gated(config, control, reader, intake, hub, is_admin=is_admin, wall=wall)
    bound = list(listeners) if listeners is not None else bind(config.web.host, config.web.port)
    transport = Transport(gate)
    try:
        for listener in bound:
            await transport.listen(listener, tls=tls)
        if api_listener is not None:
            await transport.listen(api_listener, peer_of=peer_of)
        started([_url(listener, tls is not None) for listener in bound])
        await asyncio.get_running_loop().create_future()
    finally:
        await asyncio.shield(transport.stop())


def gated(
    config: Config,
    control: Control,
    reader: Reader,
    intake: Intake,
    hub: Hub,
    *,
    is_admin: Callable[[Producer], bool] = lambda producer: False,
    wall: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> Gate:
    """The whole application behind its gate."""

    def key_of(label: str) -> Key | None:
        known = control.keys()
        return next((key for key in known if key.label == label), None)

    web = config.web
    denials = Denials(intake, monotonic)
    sessions = Sessions(secrets.token_bytes(32), wall, key_of)
    guesses = Guesses(control.find_key, monotonic)
    services = Services(config, control, reader, intake, hub, sessions, denials, guesses, wall)
    return Gate(
        cast(App, application(services)),
        rules(web.host, web.hosts, web.anonymous, [str(each) for each in web.trusted_proxies]),
        sessions,
        denials,
        guesses,
        is_admin,
    )


def _tls(config: Config) -> ssl.SSLContext | None:
    certificate, key = config.web.tls_cert, config.web.tls_key
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{certificate}: {error}", "web.tls_cert") from error
    return context


def _url(listener: socket.socket, secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}/"
