"""What a configuration needs of this machine: asked by `collector check`, before a start finds out."""

from __future__ import annotations

import grp
import os

from collector.config.schema import Settings
from collector.errors import ConfigError


def check(settings: Settings) -> None:
    """Raise ConfigError for the first group or file that is named and not there."""
    unix, web = settings.sources.unix, settings.web
    _group(unix.group, "sources.unix.group")
    for index, name in enumerate(unix.admin_groups):
        _group(name, f"sources.unix.admin_groups[{index}]")
    if web.enabled:
        _file(web.tls_cert, "web.tls_cert")
        _file(web.tls_key, "web.tls_key")


def _group(name: str | None, path: str) -> None:
    if name is None:
        return
    try:
        grp.getgrnam(name)
    except KeyError:
        raise ConfigError(f'there is no group "{name}" on this machine', path) from None


def _file(file: str | None, path: str) -> None:
    if file is not None and not os.access(file, os.R_OK):
        raise ConfigError(f"{file} is not there, or may not be read", path)
