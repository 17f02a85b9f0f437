"""Why something failed, in words that cannot leak a value.

A reason (an exception, a code, a set of errors) becomes `error_kind`: `validation` with the names
of the fields in `error_keys`, `code` with a symbolic `error_code`, or `other`, then with the name
of the exception's class as `error_code`. Messages are never read, but for the field names that
msgspec writes into its own. Foreign exceptions are known by their class's module and shape, so that
none of those packages is imported.

A name is taken as a field's only where a program declared it: what stands in the place of a name
may be a key of the user's data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, TypeAlias

KEYS_MAX: Final = 32
"""Field names kept of one failure, the first in order."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_SYMBOL: Final = re.compile(r"[a-z]+(?:[_.-][a-z]+)*")
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")

Facts: TypeAlias = dict[str, Any]


def classify(reason: Any) -> Facts:
    """The facts of `reason` for an event's metadata: `error_kind`, `error_keys` or `error_code`.

    Never raises: what cannot be told is `{"error_kind": "other"}`.
    """
    try:
        return _classify(reason)
    except Exception:  # a property of theirs
        return {"error_kind": "other"}


def validation(names: Iterable[Any]) -> Facts:
    """A refusal of input by its fields; anything that does not look like a name is left out."""
    kept = {name for name in names if isinstance(name, str) and _NAME.fullmatch(name)}
    return {"error_kind": "validation", "error_keys": sorted(kept)[:KEYS_MAX]}


def code(symbol: Any) -> Facts:
    """A refusal by a symbolic reason; `other` where `symbol` does not look like one."""
    text = str(symbol)
    if _CODE.fullmatch(text) is None:
        return {"error_kind": "other"}
    return {"error_kind": "code", "error_code": text}


def _classify(reason: Any) -> Facts:
    if isinstance(reason, Enum):
        return code(reason.name)
    if isinstance(reason, str):
        # Only words without digits: a text that someone passes on may be anything.
        symbol = len(reason) <= 64 and _SYMBOL.fullmatch(reason) is not None
        return code(reason) if symbol else {"error_kind": "other"}
    if isinstance(reason, int) and not isinstance(reason, bool):
        return _errno(reason)
    if isinstance(reason, Mapping):
        return validation(reason)
    kind = reason if isinstance(reason, type) else type(reason)
    for known in kind.__mro__:
        module = known.__module__.partition(".")[0]
        rule = _RULES.get((module, known.__name__))
        facts = rule(reason) if rule is not None and kind is not reason else None
        if facts is not None:
            return facts
    if isinstance(reason, BaseException):
        return _exception(reason)
    return _class_name(kind) if kind is reason else {"error_kind": "other"}


def _exception(reason: BaseException) -> Facts:
    if isinstance(reason, OSError) and reason.errno is not None:
        facts = _errno(reason.errno)
        if facts["error_kind"] == "code":
            return facts
    if isinstance(reason, BaseExceptionGroup):
        return _group(reason)
    attribute = _attrs_attribute(reason)
    if attribute is not None:
        return validation([attribute])
    symbol = getattr(reason, "code", None)
    if isinstance(symbol, Enum):
        return code(symbol.name)
    if isinstance(symbol, str) and len(symbol) <= 64 and _SYMBOL.fullmatch(symbol):
        return code(symbol)
    status = getattr(reason, "status_code", None)
    if isinstance(status, int) and 100 <= status <= 599:
        return code(f"http_{int(status)}")
    return _class_name(type(reason))


def _class_name(kind: type) -> Facts:
    name = kind.__name__
    if not issubclass(kind, BaseException) or _NAME.fullmatch(name) is None:
        return {"error_kind": "other"}
    return {"error_kind": "other", "error_code": name}


def _errno(number: int) -> Facts:
    import errno

    name = errno.errorcode.get(number)
    return code(name) if name else {"error_kind": "other"}


def _group(reason: BaseExceptionGroup[BaseException]) -> Facts:
    """A group is a validation where each of its members is; else one that has one says that one."""
    facts = [classify(member) for member in reason.exceptions[:KEYS_MAX]]
    if all(fact["error_kind"] == "validation" for fact in facts):
        return validation(name for fact in facts for name in fact["error_keys"])
    return facts[0] if len(facts) == 1 else _class_name(type(reason))


def _attrs_attribute(reason: BaseException) -> str | None:
    """attrs' validators raise `TypeError(message, attribute, type, value)` and the like."""
    for argument in reason.args[1:3]:
        if type(argument).__module__ == "attr._make" and type(argument).__name__ == "Attribute":
            return str(argument.name)
    return None


# ── what the packages raise, by (package, class) ────────────────────────────────────────────────


