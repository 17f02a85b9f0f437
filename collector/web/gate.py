"""The door in front of every path: Host, Origin, and who is asking.

An ASGI application around the other one, so that nothing behind it can be reached without having
passed. On the Unix socket there is no Host to check: its permissions are the check.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from collector.core.control import Key, Role
from collector.event import Principal, Producer
from collector.web.denials import Denials
from collector.web.guesses import ADDRESS_KEY, Guesses
from collector.web.identity import PEER_KEY, SCOPE_KEY, Identity, anonymous, of_key, of_peer
from collector.web.problems import MEDIA_TYPE, Problem, Refused, of_error
from collector.web.session import Sessions, cookie_of

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_FORWARDING: Final = ("forwarded", "x-forwarded-for", "x-real-ip")
_NO_METHOD: Final = "NONE"
_ENDLESS: Final = ("/stream", "/export")
"""What is sent bit by bit, and is nothing without its content, has no HEAD."""
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
)


_NOT_KEPT: Final = (b"cache-control", b"no-store")
"""For all that does not say otherwise: who did what is nothing for a browser's cache."""


class Rules(Struct, frozen=True):
    """What the configuration says: names we answer to, anonymous callers' role, trusted proxies."""

    hosts: frozenset[str]
    anonymous: Role | None
    proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()


def rules(host: str, hosts: Iterable[str], anonymous_role: str, proxies: Iterable[str]) -> Rules:
    """The rules for `[web]`; `anonymous_role` is a role or "none"."""
    names = {_bare(name) for name in (host, *hosts)} | _LOCAL_NAMES
    role: Role | None = None if anonymous_role == "none" else msgspec.convert(anonymous_role, Role)
    return Rules(
        frozenset(names - {"0.0.0.0", "::", ""}),
        role,
        tuple(ipaddress.ip_network(proxy, strict=False) for proxy in proxies),
    )


