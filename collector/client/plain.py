"""Whatever a program puts into metadata becomes plain, bounded JSON values, copied.

Nothing here calls a foreign object's `__str__` or `__repr__`: those print secrets, query databases
or fail. An object that is neither plain data nor made of named fields is named by its class.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from collector.event import DEPTH_MAX

ITEMS_MAX: Final = 10_000
"""Values taken of one event; 16 KiB of metadata hold fewer."""
INT_LOW: Final = -(2**63)
INT_HIGH: Final = 2**63 - 1
MORE: Final = "…"
"""What stands for what is too deep or too much."""

_BY_TEXT: Final = {
    ("decimal", "Decimal"),
    ("uuid", "UUID"),
    ("ipaddress", "IPv4Address"),
    ("ipaddress", "IPv6Address"),
    ("ipaddress", "IPv4Network"),
    ("ipaddress", "IPv6Network"),
    ("fractions", "Fraction"),
}
"""Standard types whose text is their value, known by name so that none need be imported."""


def plain(data: Mapping[Any, Any]) -> dict[str, Any]:
    """A copy of `data` that JSON can hold: depth, numbers and keys within the event's bounds.

    Iterating `data` may raise whatever its class raises.
    """
    copy: dict[str, Any] = {}
    budget: list[int] | None = None
    for key, value in data.items():
        kind = type(value)
        if (
            kind is str or kind is bool or value is None
            or (kind is int and INT_LOW <= value <= INT_HIGH)
        ) and type(key) is str:  # fmt: skip
            copy[key] = value
            continue
        if budget is None:
            budget = [ITEMS_MAX]
        copy[_key(key)] = _value(value, 2, budget)
    return copy


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of a mapping, Struct, dataclass, attrs or pydantic object; None of any other."""
    if isinstance(value, Mapping):
        return dict(value)
    names: Iterable[str] | None = None
    if isinstance(value, Struct):
        names = value.__struct_fields__
    elif not isinstance(value, type):
        kind = type(value)
        names = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "model_fields", None)
        if names is None and (attributes := getattr(kind, "__attrs_attrs__", None)) is not None:
            names = [attribute.name for attribute in attributes]
    if names is None:
        return None
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _key(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    simple = _value(key, DEPTH_MAX, [1])
    return simple if isinstance(simple, str) else str(simple)


def _value(value: Any, depth: int, budget: list[int]) -> Any:
    budget[0] -= 1
    if budget[0] < 0:
        return MORE
    simple = _scalar(value)
    if simple is not _NO_SCALAR:
        return simple
    if isinstance(value, list | tuple | set | frozenset):
        return _items(value, depth, budget)
    try:
        fields = fields_of(value)
    except Exception:  # a property of theirs
        fields = None
    if fields is None:
        return f"<{type(value).__name__}>"
    if depth > DEPTH_MAX:
        return MORE
    return _pairs(fields, depth, budget)


def _items(values: Iterable[Any], depth: int, budget: list[int]) -> Any:
    if depth > DEPTH_MAX:
        return MORE
    if isinstance(values, set | frozenset):
        values = sorted(values, key=lambda item: (type(item).__name__, _sortable(item)))
    items = []
    for item in values:
        items.append(_value(item, depth + 1, budget))
        if budget[0] <= 0:
            break
    return items


def _pairs(fields: dict[Any, Any], depth: int, budget: list[int]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for key, item in fields.items():
        pairs[_key(key)] = _value(item, depth + 1, budget)
        if budget[0] <= 0:
            break
    return pairs


_NO_SCALAR: Final = object()


def _scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        plain_value = _scalar(value.value)
        return value.name if plain_value is _NO_SCALAR else plain_value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value) if INT_LOW <= value <= INT_HIGH else _big(value)
    if isinstance(value, float):
        # NaN and the infinities are no JSON; their names are still worth reading.
        return float(value) if value - value == 0 else float.__repr__(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return _known_text(value)


def _known_text(value: Any) -> Any:
    kind = type(value)
    if (kind.__module__, kind.__name__) in _BY_TEXT or kind.__module__.startswith("pathlib"):
        return str(value)
    return _NO_SCALAR


def _big(value: int) -> str:
    """Beyond 64 bits a number goes as text; one beyond Python's own limit for that, as hex."""
    return str(int(value)) if value.bit_length() < 4096 else f"{int(value):#x}"[:100] + MORE


def _sortable(item: Any) -> str:
    simple = _scalar(item)
    return "" if simple is _NO_SCALAR else str(simple)