def _msgspec(reason: Any) -> Facts:
    """`Object missing required field `name` - at `$.user`` and `Expected `int`, … - at `$.age``.

    The key of an unknown field is the sender's own text, so only where it was found is told.
    """
    message = str(reason)
    path = re.search(r" - at `(?:key in )?\$([^`]*)`$", message)
    top = re.match(r"\.([A-Za-z_]\w*)", path[1]) if path else None
    if top is not None:
        return validation([top[1]])
    missing = re.match(r"Object missing required field `([^`]+)`", message)
    return validation([missing[1]] if missing and not (path and path[1]) else [])


def _pydantic(reason: Any) -> Facts:
    errors = reason.errors(include_input=False, include_url=False, include_context=False)
    declared = _declared_names()
    return validation(
        error["loc"][0]
        for error in errors
        if error["loc"] and error["type"] != "extra_forbidden" and error["loc"][0] in declared
    )


def _fastapi(reason: Any) -> Facts:
    """Locations are `("body", "name")`, `("query", "page")`; a body's keys may be the user's."""
    declared = _declared_names()
    names = []
    for error in reason.errors():
        place, *rest = error["loc"]
        if rest and error["type"] != "extra_forbidden" and (place != "body" or rest[0] in declared):
            names.append(rest[0])
    return validation(names)


def _declared_names() -> frozenset[str]:
    """Field names and aliases of every pydantic model of this process."""
    names: set[str] = set()
    for model in _subclasses("pydantic", "BaseModel"):
        for name, field in getattr(model, "__pydantic_fields__", {}).items():
            aliases = (field.alias, field.validation_alias)
            names.update(each for each in (name, *aliases) if isinstance(each, str))
    return frozenset(names)


def _subclasses(module: str, name: str) -> Iterator[type]:
    """Every class of this process below one of a package, which is not imported for it."""
    import sys

    base = getattr(sys.modules.get(module), name, None)
    todo, seen = [base] if base is not None else [], set()
    while todo:
        kind = todo.pop()
        if kind not in seen:
            seen.add(kind)
            todo += kind.__subclasses__()
            yield kind


def _django(reason: Any) -> Facts:
    fields = getattr(reason, "error_dict", None)
    if fields is not None:
        return validation(name for name in fields if name != "__all__")
    return validation([])


def _rest_framework(reason: Any) -> Facts:
    """`detail` is by field, or a list of texts; a serializer leaves out what it does not know."""
    return validation(reason.detail if isinstance(reason.detail, Mapping) else [])


def _marshmallow(reason: Any) -> Facts:
    """`messages` are by field, and an unknown field's name is the sender's own text."""
    declared: set[str] = set()
    for schema in _subclasses("marshmallow", "Schema"):
        for name, field in getattr(schema, "_declared_fields", {}).items():
            declared.add(getattr(field, "data_key", None) or name)
    messages = reason.messages if isinstance(reason.messages, Mapping) else {}
    return validation(name for name in messages if name in declared)


def _sqlalchemy(reason: Any) -> Facts:
    """The driver's own code where there is one: it tells a duplicate key from a lost connection."""
    original = getattr(reason, "orig", None)
    symbol = _driver_code(original) if original is not None else None
    return code(symbol or type(reason).__name__)


def _database(reason: Any) -> Facts:
    """DB-API and Django's database errors, of which the latter keep the driver's as the cause."""
    symbol = _driver_code(reason) or _driver_code(reason.__cause__)
    return code(symbol or type(reason).__name__)


def _driver_code(error: Any) -> str | None:
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        symbol = getattr(error, name, None)
        if isinstance(symbol, str) and symbol:
            return symbol
    number = error.args[0] if isinstance(error, Exception) and error.args else None
    # MySQL's drivers raise (1062, "Duplicate entry …"): the number is a code, the text a value.
    return str(number) if type(number) is int and len(error.args) == 2 else None


def _cattrs(reason: Any) -> Facts:
    """cattrs notes the attribute at each member of its group."""
    notes = (note for error in reason.exceptions for note in getattr(error, "__notes__", ()))
    return validation(getattr(note, "name", None) for note in notes)


def _cancelled(reason: Any) -> Facts:
    return code("cancelled")


_RULES: Final[dict[tuple[str, str], Callable[[Any], Facts | None]]] = {
    ("msgspec", "ValidationError"): _msgspec,
    ("pydantic_core", "ValidationError"): _pydantic,
    ("fastapi", "ValidationException"): _fastapi,
    ("django", "ValidationError"): _django,
    ("django", "Error"): _database,
    ("rest_framework", "ValidationError"): _rest_framework,
    ("marshmallow", "ValidationError"): _marshmallow,
    ("sqlalchemy", "SQLAlchemyError"): _sqlalchemy,
    ("sqlite3", "Error"): _database,
    ("psycopg", "Error"): _database,
    ("psycopg2", "Error"): _database,
    ("cattrs", "BaseValidationError"): _cattrs,
    ("asyncio", "CancelledError"): _cancelled,
    ("concurrent", "CancelledError"): _cancelled,
    ("trio", "Cancelled"): _cancelled,
}
