"""Where the configuration comes from: defaults, then one file, then the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from collector import paths
from collector.config import dump, reader, rules
from collector.config.schema import Settings
from collector.errors import ConfigError

FILE_MAX: Final = 4 << 20
"""Bytes of a configuration file; more is not a configuration, and is not read into memory."""


class Config(Settings, frozen=True, kw_only=True):
    """The configuration in force. `file` is where it was read from, None for the defaults."""

    file: Path | None = None

    @classmethod
    def from_mapping(
        cls,
        values: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] = os.environ,
        *,
        source: str = "",
        base: str | None = None,
    ) -> Config:
        """A configuration from plain values, as an embedding program has them.

        `values` is shaped like the file; durations and sizes may be text or numbers. Relative paths
        start from `base`, by default the working directory. `environ` tells the default places; its
        `COLLECTOR__…` variables do not count here. Raises ConfigError, which tells every mistake at
        once; `source` names the origin.
        """
        place = reader.Place("", source, base if base is not None else os.getcwd())
        return _config(values or {}, place, environ, reader.Reading(Settings))

    def to_mapping(self) -> dict[str, Any]:
        """The effective configuration as plain values, without secrets."""
        return dump.to_mapping(self)

    def dump_toml(self) -> str:
        """The effective configuration as a TOML document, without secrets."""
        return dump.dump_toml(self)


def load(path: str | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration as the daemon has it: a `path` that was named, or the first file found.

    Every `COLLECTOR__A__B` in `environ` overrides the key `a.b`; a relative path in it starts from
    the working directory, one in the file from the file's own. Raises ConfigError, all or nothing,
    which tells every mistake at once.
    """
    file = paths.config_file(path, environ)
    values = _parsed(file) if file else {}
    reading = reader.Reading(Settings)
    changed = reader.merged(values, reader.overrides(environ), reading)
    base = os.path.dirname(os.path.abspath(file)) if file else os.getcwd()
    config = _config(changed, reader.Place("", file or "", base), environ, reading)
    return replace(config, file=Path(file)) if file else config


def _config(
    values: Mapping[str, Any],
    place: reader.Place,
    environ: Mapping[str, str],
    reading: reader.Reading,
) -> Config:
    """Read everything, fill in the default places, then see that all of it fits together."""
    settings = _placed(reader.read(Settings, values, place, reading), environ)
    mistakes = reading.mistakes + rules.broken(settings, reading.doubtful, place.source)
    if mistakes:
        raise ConfigError.of(mistakes)
    return Config(**{name: getattr(settings, name) for name in Settings.__struct_fields__})


def _placed(settings: Settings, environ: Mapping[str, str]) -> Settings:
    unix = settings.sources.unix
    database = settings.storage.path or paths.default_database(environ)
    socket = unix.path or paths.default_socket(environ, database)
    return replace(
        settings,
        storage=replace(settings.storage, path=os.path.abspath(database)),
        sources=replace(settings.sources, unix=replace(unix, path=os.path.abspath(socket))),
    )


def _parsed(file: str) -> dict[str, Any]:
    import tomllib  # only who has a file pays for it

    text = _text(file)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {_located(str(error), text)}", "", file) from None
    except RecursionError:
        raise ConfigError("not a configuration: nested too deeply", "", file) from None


def _text(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            content = stream.read(FILE_MAX + 1)
    except OSError as error:
        raise ConfigError(_unreadable(error), "", file) from None
    if len(content) > FILE_MAX:
        raise ConfigError(f"not a configuration: larger than {FILE_MAX} bytes", "", file)
    try:
        # Some editors begin a file with a byte order mark, which TOML does not know.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"not UTF-8 text (at line {line})", "", file) from None


def _unreadable(error: OSError) -> str:
    advice = {
        FileNotFoundError: "no such file; without one, the defaults serve",
        PermissionError: f"cannot be read by uid {os.geteuid()}: permission denied",
        IsADirectoryError: "is a directory; name the file in it",
    }
    return advice.get(type(error), f"cannot be read: {error.strerror or error}")


def _located(message: str, text: str) -> str:
    """tomllib says line and column of every mistake but one at the end."""
    if "end of document" not in message:
        return message
    line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
    return message.replace("at end of document", f"at line {line}, column {column}, the end")
