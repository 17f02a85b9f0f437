"""What a configuration needs of this machine: asked by `collector check`, before a start finds out."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator

from collector.config.schema import Settings
from collector.errors import ConfigError


def missing(settings: Settings) -> Iterator[ConfigError]:
    """Every group or file that is named and not there."""
    unix, web = settings.sources.unix, settings.web
    groups = {f"sources.unix.admin_groups[{i}]": name for i, name in enumerate(unix.admin_groups)}
    for path, group in {"sources.unix.group": unix.group, **groups}.items():
        if group is not None and not _is_group(group):
            yield ConfigError(f'there is no group "{group}" on this machine', path)
    files = {"web.tls_cert": web.tls_cert, "web.tls_key": web.tls_key} if web.enabled else {}
    for path, file in files.items():
        if file is not None and not os.access(file, os.R_OK):
            yield ConfigError(f"{file} is not there, or may not be read", path)


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
