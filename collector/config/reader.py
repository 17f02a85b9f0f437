"""From plain TOML values to settings: each key by its kind, each mistake by its path.

What msgspec says of a wrong value names the type; people need the key's path, the allowed values
and the nearest known key, and an override from the environment is text whatever its key holds. So
the tables are walked here, and msgspec checks the leaves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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


def read(table: type[Table], values: Mapping[str, Any], place: Place, root: type[Struct]) -> Table:
    """`values` as a `table`. Raises ConfigError for an unknown or missing key and a bad value.

    `root` is the whole schema, for telling where a misplaced key belongs.
    """
    types = keys.declared(table)
    for name, value in values.items():
        if name not in types:
            at = place.key(str(name))
            raise _unknown(str(name), list(types), _source(at, value), root)
    found = {
        name: _value(keys.kind(types[name]), value, place.key(name), root)
        for name, value in values.items()
    }
    for name in keys.required(table):
        if name not in found:
            raise place.key(name).error(
                f"missing; expected {keys.expected(keys.kind(types[name]))}"
            )
    return table(**found)


def overrides(environ: Mapping[str, str]) -> list[Override]:
    """The variables that override keys, shortest path first."""
    names = sorted((name for name in environ if name.startswith(PREFIX)), key=lambda n: (len(n), n))
    return [Override(name, environ[name]) for name in names]


def merged(values: Mapping[str, Any], changes: list[Override]) -> dict[str, Any]:
    """A copy of `values` with `changes` put in; the originals stay as they are."""
    result = dict(values)
    for change in changes:
        *tables, last = change.variable[len(PREFIX) :].lower().split("__")
        here = result
        for name in tables:
            inner = here.get(name, {})
            if isinstance(inner, Override):
                raise ConfigError(f"{inner.variable} sets all of this already", "", change.variable)
            here[name] = here = dict(inner) if isinstance(inner, Mapping) else {}
        here[last] = change
    return result


def _value(of: Kind, value: Any, place: Place, root: type[Struct]) -> Any:
    if isinstance(value, Override):
        place = _source(place, value)
        value = _decoded(of, value.text, place)
    if value is None and of.optional:
        return None
    if of.struct:
        return read(of.struct, _table(of, value, place), place, root)
    origin, inner = get_origin(of.base), get_args(of.base)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _refused(of, value, place)
        item = keys.kind(inner[0])
        entries = [_value(item, each, place.item(i), root) for i, each in enumerate(value)]
        return _bounded(of, tuple(entries), place)
    if origin is dict:
        name, item = keys.kind(inner[0]), keys.kind(inner[1])
        return {
            _value(name, key, place.key(str(key)), root): _value(
                item, each, place.key(str(key)), root
            )
            for key, each in _table(of, value, place).items()
        }
    return _leaf(of, value, place)


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
