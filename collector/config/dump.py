"""The effective configuration as plain values and as TOML: what `collector check --show` prints.

What is written is read back to the same settings, but for secrets, which are masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import msgspec
from msgspec import Struct

from collector.config import keys
from collector.config.keys import Kind
from collector.config.schema import Settings

MASK = "[redacted]"


def to_mapping(settings: Settings) -> dict[str, Any]:
    """Key → value as a file would have it: durations and sizes as text, nothing that is unset."""
    plain = _plain_table(Settings, settings)
    queue = plain["sources"]["queue"]
    if queue.get("options"):
        queue["options"] = _masked(queue["options"], settings.redaction.keys)
    return plain


def dump_toml(settings: Settings) -> str:
    """`to_mapping` as a TOML document."""
    return "\n".join(_table(to_mapping(settings), "")).lstrip("\n") + "\n"


def _plain_table(table: type[Struct], value: Any) -> dict[str, Any]:
    found = {
        name: _plain(keys.kind(type_), getattr(value, name))
        for name, type_ in keys.declared(table).items()
    }
    return {name: each for name, each in found.items() if each is not None}


def _plain(of: Kind, value: Any) -> Any:
    if value is None:
        return None
    if of.struct:
        return _plain_table(of.struct, value)
    inner = [keys.kind(each) for each in get_args(of.base) if each is not Ellipsis]
    if get_origin(of.base) is tuple:
        return [_plain(inner[0], each) for each in value]
    if get_origin(of.base) is dict:
        return {name: _plain(inner[1], each) for name, each in value.items()}
    write = of.extra.get("format")
    return write(value) if write else value


def _masked(values: Mapping[str, Any], secret: tuple[str, ...]) -> dict[str, Any]:
    """A plugin's own options, without what stands under a key that sounds like a secret."""
    return {
        name: MASK
        if any(word in name.lower() for word in secret)
        else _masked(value, secret)
        if isinstance(value, Mapping)
        else value
        for name, value in values.items()
    }


def _table(values: Mapping[str, Any], path: str) -> Iterator[str]:
    """Lines of one table: its own keys first, as TOML wants it, then the tables inside it."""
    plain = {name: value for name, value in values.items() if not _is_tables(value)}
    if path and (plain or not values):
        yield f"\n[{path}]"
    for name, value in plain.items():
        yield f"{_key(name)} = {_inline(value)}"
    for name, value in values.items():
        inner = f"{path}.{_key(name)}" if path else _key(name)
        if isinstance(value, Mapping):
            if value:
                yield from _table(value, inner)
        elif _is_tables(value):
            for each in value:
                yield f"\n[[{inner}]]"
                yield from (f"{_key(key)} = {_inline(item)}" for key, item in each.items())


def _is_tables(value: Any) -> bool:
    tables = isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping) or bool(tables)


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but that TOML wants DEL escaped too.
        return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{_key(key)} = {_inline(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _inline(name)
