"""From plain TOML values to settings: each key by its kind, each mistake by its path.

What msgspec says of a wrong value names the type; people need the key's path, the allowed values
and the nearest known key, and an override from the environment is text whatever its key holds. So
the tables are walked here, and msgspec checks the leaves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from collector.config import keys
from collector.config.keys import Kind
from collector.errors import ConfigError
from collector.paths import anchored

PREFIX: Final = "COLLECTOR__"
TRUE: Final = frozenset({"true", "1", "yes", "on"})
FALSE: Final = frozenset({"false", "0", "no", "off"})

Table = TypeVar("Table", bound=Struct)


class Override(Struct, frozen=True):
    """A value from the environment: text, and the variable it stood in."""

    variable: str
    text: str


class Place(Struct, frozen=True):
    """Where a value stands: its key, its file or variable, the directory that paths start from."""

    path: str
    source: str
    base: str

    def key(self, name: str) -> Place:
        """The place of a key in this table."""
        return Place(f"{self.path}.{name}" if self.path else name, self.source, self.base)

    def item(self, index: int) -> Place:
        """The place of an entry in this list."""
        return Place(f"{self.path}[{index}]", self.source, self.base)

    def error(self, message: str) -> ConfigError:
        """The error to raise for what stands here."""
        return ConfigError(message, self.path, self.source)


class Reading:
    """One reading of a configuration, which goes on past a mistake so that all are told at once.

    `root` is the whole schema, for telling where a misplaced key belongs. `doubtful` are the paths
    whose values are not what was meant: of a bad value its own, of an unknown key its table's.
    """

    def __init__(self, root: type[Struct]) -> None:
        self.root = root
        self.mistakes: list[ConfigError] = []
        self.doubtful: list[str] = []

    def unknown(self, name: str, siblings: list[str], place: Place) -> None:
        """Note a key that is not in its table."""
        self.mistakes.append(_unknown(name, siblings, place, self.root))
        self.doubtful.append(place.path.removesuffix(name).removesuffix("."))

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the mistake that the body raises, and go on."""
        try:
            yield
        except ConfigError as error:
            self.mistakes.append(error)
            self.doubtful.append(error.path)
        except _Unmade:
            pass


class _Unmade(Exception):
    """A table without one of its required keys; why is noted already."""


def read(table: type[Table], values: Mapping[str, Any], place: Place, reading: Reading) -> Table:
    """What of `values` is right, as a `table`; what is wrong is noted in `reading`.

    Raises `_Unmade` where a required key is wrong or missing.
    """
    types = keys.declared(table)
    found: dict[str, Any] = {}
    for name, value in values.items():
        at = place.key(str(name))
        if name not in types:
            reading.unknown(str(name), list(types), _source(at, value))
            continue
        with reading.noted():
            found[name] = _value(keys.kind(types[name]), value, at, reading)
    required = keys.required(table)
    for name in required:
        with reading.noted():
            if name not in values:
                what = keys.expected(keys.kind(types[name]))
                raise place.key(name).error(f"missing; expected {what}")
    if not all(name in found for name in required):
        raise _Unmade
    return table(**found)


def overrides(environ: Mapping[str, str]) -> list[Override]:
    """The variables that override keys, shortest path first."""
    names = sorted((name for name in environ if name.startswith(PREFIX)), key=lambda n: (len(n), n))
    return [Override(name, environ[name]) for name in names]


def merged(values: Mapping[str, Any], changes: list[Override], reading: Reading) -> dict[str, Any]:
    """A copy of `values` with `changes` put in; the originals stay as they are."""
    result = dict(values)
    for change in changes:
        with reading.noted():
            _put(change, result)
    return result


def _put(change: Override, result: dict[str, Any]) -> None:
    *tables, last = change.variable[len(PREFIX) :].lower().split("__")
    here = result
    for name in tables:
        inner = here.get(name, {})
        if isinstance(inner, Override):
            raise ConfigError(f"{inner.variable} sets all of this already", "", change.variable)
        here[name] = here = dict(inner) if isinstance(inner, Mapping) else {}
    here[last] = change


