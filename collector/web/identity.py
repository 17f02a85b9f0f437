"""Who is at the other end of a request, what they may do, and of which tenant."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from collector.core.control import Caller, Key, Role
from collector.event import Principal, Producer

ROLES: Final[tuple[Role, ...]] = ("admin", "viewer", "producer")
SCOPE_KEY: Final = "collector.identity"
"""Where the gate leaves the identity in an ASGI scope."""
PEER_KEY: Final = "collector.peer"
"""Where the transport leaves the kernel's credentials of a peer on the Unix socket."""


class Identity(Struct, frozen=True):
    """`role` None may do nothing. `tenant_id` binds everything seen and written to one tenant.

    `known` is false for an anonymous caller, whatever its role.
    """

    role: Role | None
    producer: Producer
    actor: Principal
    known: bool
    tenant_id: str | None = None

    @property
    def admin(self) -> bool:
        """Whether everything may be seen and changed."""
        return self.role == "admin"

    @property
    def caller(self) -> Caller:
        """The identity as the daemon's `Control` takes it."""
        whole = self.admin and self.known and self.tenant_id is None
        return Caller(self.producer, self.actor, whole, "http")


def of_key(key: Key) -> Identity:
    """The bearer of an API key; its label is the actor."""
    producer = Producer(assurance="key", key=key.label)
    return Identity(key.role, producer, Principal(type="key", id=key.label), True, key.tenant_id)


def of_peer(peer: Producer, admin: bool) -> Identity:
    """A process on the Unix socket, by the kernel's word."""
    actor = Principal(type="user", id=str(peer.uid), name=peer.user)
    return Identity("admin" if admin else "viewer", peer, actor, True)


def anonymous(role: Role | None) -> Identity:
    """Nobody in particular."""
    actor = Principal(type="anonymous", name="anonymous")
    return Identity(role, Producer(assurance="asserted"), actor, False)
