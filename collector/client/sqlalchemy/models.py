"""The mapped classes that are audited: what is recorded of each, and how its rows are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import inspect, select, tuple_
from sqlalchemy.orm import Mapper

BULK_MAX: Final = 10_000
"""Rows of one statement that are read before and after it."""
KEYS_A_QUERY: Final = 500
"""Primary keys in one statement; databases limit the parameters, older SQLite to 999."""
Row = dict[str, Any]
Key = tuple[Any, ...]


class Model:
    """A mapped class: the attributes that are recorded, and its key."""

    def __init__(self, mapper: Mapper[Any], kind: str, ignore: frozenset[str]) -> None:
        self.kind = kind
        recorded = [
            attribute
            for attribute in mapper.column_attrs
            if attribute.key not in ignore and not attribute.deferred
        ]
        self.names = [attribute.key for attribute in recorded]
        entity = mapper.class_
        self._selected = [getattr(entity, name) for name in self.names]
        keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        self.key_names = keys
        self._keys = [getattr(entity, name) for name in keys]

    def rows(self, execute: Callable[[Any], Any], keys: Sequence[Key]) -> dict[Key, Row]:
        """The rows with these keys, by key."""
        found: dict[Key, Row] = {}
        for start in range(0, len(keys), KEYS_A_QUERY):
            some = keys[start : start + KEYS_A_QUERY]
            if len(self._keys) == 1:
                condition = self._keys[0].in_([key[0] for key in some])
            else:
                condition = tuple_(*self._keys).in_(some)
            found.update(self.where(execute, condition))
        return found

    def where(self, execute: Callable[[Any], Any], condition: Any) -> dict[Key, Row]:
        """The rows that meet a condition, one more than `BULK_MAX` at most."""
        query = select(*self._keys, *self._selected).limit(BULK_MAX + 1)
        if condition is not None:
            query = query.where(condition)
        width = len(self._keys)
        return {
            tuple(row[:width]): dict(zip(self.names, row[width:], strict=True))
            for row in execute(query)
        }


class Models:
    """The audited classes with their subclasses, by mapper and by table."""

    def __init__(self, kinds: Mapping[type, str], ignore: frozenset[str]) -> None:
        self._by_mapper: dict[Mapper[Any], Model] = {}
        self._by_table: dict[Any, Model] = {}
        for each, kind in kinds.items():
            mappers: Iterable[Mapper[Any]] = inspect(each).self_and_descendants
            for mapper in mappers:
                self._by_mapper[mapper] = model = Model(mapper, kind, ignore)
                self._by_table.update((table, model) for table in mapper.tables)

    def of_mapper(self, mapper: Mapper[Any] | None) -> Model | None:
        """The model behind a mapper; None where it is not audited."""
        return None if mapper is None else self._by_mapper.get(mapper)

    def of_table(self, table: Any) -> Model | None:
        """The model that a table belongs to; None where it is not audited."""
        return self._by_table.get(table)
