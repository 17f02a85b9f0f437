"""Logins, logouts and failed logins, by Django's own signals."""

# Django comes without types.
# mypy: disable-error-code="import-untyped, misc, no-any-return"

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from collector.client.functions import default
from collector.client.quiet import quiet
from collector.client.requests import person
from collector.client.trail import Trail


def audit_auth(trail: Trail | None = None) -> None:
    """Record logins, logouts and failed logins: `user.logged_in`, `user.logged_out`,
    `user.login_failed`."""

    def logged_in(sender: Any, user: Any, **_: Any) -> None:
        (trail or default()).record_auth("user.logged_in", outcome="success", actor=person(user))

    def logged_out(sender: Any, user: Any, **_: Any) -> None:
        (trail or default()).record_auth("user.logged_out", outcome="success", actor=person(user))

    def failed(sender: Any, credentials: Mapping[str, Any], **_: Any) -> None:
        name = credentials.get("username") or credentials.get(get_user_model().USERNAME_FIELD)
        (trail or default()).record_auth(
            "user.login_failed",
            outcome="failure",
            actor={"name": name} if name else None,  # else it would read as the service's own
            object=("user", None, name),
        )

    for signal, receiver in (
        (user_logged_in, logged_in),
        (user_logged_out, logged_out),
        (user_login_failed, failed),
    ):
        signal.connect(quiet(receiver), weak=False, dispatch_uid=f"collector.{receiver.__name__}")
