"""An entry as the cells of one CSV row: flat columns, visible text, no formulas."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from collector.core.escape import csv_cell
from collector.event import ENTRY_FIELDS, Entry, Principal

_PRINCIPAL: Final = Principal.__struct_fields__
_TARGET: Final = ("type", "id", "name")
_NESTED: Final[dict[str, tuple[str, ...]]] = {
    "actor": _PRINCIPAL,
    "on_behalf_of": _PRINCIPAL,
    "target": _TARGET,
}
_AS_JSON: Final = frozenset({"producer", "metadata", "changes"})

CSV_COLUMNS: Final = tuple(
    column
    for name in ENTRY_FIELDS
    for column in ([f"{name}_{part}" for part in _NESTED[name]] if name in _NESTED else [name])
)
"""The header: every key of `Entry` in its order, a principal's parts as columns of their own."""


def csv_cells(entry: Entry) -> list[str]:
    """One cell a column of `CSV_COLUMNS`; empty where the entry has nothing."""
    cells: list[str] = []
    for name in ENTRY_FIELDS:
        value = getattr(entry, name)
        if name in _NESTED:
            cells += [_cell(getattr(value, part, None)) for part in _NESTED[name]]
        else:
            cells.append(_json(value) if name in _AS_JSON else _cell(value))
    return cells


def _cell(value: Any) -> str:
    return "" if value is None else csv_cell(str(value))


def _json(value: Any) -> str:
    """Compact JSON, its keys as they came; empty for nothing, so that a column reads well."""
    if not value:
        return ""
    return csv_cell(msgspec.json.encode(value).decode())
