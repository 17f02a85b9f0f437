"""HTTP as a part of the daemon: its sockets, and who peers on `api.sock` are."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from collector.daemon.measuring import page_url
from collector.sources.peer import is_admin, peer_of
from collector.sources.socket_file import SocketFile

if TYPE_CHECKING:
    from collector.daemon.daemon import Daemon

READERS: Final = 3
"""Questions over HTTP that are answered at a time; a slow one does not hold up the page."""

_log = logging.getLogger(__name__)


class WebPart:
    """What `status` says of HTTP: where it listens."""

    def __init__(self, api_socket: str | None) -> None:
        self.urls: list[str] = []
        self.api_socket = api_socket

    def status(self) -> dict[str, Any]:
        """The addresses in use; none before the sockets are bound."""
        return {"urls": self.urls, "api_socket": self.api_socket}


def installed() -> bool:
    """Whether the extra `web` is there; says once how to add it where it is not."""
    missing = [name for name in ("litestar", "uvicorn", "prometheus_client") if not _there(name)]
    if missing:
        _log.warning(
            "no page and no HTTP: %s not installed; pip install 'collector[web]' adds it, or set"
            " web.enabled = false; recording goes on",
            " and ".join(missing),
        )
    return not missing


async def run(daemon: Daemon) -> None:
    """Serve until cancelled."""
    from collector.journal.reader import Reader
    from collector.web.serving import serve

    config = daemon.config
    api = _api_socket(daemon)
    part = WebPart(api.path if api else None)
    daemon.details["web"] = part

    def started(urls: list[str]) -> None:
        part.urls.extend(urls)
        daemon.web_port = urlsplit(urls[0]).port
        if not config.web.port:
            _log.info("%-8s %s", "page", page_url(daemon))

    try:
        async with Reader.open(daemon.path, connections=READERS) as reader:
            await serve(
                config,
                daemon.control,
                reader,
                daemon.intake,
                daemon.hub,
                api_listener=api.listener if api else None,
                peer_of=peer_of,
                is_admin=lambda peer: is_admin(peer, config.sources.unix.admin_groups),
                wall=daemon.wall,
                started=started,
            )
    finally:
        daemon.details.pop("web", None)
        daemon.web_port = None
        if api is not None:
            api.close()


def _api_socket(daemon: Daemon) -> SocketFile | None:
    """`api.sock` beside the ingest socket, with its group and mode."""
    unix = daemon.config.sources.unix
    if not unix.enabled:
        return None
    return SocketFile(str(Path(unix.path).with_name("api.sock")), unix.mode, unix.group)


def _there(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