def _value(of: Kind, value: Any, place: Place, reading: Reading) -> Any:
    if isinstance(value, Override):
        place = _source(place, value)
        value = _decoded(of, value.text, place)
    if value is None and of.optional:
        return None
    if of.struct:
        return read(of.struct, _table(of, value, place), place, reading)
    origin = get_origin(of.base)
    if origin is tuple:
        return _list(of, value, place, reading)
    if origin is dict:
        return _named(of, value, place, reading)
    return _leaf(of, value, place)


def _list(of: Kind, value: Any, place: Place, reading: Reading) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _refused(of, value, place)
    _bounded(of, tuple(value), place)
    item = keys.kind(get_args(of.base)[0])
    entries = []
    for index, each in enumerate(value):
        with reading.noted():
            entries.append(_value(item, each, place.item(index), reading))
    return tuple(entries)


def _named(of: Kind, value: Any, place: Place, reading: Reading) -> dict[Any, Any]:
    """A table whose keys are the user's own."""
    name, item = map(keys.kind, get_args(of.base))
    found = {}
    for key, each in _table(of, value, place).items():
        at = place.key(str(key))
        with reading.noted():
            found[_value(name, key, at, reading)] = _value(item, each, at, reading)
    return found


def _leaf(of: Kind, value: Any, place: Place) -> Any:
    extra = of.extra
    if "parse" in extra:
        try:
            value = extra["parse"](value)
        except ValueError as error:
            raise place.error(str(error)) from None
    value = _bounded(of, value, place)
    return anchored(value, place.base) if extra.get("path") else value


def _bounded(of: Kind, value: Any, place: Place) -> Any:
    if of.base is Any:
        return value
    if get_origin(of.base) is tuple:
        low, high = of.bound("min_length") or 0, of.bound("max_length") or len(value)
        if not low <= len(value) <= high:
            raise place.error(f"expected {keys.expected(of)}, got {len(value)}")
        return value
    try:
        return msgspec.convert(value, Annotated[of.base, *of.metas] if of.metas else of.base)
    except msgspec.ValidationError:
        write = of.extra.get("format")
        raise _refused(of, write(value) if write else value, place) from None


def _table(of: Kind, value: Any, place: Place) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _refused(of, value, place)
    return value


def _refused(of: Kind, value: Any, place: Place) -> ConfigError:
    allowed = [str(each) for each in get_args(of.base)] if isinstance(value, str) else []
    near = keys.nearest(value, allowed) if allowed else None
    hint = f'; did you mean "{near}"?' if near else ""
    return place.error(f"expected {keys.expected(of)}, got {_shown(value)}{hint}")


def _shown(value: Any) -> str:
    """A value in an error: on one line; a long text, which may be a secret, not at all."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)[:40]
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 40 and value.isprintable() else "a text"
    return (
        "a table" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else "that"
    )


def _unknown(name: str, siblings: list[str], place: Place, root: type[Struct]) -> ConfigError:
    near = keys.nearest(name, siblings)
    parent = place.path[: -len(name)]
    elsewhere = [key for key in keys.dotted(root) if key.rpartition(".")[2] == name.lower()]
    if near:
        hint = f'did you mean "{parent}{near}"?'
    elif elsewhere:
        hint = f'did you mean "{elsewhere[0]}"?'
    else:
        all_keys = list(keys.dotted(root))
        far = keys.nearest(place.path, all_keys)
        hint = f'did you mean "{far}"?' if far else ""
    known = f"known here: {', '.join(siblings)}"
    return place.error("unknown key; " + (f"{hint} ({known})" if hint else known))


def _source(place: Place, value: Any) -> Place:
    if isinstance(value, Override):
        return Place(place.path, value.variable, os.getcwd())
    return place


def _decoded(of: Kind, text: str, place: Place) -> Any:
    """The value that the text of an environment variable means for a key of this kind."""
    if of.optional and not text:
        return None
    if get_origin(of.base) is tuple and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    if get_origin(of.base) in (tuple, dict) or of.struct:
        return _structured(text, place)
    if of.base is bool and text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    if of.base in (int, float) and "parse" not in of.extra:
        return _number(of.base, text)
    return text


def _number(base: type, text: str) -> Any:
    try:
        return base(text)
    except ValueError:
        return text


def _structured(text: str, place: Place) -> Any:
    """A list or table, written as JSON or as a TOML value."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        import tomllib

        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            raise place.error("expected a list or table, as JSON or as a TOML value") from None
