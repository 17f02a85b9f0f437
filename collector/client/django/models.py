"""Changes of models, one object at a time, by Django's signals; recorded on commit."""

# Django comes without types.
# mypy: disable-error-code="import-untyped, misc, no-any-return"

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final, Unpack

from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from collector.client.django.querysets import Row, audit_managers, release_managers
from collector.client.fields import Deed
from collector.client.functions import default
from collector.client.quiet import quiet
from collector.client.rows import Change, object_type
from collector.client.rows import record as record_changes
from collector.client.trail import Trail

KEYS_A_QUERY: Final = 500
_MISSING: Final = object()


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
            self._connect(pre_save, quiet(self._before), model)
            self._connect(post_save, quiet(self._saved), model)
            self._connect(pre_delete, quiet(self._before), model)
            self._connect(post_delete, quiet(self._deleted), model)
            for relation in model._meta.many_to_many:
                changed = quiet(partial(self._related, relation.name))
                self._connect(m2m_changed, changed, getattr(model, relation.name).through)
            audit_managers(model, self)

    def _connect(self, signal: Any, receiver: Callable[..., Any], sender: Any) -> None:
        signal.connect(receiver, sender=sender, weak=False)
        self._signals.append((signal, receiver, sender))

    def remove(self) -> None:
        """Record nothing more."""
        for signal, receiver, sender in self._signals:
            signal.disconnect(receiver, sender=sender)
        for model in self._models:
            release_managers(model)

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
