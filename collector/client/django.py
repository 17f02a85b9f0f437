"""Django: who asks, what they change, how they log in.

    MIDDLEWARE = [..., "collector.client.django.CollectorMiddleware"]     # after authentication

    class ShopConfig(AppConfig):
        def ready(self):
            from collector.client.django import audit_auth, audit_models
            audit_models(Order, Customer, channel="shop")
            audit_auth()

Each change is recorded when its transaction commits, with the object's whole new state; one that is
rolled back, to a savepoint too, never was. `QuerySet.update`, `bulk_create` and `bulk_update` are
included; raw SQL and the database's own cascades are out of sight.
"""

# Django comes without types.
# mypy: disable-error-code="import-untyped, misc, no-any-return"

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from typing import Any, Final, TypeVar, Unpack

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from collector.client import notices
from collector.client.addresses import Proxies
from collector.client.context import ambient, enter, leave
from collector.client.fields import Deed
from collector.client.functions import default
from collector.client.requests import asker, correlation, person
from collector.client.rows import Change, object_type
from collector.client.rows import record as record_changes
from collector.client.trail import Trail
from collector.errors import CollectorError

F = TypeVar("F", bound=Callable[..., Any])
Row = dict[str, Any]
BULK_MAX: Final = 10_000
"""Rows of one `QuerySet.update` that are read before and after it; more are refused, loudly."""
KEYS_A_QUERY: Final = 500


