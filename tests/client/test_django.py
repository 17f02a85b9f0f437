"""Middleware, model signals and logins, against the real Django with SQLite."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings

FOLDER = tempfile.mkdtemp(prefix="collector-django-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
settings.configure(
    DATABASES={
        "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/django.db"},
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "collector.client.django.CollectorMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="a test's",
    ALLOWED_HOSTS=["*"],
    USE_TZ=True,
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    COLLECTOR_TRUSTED_PROXIES=["127.0.0.1"],
)
django.setup()

from django.contrib.auth import authenticate  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.exceptions import ImproperlyConfigured  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import AsyncClient, Client  # noqa: E402
from django.urls import path  # noqa: E402

from collector.client import MemorySink, configure, record  # noqa: E402
from collector.client.django import audit_auth, audit_models  # noqa: E402


class Tag(models.Model):
    label = models.CharField(max_length=20)

    class Meta:
        app_label = "auth"


class Order(models.Model):
    name = models.CharField(max_length=20)
    count = models.IntegerField(default=1)
    api_token = models.CharField(max_length=40, default="t0psecret")
    tags = models.ManyToManyField(Tag)

    class Meta:
        app_label = "auth"


class OwnManager(models.Manager):  # type: ignore[type-arg]
    def get_queryset(self) -> Any:
        return models.QuerySet(self.model, using=self._db)


class Stubborn(models.Model):
    objects = OwnManager()

    class Meta:
        app_label = "auth"


def view(request: HttpRequest) -> HttpResponse:
    record("page.seen")
    return HttpResponse(b"seen")


async def async_view(request: HttpRequest) -> HttpResponse:
    await request.auser()
    record("page.seen")
    return HttpResponse(b"seen")


urlpatterns = [path("", view), path("async", async_view)]


@pytest.fixture(scope="module", autouse=True)
def _tables() -> Iterator[None]:
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        for model in (Tag, Order, Stubborn):
            editor.create_model(model)
    yield
    connection.close()
    Path(FOLDER, "django.db").unlink()


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    sink = MemorySink()
    configure(sink)
    audit = audit_models(Order, channel="shop")
    Order.objects.all().delete()
    sink.clear()
    yield sink
    audit.remove()


@pytest.fixture
def ada() -> Iterator[User]:
    user = User.objects.create_user("ada", "ada@example.org", "pw")
    yield user
    user.delete()


def told(sink: MemorySink, action: str) -> Any:
    metadata = sink.one(action).metadata
    assert metadata is not None
    return metadata["changes"]


def test_created_and_saved_objects_are_recorded_with_their_state(sink: MemorySink) -> None:
    order = Order.objects.create(name="bread")
    created = sink.one("order.created", object=("order", order.pk, "bread"), channel="shop")
    assert created.record == {
        "id": order.pk, "name": "bread", "count": 1, "api_token": "[redacted:00000000]",
    }  # fmt: skip
    order.count = models.F("count") + 4
    order.save()
    assert told(sink, "order.updated") == {"count": {"from": 1, "to": 5}}
    order.delete()
    assert sink.one("order.deleted").object_name == "bread"
    assert "t0psecret" not in repr(sink.events)


def test_saving_without_a_change_records_nothing(sink: MemorySink) -> None:
    order = Order.objects.create(name="bread")
    sink.clear()
    order.save()
    assert not sink.recorded()


def test_rolled_back_changes_never_were(sink: MemorySink) -> None:
    with transaction.atomic():
        Order.objects.create(name="kept")
        with transaction.atomic():
            Order.objects.create(name="undone")
            transaction.set_rollback(True)
        assert not sink.recorded()
    assert [event.object_name for event in sink.events] == ["kept"]


def test_changes_in_bulk_are_included(sink: MemorySink) -> None:
    Order.objects.bulk_create([Order(name="a"), Order(name="b")])
    assert sink.recorded("order.created") == 2
    sink.clear()
    assert Order.objects.filter(name="a").update(count=7) == 1
    assert told(sink, "order.updated") == {"count": {"from": 1, "to": 7}}
    sink.clear()
    orders = list(Order.objects.all())
    for order in orders:
        order.count = 9
    Order.objects.bulk_update(orders, ["count"])
    assert sink.recorded("order.updated") == 2
    sink.clear()
    Order.objects.all().delete()
    assert sink.recorded("order.deleted") == 2


def test_manager_that_hides_changes_in_bulk_is_loudly_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="AuditedQuerySet"):
        audit_models(Stubborn)


def test_members_of_a_relation_are_recorded(sink: MemorySink) -> None:
    order, tag = Order.objects.create(name="bread"), Tag.objects.create(label="x")
    sink.clear()
    order.tags.add(tag)
    assert sink.recorded("order.updated", metadata={"relation": "tags", "added": [str(tag.pk)]})


def test_removed_audit_records_nothing(sink: MemorySink) -> None:
    audit_models(Tag).remove()
    Tag.objects.bulk_create([Tag(label="y")])
    Tag.objects.create(label="z")
    assert not sink.recorded()


def test_request_carries_user_address_and_trace(sink: MemorySink, ada: User) -> None:
    client = Client()
    client.force_login(ada)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.get("/", headers={"traceparent": trace, "x-forwarded-for": "1.1.1.1, 203.0.113.9"})
    event = sink.one("page.seen", actor=f"user:{ada.pk}")
    assert event.ip == "203.0.113.9"
    assert event.correlation_id == "0af7651916cd43dd8448eb211c80319c"
    client.logout()
    sink.clear()
    client.get("/")
    assert sink.one("page.seen").actor is None


@pytest.mark.anyio
async def test_asynchronous_request_carries_them_too(sink: MemorySink) -> None:
    user = await User.objects.acreate(username="bob")
    client = AsyncClient()
    await client.aforce_login(user)
    await client.get("/async", headers={"x-forwarded-for": "203.0.113.9"})
    assert sink.one("page.seen", actor=f"user:{user.pk}").ip == "203.0.113.9"
    await user.adelete()


def test_logins_logouts_and_failures_are_recorded(sink: MemorySink, ada: User) -> None:
    audit_auth()
    client = Client()
    assert client.login(username="ada", password="pw")
    client.logout()
    assert authenticate(username="ada", password="wr0ng-pw") is None
    assert sink.recorded("user.logged_in", actor=f"user:{ada.pk}", category="auth")
    assert sink.recorded("user.logged_out", actor=f"user:{ada.pk}")
    assert sink.recorded("user.login_failed", outcome="failure", object_name="ada", actor="ada")
    assert "wr0ng-pw" not in repr(sink.events)
