"""Changes in bulk: query sets that read the rows they touch before and after."""

# Django comes without types.
# mypy: disable-error-code="import-untyped, misc, no-any-return"

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction

from collector.client.rows import Change, object_type

BULK_MAX: Final = 10_000
"""Rows of one `QuerySet.update` that are read before and after it; more are refused, loudly."""
Row = dict[str, Any]


class Audit(Protocol):
    """What a query set needs of a `ModelAudit`."""

    def rows(self, model: Any, using: str, keys: Iterable[Any]) -> dict[Any, Row]:
        """The rows with these primary keys, by key."""

    def changed(self, using: str, changes: list[Change]) -> None:
        """Record these when the transaction commits."""


class AuditedQuerySet(models.QuerySet):
    """A query set whose changes in bulk are seen. `audit_models` puts it under every manager of a
    model; a manager that makes its own query sets needs it among their bases."""

    _collector_audit: Audit | None = None

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


def audit_managers(model: type[models.Model], audit: Audit) -> None:
    """Let every manager of `model` hand out query sets that are audited.

    Raises ImproperlyConfigured for one that makes query sets of a class of its own.
    """
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


def release_managers(model: type[models.Model]) -> None:
    """Give every manager of `model` its own query sets back."""
    for manager in model._meta.managers:
        plain = getattr(manager, "_collector_plain", None)
        if plain is not None:
            manager._queryset_class = plain
            del manager._collector_plain