class Gate:
    """Wraps `app`. `is_admin` judges a peer's credentials."""

    def __init__(
        self,
        app: App,
        rules: Rules,
        sessions: Sessions,
        denials: Denials,
        guesses: Guesses,
        is_admin: Callable[[Producer], bool],
    ) -> None:
        self._app = app
        self.rules = rules
        self._sessions = sessions
        self._denials = denials
        self._guesses = guesses
        self._is_admin = is_admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        address = self._address(scope, headers)
        scope[ADDRESS_KEY] = address
        has_head = not scope["path"].endswith(_ENDLESS)
        outward = _with_security_headers(send, has_head)
        try:
            self._check_host(scope, headers)
            self._check_origin(scope, headers)
            identity = self._identify(scope, headers, address)
        except Refused as error:
            found = of_error(error)
            self.deny(found, scope, address, None)
            await _send_problem(outward, found, error.headers)
            return
        scope[SCOPE_KEY] = identity
        if scope["method"] == "OPTIONS":
            scope, outward = {**scope, "method": _NO_METHOD}, _as_options(outward)
        elif scope["method"] == "HEAD" and has_head:
            # The server leaves the body out: it goes by the method that was sent.
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, outward)

    def deny(self, found: Problem, scope: Scope, address: str | None, who: Identity | None) -> None:
        """Record a refusal, throttled."""
        actor = who.actor if who else Principal(type="anonymous", name="anonymous")
        about = {"method": scope["method"][:20], "path": scope["path"][:200]}
        self._denials.record(found.code, address, actor, about)

    # ── Host and Origin ─────────────────────────────────────────────────────────────────────────

    def _check_host(self, scope: Scope, headers: dict[str, str]) -> None:
        if PEER_KEY in scope:
            return
        name = _bare(headers.get("host", ""))
        if name not in self.rules.hosts and name != self._local_address(scope):
            raise Refused(
                "misdirected", f"this is not {name[:100]!r}; add the name to web.hosts if it is"
            )

    @staticmethod
    def _local_address(scope: Scope) -> str | None:
        """Our own end of the connection: an address as Host is never the work of a rebound name."""
        server = scope.get("server")
        return _bare(server[0]) if server else None

    def _check_origin(self, scope: Scope, headers: dict[str, str]) -> None:
        if scope["method"] in SAFE_METHODS:
            return
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site", "same-origin")
        if origin is not None and not self._own_origin(scope, origin, headers):
            raise Refused("foreign_origin", "a page of another site may not write here")
        if site not in ("same-origin", "none"):
            raise Refused("foreign_origin", "a page of another site may not write here")

    @staticmethod
    def _own_origin(scope: Scope, origin: str, headers: dict[str, str]) -> bool:
        """The page's origin is ours where it names the host and port that the request went to."""
        scheme, _, place = origin.partition("://")
        return scheme in ("http", "https") and place.lower() == headers.get("host", "").lower()

    # ── identity ────────────────────────────────────────────────────────────────────────────────

    def _identify(self, scope: Scope, headers: dict[str, str], address: str | None) -> Identity:
        authorization = headers.get("authorization")
        if authorization is not None:
            return of_key(self._bearer(authorization, scope))
        peer = scope.get(PEER_KEY)
        if peer is not None:
            return of_peer(peer, self._is_admin(peer))
        cookie = cookie_of(headers["cookie"]) if "cookie" in headers else None
        key = self._sessions.read(cookie) if cookie else None
        if key is not None:
            return of_key(key)
        return anonymous(self.rules.anonymous if _is_loopback(address) else None)

    def _bearer(self, authorization: str, scope: Scope) -> Key:
        scheme, _, secret = authorization.partition(" ")
        key = self._guesses.find(secret.strip(), scope) if scheme.lower() == "bearer" else None
        if key is None:
            raise Refused(
                "unauthorized",
                "this key is not known; make one with `collector keys add LABEL --role ROLE`",
                {"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        return key

    def _address(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """The caller's address: a trusted proxy's word where there is one.

        None where a proxy that is not trusted forwarded the request, and on the Unix socket.
        """
        client = scope.get("client")
        if PEER_KEY in scope or not client:
            return None
        address: str = client[0]
        forwarded = [name for name in _FORWARDING if name in headers]
        if not self._is_proxy(address):
            return None if forwarded and _is_loopback(address) else address
        chain = [part.strip() for part in headers.get("x-forwarded-for", "").split(",")]
        for hop in reversed([part for part in chain if part]):
            if not self._is_proxy(hop):
                return _bare(hop) if _ip(hop) else None
        return None if forwarded else address

    def _is_proxy(self, text: str) -> bool:
        address = _ip(text)
        return address is not None and any(address in network for network in self.rules.proxies)


def _headers(scope: Scope) -> dict[str, str]:
    """Header names are lower case in ASGI; of repeated ones the values are joined, as HTTP has it."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        joiner = "; " if name == "cookie" else ", "
        found[name] = f"{found[name]}{joiner}{value}" if name in found else value
    return found


def _bare(host: str) -> str:
    """A Host without port, brackets, final dot and capitals."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return host.rstrip(".")


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _is_loopback(address: str | None) -> bool:
    found = _ip(address) if address else None
    return found is not None and found.is_loopback


def _with_security_headers(send: Send, has_head: bool) -> Send:
    async def outward(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [*_allowing(message["headers"], has_head), *_SECURITY_HEADERS]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append(_NOT_KEPT)
            message = {**message, "headers": headers}
        await send(message)

    return outward


def _allowing(
    headers: Iterable[tuple[bytes, bytes]], has_head: bool
) -> Iterator[tuple[bytes, bytes]]:
    """`Allow` with HEAD, which the gate answers and no handler knows."""
    for name, value in headers:
        add = has_head and name == b"allow" and b"GET" in value
        yield name, value + b", HEAD" if add else value


def _as_options(send: Send) -> Send:
    """The answer to a method that no path knows names the methods that it does know."""
    allowed = False

    async def outward(message: dict[str, Any]) -> None:
        nonlocal allowed
        if message["type"] == "http.response.start" and message["status"] == 405:
            allowed = True
            headers = [(name, value) for name, value in message["headers"] if name == b"allow"]
            message = {**message, "status": 204, "headers": headers}
        elif allowed:
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    return outward


async def _send_problem(send: Send, found: Problem, headers: dict[str, str]) -> None:
    body = msgspec.json.encode(found)
    lines = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        **{name.lower(): value for name, value in headers.items()},
    }
    raw = [(name.encode(), value.encode()) for name, value in lines.items()]
    await send({"type": "http.response.start", "status": found.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
