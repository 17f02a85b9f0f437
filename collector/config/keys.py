"""What can be said of a key from the schema alone: its kind, what it allows, what is near it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import fields

_hints: dict[type, dict[str, Any]] = {}


class Kind(Struct, frozen=True):
    """A declared type, taken apart: what is left without `Annotated` and `None`."""

    base: Any
    metas: tuple[Meta, ...] = ()
    optional: bool = False

    @property
    def extra(self) -> dict[str, Any]:
        """What `collector.config.kinds` says of it."""
        return {key: value for meta in self.metas for key, value in (meta.extra or {}).items()}

    @property
    def struct(self) -> type[Struct] | None:
        """The table it is, if it is one."""
        is_struct = isinstance(self.base, type) and issubclass(self.base, Struct)
        return self.base if is_struct else None

    def bound(self, name: str) -> Any:
        """`ge` or `le`, None where there is none."""
        return next(
            (getattr(meta, name) for meta in self.metas if getattr(meta, name) is not None), None
        )


def kind(declared: Any) -> Kind:
    """Take a declared type apart."""
    if get_origin(declared) is Annotated:
        inner = kind(declared.__origin__)
        metas = tuple(meta for meta in declared.__metadata__ if isinstance(meta, Meta))
        return Kind(inner.base, inner.metas + metas, inner.optional)
    members = get_args(declared)
    if type(None) in members and len(members) == 2:
        inner = kind(next(member for member in members if member is not type(None)))
        return Kind(inner.base, inner.metas, True)
    return Kind(declared)


def declared(table: type[Struct]) -> dict[str, Any]:
    """Key → declared type, in the order of the schema."""
    if table not in _hints:
        hints = get_type_hints(table, include_extras=True)
        _hints[table] = {name: hints[name] for name in table.__struct_fields__}
    return _hints[table]


def required(table: type[Struct]) -> list[str]:
    """The keys of `table` that have no default."""
    return [
        each.name
        for each in fields(table)
        if each.default is NODEFAULT and each.default_factory is NODEFAULT
    ]


def dotted(table: type[Struct], prefix: str = "") -> Iterator[str]:
    """Every key below `table` that holds a value.

    A table with names of the user's own shows them as `NAME`; what stands in a list of tables has
    `[]` after the list's name: `retention.categories.NAME.max_days`, `devices[].check`.
    """
    for name, type_ in declared(table).items():
        yield from _dotted(kind(type_), f"{prefix}{name}")


def _dotted(of: Kind, path: str) -> Iterator[str]:
    inside = [kind(each) for each in get_args(of.base) if each is not Ellipsis]
    if of.struct:
        yield from dotted(of.struct, f"{path}.")
    elif get_origin(of.base) is tuple and inside[0].struct:
        yield from dotted(inside[0].struct, f"{path}[].")
    elif get_origin(of.base) is dict and inside[1].struct:
        yield from dotted(inside[1].struct, f"{path}.NAME.")
    else:
        yield path


def expected(of: Kind) -> str:
    """What a key of this kind allows, in words."""
    if get_origin(of.base) is Literal:
        return "one of " + ", ".join(f'"{each}"' for each in get_args(of.base))
    if of.base is bool:
        return "true or false"
    if of.base is tuple or get_origin(of.base) is tuple:
        return f"a list{_span(of, 'min_length', 'max_length', ' entries')}"
    if get_origin(of.base) is dict or of.struct:
        return "a table"
    names = {int: "a whole number", float: "a number", str: "text"}
    said = of.extra.get("expected") or names.get(of.base, "another value")
    if of.base is str:
        return f"{said}{_span(of, 'min_length', 'max_length', ' characters')}"
    return f"{said}{_span(of, 'ge', 'le', '')}"


def _span(of: Kind, least: str, most: str, unit: str) -> str:
    low, high = of.bound(least), of.bound(most)
    write = of.extra.get("format", str)
    if low is not None and high is not None:
        return f", from {write(low)} to {write(high)}{unit}"
    if low is not None:
        return f", at least {write(low)}{unit}"
    return f", at most {write(high)}{unit}" if high is not None else ""


def nearest(name: str, names: list[str]) -> str | None:
    """The one of `names` that `name` was probably meant to be."""
    import difflib  # only a mistake pays for it

    found = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    return found[0] if found else None
