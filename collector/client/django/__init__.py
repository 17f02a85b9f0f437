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

from collector.client.django.logins import audit_auth
from collector.client.django.middleware import CollectorMiddleware
from collector.client.django.models import ModelAudit, audit_models
from collector.client.django.querysets import BULK_MAX, AuditedQuerySet

__all__ = [
    "BULK_MAX",
    "AuditedQuerySet",
    "CollectorMiddleware",
    "ModelAudit",
    "audit_auth",
    "audit_models",
]