class CollectorMiddleware:
    """What a request records carries its user, its address and its trace.

    `settings.COLLECTOR_TRUSTED_PROXIES` lists the proxies whose forwarding headers count. Works in
    both worlds; the user is asked for when something is recorded, so that it costs no query of its
    own. In a coroutine a user that nobody has loaded yet is not loaded for our sake.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._proxies = Proxies(getattr(settings, "COLLECTOR_TRUSTED_PROXIES", ()))
        self._async = iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if self._async:
            return self._respond(request)
        token = enter({**ambient(), **self._fields(request)})
        try:
            return self.get_response(request)
        finally:
            leave(token)

    async def _respond(self, request: Any) -> Any:
        token = enter({**ambient(), **self._fields(request)})
        try:
            return await self.get_response(request)
        finally:
            leave(token)

    def _fields(self, request: Any) -> dict[str, Any]:
        fields: dict[str, Any] = {"actor": asker(partial(_user, request))}
        try:
            meta = request.META
            fields["ip"] = self._proxies.client(
                meta.get("REMOTE_ADDR"),
                meta.get("HTTP_X_FORWARDED_FOR", ""),
                meta.get("HTTP_FORWARDED", ""),
            )
            fields["correlation_id"] = correlation(meta.get("HTTP_TRACEPARENT"))
        except Exception:  # auditing never stands in a request's way
            pass
        return fields


def _user(request: Any) -> Any:
    """The user; what `request.auser()` found where a coroutine asked for it."""
    return getattr(request, "_acached_user", None) or getattr(request, "user", None)


def audit_models(
    *audited: type[models.Model],
    trail: Trail | None = None,
    ignore: Iterable[str] = (),
    **fields: Unpack[Deed],
) -> ModelAudit:
    """Record the committed changes of these models; `OrderLine` is `order_line`.

    `ignore` names fields that are never recorded, `fields` hold for every event. Raises
    ImproperlyConfigured for a manager whose own query set would hide changes in bulk.
    """
    return ModelAudit(audited, trail, frozenset(ignore), fields)


def audit_auth(trail: Trail | None = None) -> None:
    """Record logins, logouts and failed logins: `user.logged_in`, `user.logged_out`,
    `user.login_failed`."""

    def logged_in(sender: Any, user: Any, **_: Any) -> None:
        (trail or default()).record_auth("user.logged_in", outcome="success", actor=person(user))

    def logged_out(sender: Any, user: Any, **_: Any) -> None:
        (trail or default()).record_auth("user.logged_out", outcome="success", actor=person(user))

    def failed(sender: Any, credentials: Mapping[str, Any], **_: Any) -> None:
        name = credentials.get("username")
        (trail or default()).record_auth(
            "user.login_failed", outcome="failure", object=("user", None, name)
        )

    for signal, receiver in (
        (user_logged_in, logged_in),
        (user_logged_out, logged_out),
        (user_login_failed, failed),
    ):
        signal.connect(_quiet(receiver), weak=False, dispatch_uid=f"collector.{receiver.__name__}")


def _quiet(listener: F) -> F:
    """Auditing never breaks a save, but where it says so on purpose."""

    @wraps(listener)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return listener(*args, **kwargs)
        except (ImproperlyConfigured, CollectorError):
            raise
        except Exception as error:
            notices.refused("failed", f"a change could not be collected: {type(error).__name__}")

    return call  # type: ignore[return-value]


class ModelAudit:
    """The receivers that `audit_models` connected."""

    def __init__(
        self,
        audited: Iterable[type[models.Model]],
        trail: Trail | None,
        ignore: frozenset[str],
        fields: Mapping[str, Any],
    ) -> None:
        self._trail = trail
        self._ignore = ignore
        self._fields = fields
        self._models = tuple(audited)
        self._signals: list[tuple[Any, Callable[..., Any], Any]] = []
        for model in self._models:
            self._connect(pre_save, self._before, model)
            self._connect(post_save, self._saved, model)
            self._connect(pre_delete, self._before, model)
            self._connect(post_delete, self._deleted, model)
            for relation in model._meta.many_to_many:
                changed = partial(self._related, relation.name)
                self._connect(m2m_changed, changed, getattr(model, relation.name).through)
            _bulk(model, self)

    def _connect(self, signal: Any, receiver: Callable[..., Any], sender: Any) -> None:
        quiet = _quiet(receiver) if not isinstance(receiver, partial) else receiver
        signal.connect(quiet, sender=sender, weak=False)
        self._signals.append((signal, quiet, sender))

    def remove(self) -> None:
        """Record nothing more."""
        for signal, receiver, sender in self._signals:
            signal.disconnect(receiver, sender=sender)
        for model in self._models:
            for manager in model._meta.managers:
                kept = getattr(manager, "_collector_plain", None)
                if kept is not None:
                    manager._queryset_class = kept
                    del manager._collector_plain

    # ── one object ──────────────────────────────────────────────────────────────────────────────

    def _before(self, sender: Any, instance: Any, using: str, **_: Any) -> None:
        """Django does not know what an object was when it was loaded: the database does."""
        instance._collector_before = self.rows(sender, using, [instance.pk]).get(instance.pk)

    def _saved(self, sender: Any, instance: Any, using: str, created: bool, **_: Any) -> None:
        before = instance.__dict__.pop("_collector_before", None)
        after = self._state(sender, instance, using)
        self.changed(
            using, [Change(object_type(sender), (instance.pk,), before, after, created=created)]
        )

    def _deleted(self, sender: Any, instance: Any, using: str, **_: Any) -> None:
        before = instance.__dict__.pop("_collector_before", None)
        self.changed(using, [Change(object_type(sender), (instance.pk,), before, None)])

    def _state(self, model: Any, instance: Any, using: str) -> Row:
        state = {name: instance.__dict__.get(name, _MISSING) for name in self._names(model)}
        # Deferred fields, and expressions that only the database can tell the value of.
        if any(
            value is _MISSING or hasattr(value, "resolve_expression") for value in state.values()
        ):
            return self.rows(model, using, [instance.pk]).get(instance.pk, {})
        return {
            field.attname: field.to_python(state[field.attname])
            for field in model._meta.concrete_fields
            if field.attname in state
        }

    def _names(self, model: Any) -> list[str]:
        names = (field.attname for field in model._meta.concrete_fields)
        return [name for name in names if name not in self._ignore]

    def _related(
        self, name: str, sender: Any, instance: Any, action: str, reverse: bool, pk_set: Any,
        using: str, **_: Any,
    ) -> None:  # fmt: skip
        """Members added to or removed from a many-to-many relation of an audited object."""
        verb = {"post_add": "added", "post_remove": "removed", "post_clear": "cleared"}.get(action)
        if verb is None or (verb != "cleared" and not pk_set):
            return
        owner = object_type(type(instance))
        members = sorted(map(str, pk_set or ()))
        event: Any = {
            **self._fields,
            "object": (owner, str(instance.pk)),
            "metadata": {"relation": name, verb: members or True, "reverse": reverse},
        }
        trail = self._trail or default()
        transaction.on_commit(
            partial(trail.record, f"{owner}.updated", **event), using=using, robust=True
        )

    # ── several ─────────────────────────────────────────────────────────────────────────────────

    def rows(self, model: Any, using: str, keys: Iterable[Any]) -> dict[Any, Row]:
        """The rows with these primary keys, by key."""
        wanted = [key for key in keys if key is not None]
        names = self._names(model)
        found: dict[Any, Row] = {}
        for start in range(0, len(wanted), KEYS_A_QUERY):
            some = model._base_manager.using(using).filter(pk__in=wanted[start:][:KEYS_A_QUERY])
            for key, *values in some.values_list("pk", *names):
                found[key] = dict(zip(names, values, strict=True))
        return found

    def changed(self, using: str, changes: list[Change]) -> None:
        """Record these when the transaction commits; Django forgets them with their savepoint."""
        trail = self._trail or default()
        transaction.on_commit(
            partial(record_changes, trail, changes, self._fields), using=using, robust=True
        )


_MISSING: Final = object()


class AuditedQuerySet(models.QuerySet):
    """A query set whose changes in bulk are seen. `audit_models` puts it under every manager of a
    model; a manager that makes its own query sets needs it among their bases."""

    _collector_audit: ModelAudit | None = None

    def update(self, **kwargs: Any) -> int:
        """See `QuerySet.update`; the rows are read before and after."""
        audit = self._collector_audit
        if audit is None:
            return super().update(**kwargs)
        with transaction.atomic(using=self.db, savepoint=False):
            keys = list(self.order_by().values_list("pk", flat=True)[: BULK_MAX + 1])
            if len(keys) > BULK_MAX:
                raise ImproperlyConfigured(
                    f"this update touches more than {BULK_MAX} rows of {self.model.__name__}:"
                    " make it smaller, or go through _base_manager and record it yourself"
                )
            before = audit.rows(self.model, self.db, keys)
            count = super().update(**kwargs)
            after = audit.rows(self.model, self.db, keys)
            kind = object_type(self.model)
            audit.changed(
                self.db, [Change(kind, (key,), before.get(key), after.get(key)) for key in keys]
            )
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """See `QuerySet.bulk_create`; the new rows are read back."""
        audit = self._collector_audit
        if audit is None:
            return super().bulk_create(objs, *args, **kwargs)
        with transaction.atomic(using=self.db, savepoint=False):
            objs = list(objs)
            known = audit.rows(self.model, self.db, [each.pk for each in objs])
            made = super().bulk_create(objs, *args, **kwargs)
            if any(each.pk is None for each in made):
                raise ImproperlyConfigured(
                    f"bulk_create of {self.model.__name__} does not learn its primary keys here:"
                    " save one by one, or go through _base_manager and record it yourself"
                )
            after = audit.rows(self.model, self.db, [each.pk for each in made])
            kind = object_type(self.model)
            audit.changed(
                self.db,
                [
                    Change(kind, (key,), known.get(key), row, created=key not in known)
                    for key, row in after.items()
                ],
            )
        return made


def _bulk(model: type[models.Model], audit: ModelAudit) -> None:
    """Let every manager of `model` hand out query sets that are audited."""
    for manager in model._meta.managers:
        plain = manager._queryset_class
        bases = (plain,) if issubclass(plain, AuditedQuerySet) else (AuditedQuerySet, plain)
        audited = type(f"Audited{plain.__name__}", bases, {"_collector_audit": audit})
        manager._collector_plain = plain
        manager._queryset_class = audited
        if getattr(manager.get_queryset(), "_collector_audit", None) is not audit:
            raise ImproperlyConfigured(
                f"{model.__name__}.{manager.name} makes query sets of its own: let their class"
                " inherit from collector.client.django.AuditedQuerySet"
            )
