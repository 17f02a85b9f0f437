"""What an action's last word becomes in a sentence: `updated` → "changed", "to change"."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Verb(Struct, frozen=True):
    """`past` follows who did it, `base` follows "to"; `link` joins a target, None for any other."""

    past: str
    base: str
    link: str = "for"


_KNOWN: Final = (
    # action word, past, base, link
    ("accepted", "accepted", "accept", "from"),
    ("added", "added", "add", "to"),
    ("approved", "approved", "approve", "for"),
    ("archived", "archived", "archive", "in"),
    ("assigned", "assigned", "assign", "to"),
    ("cancelled", "cancelled", "cancel", "for"),
    ("changed", "changed", "change", "for"),
    ("cleared", "cleared", "clear", "for"),
    ("closed", "closed", "close", "for"),
    ("completed", "completed", "complete", "for"),
    ("connected", "connected", "connect", "to"),
    ("copied", "copied", "copy", "to"),
    ("created", "created", "create", "for"),
    ("deleted", "deleted", "delete", "from"),
    ("deployed", "deployed", "deploy", "to"),
    ("disabled", "disabled", "disable", "for"),
    ("disconnected", "disconnected", "disconnect", "from"),
    ("downloaded", "downloaded", "download", "from"),
    ("enabled", "enabled", "enable", "for"),
    ("executed", "executed", "execute", "on"),
    ("exported", "exported", "export", "to"),
    ("granted", "granted", "grant", "to"),
    ("imported", "imported", "import", "from"),
    ("installed", "installed", "install", "on"),
    ("invited", "invited", "invite", "to"),
    ("linked", "linked", "link", "to"),
    ("locked", "locked", "lock", "for"),
    ("merged", "merged", "merge", "into"),
    ("modified", "changed", "change", "for"),
    ("moved", "moved", "move", "to"),
    ("opened", "opened", "open", "for"),
    ("paused", "paused", "pause", "for"),
    ("printed", "printed", "print", "on"),
    ("published", "published", "publish", "to"),
    ("read", "read", "read", "for"),
    ("received", "received", "receive", "from"),
    ("registered", "registered", "register", "with"),
    ("rejected", "rejected", "reject", "for"),
    ("removed", "removed", "remove", "from"),
    ("renamed", "renamed", "rename", "to"),
    ("requested", "requested", "request", "from"),
    ("reset", "reset", "reset", "for"),
    ("restarted", "restarted", "restart", "on"),
    ("restored", "restored", "restore", "from"),
    ("resumed", "resumed", "resume", "for"),
    ("revoked", "revoked", "revoke", "from"),
    ("saved", "saved", "save", "to"),
    ("scheduled", "scheduled", "schedule", "for"),
    ("sent", "sent", "send", "to"),
    ("set", "set", "set", "for"),
    ("shared", "shared", "share", "with"),
    ("signed", "signed", "sign", "for"),
    ("started", "started", "start", "on"),
    ("stopped", "stopped", "stop", "on"),
    ("synced", "synchronised", "synchronise", "with"),
    ("unlinked", "unlinked", "unlink", "from"),
    ("unlocked", "unlocked", "unlock", "for"),
    ("updated", "changed", "change", "for"),
    ("uploaded", "uploaded", "upload", "to"),
    ("used", "used", "use", "on"),
    ("verified", "verified", "verify", "with"),
    ("viewed", "viewed", "view", "for"),
)

VERBS: Final[dict[str, Verb]] = {word: Verb(past, base, link) for word, past, base, link in _KNOWN}
"""Verbs that take an object."""

ALONE: Final[dict[str, Verb]] = {
    "login": Verb("logged in", "log in", "to"),
    "logged_in": Verb("logged in", "log in", "to"),
    "login_failed": Verb("failed to log in", "log in", "to"),
    "logout": Verb("logged out", "log out", "of"),
    "logged_out": Verb("logged out", "log out", "of"),
    "signed_in": Verb("signed in", "sign in", "to"),
    "signed_out": Verb("signed out", "sign out", "of"),
    "signed_up": Verb("signed up", "sign up", "to"),
}
"""Verbs that take none: what the actor does with itself."""

ENDS: Final[dict[str, str]] = {
    "appeared": "appeared",
    "crashed": "crashed",
    "expired": "expired",
    "failed": "failed",
    "finished": "finished",
    "succeeded": "succeeded",
    "timed_out": "timed out",
}
"""What happens to a thing without anybody's doing: the thing is the subject of the sentence."""

BAD_ENDS: Final = frozenset({"crashed", "expired", "failed", "timed_out"})
"""Those of `ENDS` that are a failure by themselves."""


def spoken(word: str) -> str:
    """A word of an action as people say it: `password_reset` → "password reset"."""
    return word.replace("_", " ").replace("-", " ")
