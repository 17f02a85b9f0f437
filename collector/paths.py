"""Where things are when nobody says: the default places, and how a client finds a daemon's.

This is a leaf: it imports `os` and nothing else, so that `collector emit` and every program that
imports `collector.client` can afford it. A configuration file is read (with `tomllib`) only where
one exists and neither a flag nor an environment variable has answered before.

The daemon and its clients look in different places on purpose. systemd's `$STATE_DIRECTORY`,
`$RUNTIME_DIRECTORY` and `$CONFIGURATION_DIRECTORY` belong to the unit that a process runs in: in
the daemon they are its own, in a client they are some other program's and mean nothing here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

SOCKET_NAME: Final = "collector.sock"
DATABASE_NAME: Final = "events.db"
CONFIG_NAME: Final = "config.toml"

SYSTEM_SOCKET: Final = "/run/collector/collector.sock"
SYSTEM_DATABASE: Final = "/var/lib/collector/events.db"
SYSTEM_CONFIG: Final = "/etc/collector/config.toml"

SUN_PATH_MAX: Final = 107
"""Bytes of a Unix socket's path: `sun_path` in `sys/un.h` holds 108 with its closing NUL."""


def default_database(environ: Mapping[str, str] = os.environ) -> str:
    """The daemon's journal: below `$STATE_DIRECTORY`, else below the user's state directory."""
    state = _unit_directory(environ, "STATE_DIRECTORY")
    return os.path.join(state, DATABASE_NAME) if state else _user_database(environ)


def default_socket(environ: Mapping[str, str] = os.environ, database: str | None = None) -> str:
    """The daemon's socket: `$RUNTIME_DIRECTORY`, else `$XDG_RUNTIME_DIR`, else beside the journal.

    `database` is the journal's path where the configuration names one.
    """
    runtime = _unit_directory(environ, "RUNTIME_DIRECTORY")
    if runtime:
        return os.path.join(runtime, SOCKET_NAME)
    beside = os.path.dirname(database or default_database(environ))
    return _session_socket(environ) or os.path.join(beside, SOCKET_NAME)


def config_file(
    explicit: str | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    client: bool = False,
) -> str | None:
    """The configuration file that counts, or None where the defaults serve.

    A file that was named (`explicit`, `$COLLECTOR_CONFIG`) is returned whether or not it exists, so
    that a wrong name is an error and never a silent default; of the other places the first that
    exists counts. A `client` passes over `$CONFIGURATION_DIRECTORY`.
    """
    named = explicit or environ.get("COLLECTOR_CONFIG")
    if named:
        return os.path.expanduser(named)
    unit = None if client else _unit_directory(environ, "CONFIGURATION_DIRECTORY")
    user = _user_directory(environ, "XDG_CONFIG_HOME", ".config")
    places = (
        os.path.join(unit, CONFIG_NAME) if unit else None,
        os.path.join(user, "collector", CONFIG_NAME) if user else None,
        SYSTEM_CONFIG,
    )
    return next((place for place in places if place and os.path.lexists(place)), None)


def socket_path(
    explicit: str | None = None,
    config: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """The socket a client should connect to.

    In this order: `explicit` (a flag or argument), `$COLLECTOR_SOCKET`, `sources.unix.path` of the
    configuration, then the first that exists of the system's socket, the session's, and the one
    beside the journal. Where none exists, the place where a daemon of this user would put it.
    Raises OSError or ValueError only for a configuration file that was named and cannot be read.
    """
    named = explicit or environ.get("COLLECTOR_SOCKET")
    if named:
        return os.path.expanduser(named)
    settings = _Settings(config, environ)
    configured = settings.path("sources", "unix", "path")
    if configured:
        return configured
    database = settings.path("storage", "path") or _user_database(environ)
    beside = os.path.join(os.path.dirname(database), SOCKET_NAME)
    own = [place for place in (_session_socket(environ), beside) if place]
    return _first_existing(own, SYSTEM_SOCKET, settings.own_first) or own[0]


def database_path(
    explicit: str | None = None,
    config: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """The journal a reader should open.

    In this order: `explicit`, `$COLLECTOR_DB`, `storage.path` of the configuration, then the first
    that exists of the system's journal and the user's. Where none exists, the user's. Raises like
    `socket_path`.
    """
    named = explicit or environ.get("COLLECTOR_DB")
    if named:
        return os.path.expanduser(named)
    settings = _Settings(config, environ)
    configured = settings.path("storage", "path")
    if configured:
        return configured
    own = _user_database(environ)
    return _first_existing([own], SYSTEM_DATABASE, settings.own_first) or own


def anchored(path: str, base: str) -> str:
    """`path` with `~` expanded and, where it is relative, taken from the directory `base`."""
    return os.path.normpath(os.path.join(base, os.path.expanduser(path)))


class _Settings:
    """The few settings a client asks for: from the environment's overrides, else from the file.

    A file that was merely found counts only if it can be read and parsed: an ordinary user may be
    refused `/etc/collector/config.toml`, and the defaults are still worth trying.
    """

    def __init__(self, config: str | None, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._named = bool(config or environ.get("COLLECTOR_CONFIG"))
        self._file = config_file(config, environ, client=True)
        self._content: dict[str, Any] | None = None
        self.own_first = self._named and self._file != SYSTEM_CONFIG
        """Whoever names a file of their own means a daemon of their own, not the system's."""

    def path(self, *keys: str) -> str | None:
        """The path under these keys, absolute, or None where nothing is set."""
        override = self._environ.get("__".join(("COLLECTOR", *keys)).upper())
        if override:
            return anchored(override, os.getcwd())
        found: Any = self._read()
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, str) or not found or self._file is None:
            return None
        return anchored(found, os.path.dirname(os.path.abspath(self._file)))

    def _read(self) -> dict[str, Any]:
        if self._content is None:
            self._content = self._parse() if self._file else {}
        return self._content

    def _parse(self) -> dict[str, Any]:
        assert self._file is not None
        try:
            with open(self._file, "rb") as stream:
                text = stream.read().decode("utf-8-sig")
            import tomllib  # costs 4 ms, and only a client with a configuration file pays it

            return tomllib.loads(text)
        except (OSError, ValueError):
            if self._named:
                raise
            return {}


def _first_existing(own: list[str], system: str, own_first: bool) -> str | None:
    places: Iterator[str] = iter([*own, system] if own_first else [system, *own])
    return next((place for place in places if os.path.exists(place)), None)


def _session_socket(environ: Mapping[str, str]) -> str | None:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    # A relative XDG directory is invalid and must be ignored: XDG Base Directory Specification.
    if not os.path.isabs(runtime):
        return None
    return os.path.join(runtime, "collector", SOCKET_NAME)


def _user_database(environ: Mapping[str, str]) -> str:
    state = _user_directory(environ, "XDG_STATE_HOME", os.path.join(".local", "state"))
    return os.path.join(state, "collector", DATABASE_NAME) if state else SYSTEM_DATABASE


def _user_directory(environ: Mapping[str, str], variable: str, below_home: str) -> str | None:
    """An XDG base directory with its documented fallback; None for a user without a home."""
    directory = environ.get(variable, "")
    if os.path.isabs(directory):
        return directory
    # expanduser asks the user database where `$HOME` is not set, and returns "~" where that fails.
    home = environ.get("HOME") or os.path.expanduser("~")
    return os.path.join(home, below_home) if os.path.isabs(home) else None


def _unit_directory(environ: Mapping[str, str], variable: str) -> str | None:
    """The first of the directories that systemd hands to a unit, colon-separated."""
    return environ.get(variable, "").partition(":")[0] or None
