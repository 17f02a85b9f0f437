"""Reasons of every package, classified against the real ones, without their values."""

from __future__ import annotations

import asyncio
import enum
import errno
import http
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import attrs
import cattrs
import fastapi.exceptions
import marshmallow
import msgspec
import psycopg
import psycopg2
import pydantic
import pytest
import rest_framework.exceptions
import sqlalchemy
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.utils import IntegrityError as DjangoIntegrityError
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from starlette.exceptions import HTTPException

from collector.client import MemorySink, classify
from collector.errors import Rejected

CANARY = "hunter2-canary"


def raised(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


class Person(msgspec.Struct, forbid_unknown_fields=True):
    age: int
    name: str = ""
    inner: dict[str, int] = {}


class Account(pydantic.BaseModel, extra="forbid"):
    age: int
    email: str
    quotas: dict[str, int] = {}


class Secrets(pydantic.RootModel[dict[str, int]]):
    pass


@attrs.define
class Shelf:
    width: int = attrs.field(validator=attrs.validators.instance_of(int))


@attrs.define
class Box:
    width: int
    labels: dict[str, int] = attrs.field(factory=dict)


class Order(marshmallow.Schema):
    number = marshmallow.fields.Int(required=True, data_key="orderNumber")
    labels = marshmallow.fields.Dict(values=marshmallow.fields.Int())


class Refusal(enum.Enum):
    NOT_FOUND = CANARY


def sqlalchemy_error() -> None:
    with create_engine("sqlite://").connect() as connection:
        connection.execute(text("create table t (x unique)"))
        connection.execute(text("insert into t values (:x)"), [{"x": CANARY}, {"x": CANARY}])


def sqlite_error() -> None:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("create table t (x check (x > 1))")
        connection.execute("insert into t values (0)")
    finally:
        connection.close()


def unreachable(connect: Callable[[str], Any]) -> Callable[[], Any]:
    """The driver's own error of a real attempt, on a socket that is not there."""
    return lambda: connect(f"host=/nowhere-{CANARY} password={CANARY} connect_timeout=1")


def of_psycopg2() -> BaseException:
    """As the server's answer would make it: the attribute is the driver's own and read-only."""
    error = psycopg2.errors.lookup("23505")(CANARY)
    error.__setstate__({"pgcode": "23505"})
    return error


def structure(data: Any, kind: Any = Box) -> Callable[[], Any]:
    return lambda: cattrs.Converter(forbid_extra_keys=True).structure(data, kind)


def decode(data: Any) -> Callable[[], Any]:
    return lambda: msgspec.json.decode(msgspec.json.encode(data), type=Person)


def keys(*names: str) -> dict[str, Any]:
    return {"error_kind": "validation", "error_keys": list(names)}


def code(symbol: str) -> dict[str, Any]:
    return {"error_kind": "code", "error_code": symbol}


def other(name: str) -> dict[str, Any]:
    return {"error_kind": "other", "error_code": name}


CASES: list[tuple[str, Any, dict[str, Any]]] = [
    ("msgspec wrong type", raised(decode({"age": CANARY})), keys("age")),
    ("msgspec missing", raised(decode({})), keys("age")),
    ("msgspec unknown", raised(decode({"age": 1, CANARY: 1})), keys()),
    ("msgspec nested", raised(decode({"age": 1, "inner": {CANARY: "x"}})), keys("inner")),
    (
        "pydantic",
        raised(lambda: Account(age=CANARY, quotas={CANARY: CANARY})),  # type: ignore[arg-type, call-arg, dict-item]
        keys("age", "email", "quotas"),
    ),
    ("pydantic extra", raised(lambda: Account(age=1, email="", **{CANARY: 1})), keys()),
    ("pydantic root", raised(lambda: Secrets({CANARY: "x"})), keys()),  # type: ignore[dict-item]
    (
        "fastapi",
        fastapi.exceptions.RequestValidationError(
            [
                {"type": "missing", "loc": ("body", "email"), "msg": CANARY, "input": CANARY},
                {"type": "int_parsing", "loc": ("body", CANARY), "msg": "", "input": CANARY},
                {"type": "int_parsing", "loc": ("query", "page"), "msg": "", "input": CANARY},
            ]
        ),
        keys("email", "page"),
    ),
    ("django fields", DjangoValidationError({"name": [CANARY], "__all__": [CANARY]}), keys("name")),
    ("django", DjangoValidationError(CANARY, code="invalid"), keys()),
    (
        "rest framework fields",
        rest_framework.exceptions.ValidationError({"name": [CANARY], "age": {CANARY: [CANARY]}}),
        keys("age", "name"),
    ),
    ("rest framework", rest_framework.exceptions.ValidationError([CANARY]), keys()),
    ("rest framework status", rest_framework.exceptions.PermissionDenied(CANARY), code("http_403")),
    (
        "marshmallow",
        raised(lambda: Order().load({"orderNumber": CANARY, "labels": {CANARY: CANARY}})),
        keys("labels", "orderNumber"),
    ),
    ("marshmallow unknown", raised(lambda: Order().load({"orderNumber": 1, CANARY: 1})), keys()),
    ("marshmallow own", marshmallow.ValidationError(CANARY), keys()),
    ("cattrs", raised(structure({"width": CANARY})), keys("width")),
    ("cattrs missing", raised(structure({})), keys("width")),
    ("cattrs unknown", raised(structure({"width": 1, CANARY: 1})), keys()),
    ("cattrs nested", raised(structure({"width": 1, "labels": {CANARY: "x"}})), keys("labels")),
    ("cattrs mapping", raised(structure({CANARY: "x"}, dict[str, int])), keys()),
    ("psycopg", psycopg.errors.lookup("23505")(CANARY), code("23505")),
    ("psycopg unreachable", raised(unreachable(psycopg.connect)), code("OperationalError")),
    ("psycopg2", of_psycopg2(), code("23505")),
    ("psycopg2 unreachable", raised(unreachable(psycopg2.connect)), code("OperationalError")),
    ("sqlalchemy", raised(sqlalchemy_error), code("SQLITE_CONSTRAINT_UNIQUE")),
    ("sqlalchemy own", sqlalchemy.exc.NoResultFound(CANARY), code("NoResultFound")),
    ("sqlite", raised(sqlite_error), code("SQLITE_CONSTRAINT_CHECK")),
    ("attrs", raised(lambda: Shelf(width=CANARY)), keys("width")),  # type: ignore[arg-type]
    ("enum", Refusal.NOT_FOUND, code("NOT_FOUND")),
    ("http status", http.HTTPStatus.CONFLICT, code("CONFLICT")),
    ("errno", errno.ENOENT, code("ENOENT")),
    ("number", 1234567, {"error_kind": "other"}),
    ("boolean", True, {"error_kind": "other"}),
    ("os error", FileNotFoundError(errno.ENOENT, CANARY, CANARY), code("ENOENT")),
    ("os error without a number", OSError(CANARY), other("OSError")),
    ("plain", ValueError(CANARY), other("ValueError")),
    ("key", KeyError(CANARY), other("KeyError")),
    ("class", LookupError, other("LookupError")),
    ("status", HTTPException(403, CANARY), code("http_403")),
    ("ours", Rejected("storage_full", CANARY), code("storage_full")),
    ("cancelled", asyncio.CancelledError(CANARY), code("cancelled")),
    ("symbol", "not_found", code("not_found")),
    ("text", f"no such user {CANARY}", {"error_kind": "other"}),
    ("password-like text", "hunter2", {"error_kind": "other"}),
    ("errors by field", {"name": [CANARY], "age": CANARY}, keys("age", "name")),
    ("none", None, {"error_kind": "other"}),
    ("object", object(), {"error_kind": "other"}),
    (
        "group of validations",
        ExceptionGroup(CANARY, [raised(decode({})), DjangoValidationError({"z": CANARY})]),
        keys("age", "z"),
    ),
    ("group of one", ExceptionGroup(CANARY, [OSError(errno.EPERM, CANARY)]), code("EPERM")),
    ("mixed group", ExceptionGroup(CANARY, [ValueError(), KeyError()]), other("ExceptionGroup")),
]


@pytest.mark.parametrize(("_name", "reason", "expected"), CASES, ids=[case[0] for case in CASES])
def test_reason_is_classified(_name: str, reason: Any, expected: dict[str, Any]) -> None:
    assert classify(reason) == expected


@pytest.mark.parametrize(("_name", "reason", "_"), CASES, ids=[case[0] for case in CASES])
def test_no_value_of_a_reason_is_recorded(_name: str, reason: Any, _: Any) -> None:
    sink = MemorySink(redaction=False)
    sink.record_failure("person.deleted", reason)
    assert CANARY not in repr(sink.one())
    assert "hunter2" not in repr(sink.one())


def test_driver_code_behind_djangos_error_is_found() -> None:
    error = DjangoIntegrityError(CANARY)
    error.__cause__ = raised(sqlite_error)
    assert classify(error) == code("SQLITE_CONSTRAINT_CHECK")
    assert classify(DjangoIntegrityError(CANARY)) == code("IntegrityError")


def test_number_of_mysqls_drivers_is_taken_and_its_text_is_not() -> None:
    mysql = sqlalchemy.exc.IntegrityError("insert", {}, Exception(1062, CANARY))
    assert classify(mysql) == code("1062")


def test_exception_that_lies_or_breaks_is_other() -> None:
    class Broken(Exception):
        @property
        def code(self) -> str:
            raise RuntimeError

    assert classify(Broken(CANARY)) == {"error_kind": "other"}


@given(st.text())
def test_no_text_passes_that_is_not_a_symbol(reason: str) -> None:
    facts = classify(reason)
    if facts["error_kind"] == "code":
        assert not any(letter.isdigit() or letter.isspace() for letter in facts["error_code"])


def test_no_package_is_imported_to_classify() -> None:
    script = (
        "import sys; from collector.client import classify; classify(ValueError('x'));"
        "classify({'a': 1}); classify(OSError(2, 'x'));"
        "print([m for m in ('pydantic', 'django', 'sqlalchemy', 'attr', 'anyio', 'logging',"
        " 'asyncio', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
