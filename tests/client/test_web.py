"""Middleware: the request's actor, address and trace, in the real Starlette, FastAPI and Litestar,
in a bare ASGI application and under WSGI."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Annotated, Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, get
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from collector.client import (
    AuditMiddleware,
    AuditWSGIMiddleware,
    MemorySink,
    audit,
    configure,
    record,
)
from collector.client.addresses import Proxies
from collector.client.requests import person, trace_id

pytestmark = pytest.mark.anyio

TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = {
    "authorization": "Basic " + base64.b64encode(b"ada:hunter2").decode(),
    "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    "x-forwarded-for": "6.6.6.6, 203.0.113.9",
}


@pytest.fixture
def sink() -> MemorySink:
    sink = MemorySink()
    configure(sink)
    return sink


async def ask(app: Any, path: str = "/", **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app, client=("10.0.0.1", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, headers=HEADERS | headers)


def expect(sink: MemorySink, action: str, actor: str | None = "user:ada") -> None:
    event = sink.one(action, ip="203.0.113.9", correlation_id=TRACE)
    assert (f"{event.actor.type}:{event.actor.id}" if event.actor else None) == actor  # type: ignore[union-attr]
    assert "hunter2" not in repr(event)


class Backend(AuthenticationBackend):
    async def authenticate(self, conn: Any) -> Any:
        name = base64.b64decode(conn.headers["authorization"][6:]).decode().partition(":")[0]
        return AuthCredentials(["authenticated"]), SimpleUser(name)


@pytest.mark.parametrize("outside", [True, False])
async def test_starlette_request_carries_its_user_inside_or_outside_of_authentication(
    sink: MemorySink, outside: bool
) -> None:
    async def home(request: Any) -> PlainTextResponse:
        record("page.seen")
        with audit("page.made"):
            await run_in_threadpool(record, "thread.worked")
        return PlainTextResponse("hi", background=BackgroundTask(record, "later.done"))

    ours = Middleware(AuditMiddleware, trusted_proxies=["10.0.0.0/8"], channel="web")
    theirs = Middleware(AuthenticationMiddleware, backend=Backend())
    order = [ours, theirs] if outside else [theirs, ours]
    await ask(Starlette(routes=[Route("/", home)], middleware=order))
    for action in ("page.seen", "page.made", "thread.worked", "later.done"):
        expect(sink, action)
    assert sink.recorded(channel="web") == 4
    assert sink.one("thread.worked").causation_id == sink.one("page.made").id


def current(request: Request) -> str:
    """A dependency that authenticates; FastAPI resolves its name in this module."""
    request.state.actor = ("user", "ada")
    return "ada"


async def test_fastapi_request_takes_the_actor_from_the_applications_own_word(
    sink: MemorySink,
) -> None:
    app = FastAPI()
    app.add_middleware(
        AuditMiddleware,
        actor=lambda scope: scope.get("state", {}).get("actor"),
        trusted_proxies=["10.0.0.1"],
    )

    @app.get("/")
    def home(name: Annotated[str, Depends(current)]) -> str:
        record("page.seen")  # a plain function: FastAPI runs it in a thread
        return name

    await ask(app)
    expect(sink, "page.seen")


async def test_litestar_request_carries_its_user(sink: MemorySink) -> None:
    class Authentication(AbstractAuthenticationMiddleware):
        async def authenticate_request(self, connection: Any) -> AuthenticationResult:
            return AuthenticationResult(user={"id": "ada", "name": "Ada"}, auth=None)

    @get("/")
    async def home() -> str:
        record("page.seen")
        return "hi"

    inner = Litestar(route_handlers=[home], middleware=[Authentication], openapi_config=None)
    await ask(AuditMiddleware(inner, trusted_proxies=["10.0.0.1"]))  # type: ignore[arg-type]
    expect(sink, "page.seen")


async def bare(scope: Any, receive: Any, send: Any) -> None:
    record("page.seen")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_anonymous_request_has_no_actor_and_a_transaction_of_its_own(
    sink: MemorySink,
) -> None:
    await ask(AuditMiddleware(bare), traceparent="junk")
    await ask(AuditMiddleware(bare), traceparent="")
    first, second = sink.events
    assert first.actor is None
    assert first.ip == "10.0.0.1"  # nobody is trusted, so the header is only a claim
    assert first.correlation_id != second.correlation_id
    assert len(first.correlation_id or "") == 36


async def test_actor_that_fails_costs_the_actor_only(sink: MemorySink) -> None:
    def broken(scope: Any) -> Any:
        raise RuntimeError("no session store")

    assert (await ask(AuditMiddleware(bare, actor=broken))).status_code == 200
    assert sink.one("page.seen").actor is None


async def test_other_scopes_go_through_and_broken_servers_do_no_harm(sink: MemorySink) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])
        record("scope.seen")

    middleware = AuditMiddleware(app)
    await middleware({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    await middleware({"type": "http", "headers": 5, "client": "what"}, None, None)  # type: ignore[arg-type]
    await middleware({"type": "websocket", "client": ("::1", 1), "headers": []}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan", "http", "websocket"]
    assert [event.ip for event in sink.events] == [None, None, "::1"]


async def test_exception_goes_through_and_the_context_is_left(sink: MemorySink) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await AuditMiddleware(app)({"type": "http", "client": ("::1", 1)}, None, None)  # type: ignore[arg-type]
    record("after.it")
    assert sink.one("after.it").ip is None


# ── WSGI ────────────────────────────────────────────────────────────────────────────────────────


def environ(**more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "REMOTE_ADDR": "10.0.0.1",
        "REMOTE_USER": "ada",
        "HTTP_X_FORWARDED_FOR": HEADERS["x-forwarded-for"],
        "HTTP_TRACEPARENT": HEADERS["traceparent"],
        **more,
    }
    setup_testing_defaults(made)
    return made


def test_wsgi_request_carries_its_user_while_its_body_is_sent(sink: MemorySink) -> None:
    closed: list[int] = []

    class Body:
        def __iter__(self) -> Any:
            record("body.made")
            yield b"x"

        def close(self) -> None:
            record("body.closed")
            closed.append(1)

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        record("page.seen")
        start_response("200 OK", [])
        return Body()

    wrapped = AuditWSGIMiddleware(app, trusted_proxies=["10.0.0.0/8"])
    body = wrapped(environ(), lambda *_: None)
    record("between.it")
    assert b"".join(body) == b"x"
    body.close()  # type: ignore[attr-defined]
    assert closed == [1]
    for action in ("page.seen", "body.made", "body.closed"):
        expect(sink, action)
    assert sink.one("between.it").actor is None


def test_wsgi_body_that_is_finished_or_a_file_goes_on_as_it_is(sink: MemorySink) -> None:
    import io

    whole = [b"x"]
    file = FileWrapper(io.BytesIO(b"x"))
    env = environ(**{"wsgi.file_wrapper": FileWrapper})
    assert AuditWSGIMiddleware(lambda *_: whole)(env, lambda *_: None) is whole
    assert AuditWSGIMiddleware(lambda *_: file)(env, lambda *_: None) is file


# ── pieces ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("trusted", "peer", "xff", "forwarded", "expected"),
    [
        ([], "10.0.0.1", "1.1.1.1", "", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "1.1.1.1", "", "1.1.1.1"),
        (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "", "1.1.1.1"),
        (["10.0.0.0/8"], "10.0.0.1", "10.0.0.3, 10.0.0.2", "", "10.0.0.3"),
        (["10.0.0.0/8"], "10.0.0.1", "junk, 10.0.0.2", "", "10.0.0.2"),
        (["10.0.0.0/8"], "10.0.0.1", "", "", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "9.9.9.9", 'for="[2001:db8::1]:47", for=10.0.0.9', "2001:db8::1"),
        (["10.0.0.0/8"], "10.0.0.1", "", "for=unknown", "10.0.0.1"),
        (["10.0.0.0/8"], "10.0.0.1", "1.1.1.1:4711", "", "1.1.1.1"),
        (["::1"], "::1", "::ffff:1.2.3.4", "", "1.2.3.4"),
        (["unix"], None, "1.1.1.1", "", "1.1.1.1"),
        ([], None, "1.1.1.1", "", None),
        ([], "testclient", "", "", None),
    ],
)  # fmt: skip
def test_address_is_the_last_hop_that_is_not_ours(
    trusted: list[str], peer: str | None, xff: str, forwarded: str, expected: str | None
) -> None:
    assert Proxies(trusted).client(peer, xff, forwarded) == expected


@given(peer=st.text(), xff=st.text(), forwarded=st.text())
def test_no_header_breaks_the_address(peer: str, xff: str, forwarded: str) -> None:
    Proxies(["0.0.0.0/0", "::/0", "unix"]).client(peer, xff, forwarded)


def test_proxies_that_are_none_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        AuditMiddleware(bare, trusted_proxies=["nonsense"])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (HEADERS["traceparent"], TRACE),
        (f" {HEADERS['traceparent']} ", TRACE),
        (f"01-{TRACE}-b7ad6b7169203331-01-more", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331-01-more", None),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None),
        ("", None),
        (None, None),
    ],
)
def test_traceparent_is_read_as_w3c_has_it(header: str | None, expected: str | None) -> None:
    assert trace_id(header) == expected


def test_user_objects_of_many_kinds_are_understood() -> None:
    class Row:
        id = 7
        username = "ada"
        email = "ada@example.org"
        role = "admin"

    assert person(Row()) == {
        "type": "user", "id": "7", "name": "ada", "role": "admin", "email": "ada@example.org",
    }  # fmt: skip
    assert person({"sub": "x", "name": "Ada"})["id"] == "x"  # type: ignore[index, call-overload]
    assert person(None) is None

    class Anonymous:
        is_authenticated = False

    assert person(Anonymous()) is None
