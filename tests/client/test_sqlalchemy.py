"""Changes of mapped classes, recorded after commit, against the real SQLAlchemy and SQLite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import ForeignKey, create_engine, delete, event, insert, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    sessionmaker,
)

from collector.client import Client, MemorySink, actor_context
from collector.client.sqlalchemy import SessionAudit, UnauditedStatement, audit_session
from collector.client.sqlalchemy.objects import Objects
from tests.client.daemon import Daemon


class Base(DeclarativeBase):
    pass


class Team(Base):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    members: Mapped[list[Person]] = relationship(cascade="all, delete-orphan")


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    password: Mapped[str] = mapped_column(default="hunter2")
    level: Mapped[int] = mapped_column(server_default=text("1"))
    photo: Mapped[bytes | None] = mapped_column(deferred=True)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))


class Note(Base):
    """Not audited."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)


class Sessions:
    def __init__(self, path: Path) -> None:
        self.sink = MemorySink()
        self.engine = create_engine(f"sqlite:///{path}")
        # pysqlite begins no transaction for SELECT and none for SAVEPOINT; SQLAlchemy's own recipe.
        event.listen(self.engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        event.listen(self.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        Base.metadata.create_all(self.engine)
        self.make = sessionmaker(self.engine)
        self.audit: SessionAudit = audit_session(
            self.make, [Person, Team], trail=self.sink, channel="people"
        )

    def seed(self) -> None:
        with self.make.begin() as session:
            session.add_all([Person(id=1, name="ada"), Person(id=2, name="bob")])
        self.sink.clear()


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Sessions]:
    sessions = Sessions(tmp_path / "people.db")
    yield sessions
    sessions.audit.remove()
    sessions.engine.dispose()


def changes(sink: MemorySink, action: str) -> dict[str, Any]:
    metadata = sink.one(action).metadata
    assert metadata is not None
    found: dict[str, Any] = metadata["changes"]
    return found


def test_created_object_is_recorded_with_its_whole_state_after_commit(db: Sessions) -> None:
    with db.make() as session, actor_context("user:7"):
        session.add(Person(name="ada"))
        session.flush()
        assert not db.sink.recorded()
        session.commit()
    event = db.sink.one("person.created", object=("person", 1, "ada"), actor="user:7")
    assert event.channel == "people"
    assert event.category == "entity"
    assert changes(db.sink, "person.created")["name"] == {"from": None, "to": "ada"}
    # The server's default is part of it; the deferred photo is not; the password is not readable.
    assert event.record == {
        "id": 1, "name": "ada", "password": "[redacted:00000000]", "level": 1, "team_id": None,
    }  # fmt: skip


def test_updated_object_tells_before_and_after_and_no_secret(db: Sessions) -> None:
    db.seed()
    with db.make.begin() as session:
        ada = session.get_one(Person, 1)
        ada.name = "Ada L."
        ada.password = "correct horse"
    told = changes(db.sink, "person.updated")
    assert told["name"] == {"from": "ada", "to": "Ada L."}
    assert told["password"].startswith("[redacted:")
    assert "hunter2" not in repr(db.sink.events)
    assert "horse" not in repr(db.sink.events)


AUDITED = """
[[resources]]
slug = "people"
object_type = "person"
audit = true
"""


def test_row_older_than_its_audit_shows_old_and_new_values_over_http(
    tmp_path: Path,
) -> None:
    """Database, session, socket, journal, HTTP: all real. `team` is not audited and shows both too."""
    engine = create_engine(f"sqlite:///{tmp_path / 'people.db'}")
    Base.metadata.create_all(engine)
    with Session(engine) as before:
        before.add_all([Person(id=1, name="ada"), Person(id=2, name="bob"), Team(id=5, name="red")])
        before.commit()
    daemon = Daemon(tmp_path, extra=AUDITED, web=True).start()
    try:
        with Client(daemon.socket, mode="wait", strict=True) as client, Session(engine) as session:
            audit = audit_session(session, [Person, Team], trail=client)
            for name in ("Ada L.", "Ada K."):
                session.get_one(Person, 1).name = name
                session.commit()
            session.delete(session.get_one(Person, 2))
            session.get_one(Team, 5).name = "blue"
            session.commit()
            audit.remove()
        transport = httpx.HTTPTransport(uds=str(daemon.api))
        with httpx.Client(transport=transport, base_url="http://localhost/api/v1") as http:
            people = http.get("/people-activity").json()["items"]
            teams = http.get("/events", params={"action": "team.updated"}).json()["entries"]
    finally:
        daemon.kill()
        engine.dispose()
    deleted, second, first = people
    assert (first["change_type"], first["fields"]) == ("update", {"name": ["ada", "Ada L."]})
    assert (second["change_type"], second["fields"]) == ("update", {"name": ["Ada L.", "Ada K."]})
    assert (deleted["change_type"], deleted["fields"]["name"]) == ("delete", ["bob", None])
    assert deleted["fields"]["password"][0].startswith("[redacted:")
    assert [each["metadata"]["changes"] for each in teams] == [
        {"name": {"from": "red", "to": "blue"}}
    ]


def test_update_of_an_expired_object_still_knows_what_was_before(db: Sessions) -> None:
    db.seed()
    with db.make() as session:
        ada = session.get_one(Person, 1)
        session.commit()  # expires every attribute
        ada.level = 9  # the old value is not loaded
        session.commit()
    assert changes(db.sink, "person.updated") == {"level": {"from": 1, "to": 9}}


def test_values_that_are_too_much_for_one_event_lose_the_largest_and_keep_their_names(
    db: Sessions,
) -> None:
    db.seed()
    with db.make.begin() as session:
        ada = session.get_one(Person, 1)
        ada.name, ada.level = "x" * 13_000, 2
    event = db.sink.one("person.updated")
    assert event.metadata == {
        "changes": {"level": {"from": 1, "to": 2}}, "changes_left_out": ["name"],
    }  # fmt: skip
    assert event.record is not None
    assert event.record["name"] == "x" * 13_000


def test_deleted_object_carries_its_name(db: Sessions) -> None:
    db.seed()
    with db.make.begin() as session:
        session.delete(session.get_one(Person, 1))
    event = db.sink.one("person.deleted", object=("person", 1))
    assert event.object_name == "ada"
    assert event.record is None


def test_orphans_and_cascades_of_the_mapper_are_seen(db: Sessions) -> None:
    with db.make.begin() as session:
        session.add(Team(id=5, name="red", members=[Person(id=1, name="ada")]))
    with db.make.begin() as session:
        team = session.get_one(Team, 5)
        team.members.clear()
    assert db.sink.recorded("person.deleted", object_id="1") == 1
    with db.make.begin() as session:
        session.delete(session.get_one(Team, 5))
    assert db.sink.recorded("team.deleted", object_id="5") == 1


def test_rolled_back_transaction_records_nothing(db: Sessions) -> None:
    db.seed()
    with db.make() as session:
        session.get_one(Person, 1).name = "eve"
        session.flush()
        session.rollback()
        session.commit()
    assert not db.sink.recorded()


def test_failed_flush_records_nothing_and_the_session_goes_on(db: Sessions) -> None:
    db.seed()
    with db.make() as session:
        session.add(Person(name="ada"))
        with pytest.raises(IntegrityError):
            session.flush()
        session.rollback()
        session.add(Person(name="cyd"))
        session.commit()
    assert [event.object_name for event in db.sink.events] == ["cyd"]


def test_savepoint_rolled_back_forgets_its_own_changes_only(db: Sessions) -> None:
    db.seed()
    with db.make.begin() as session:
        session.get_one(Person, 1).name = "one"
        session.flush()
        savepoint = session.begin_nested()
        session.get_one(Person, 2).name = "two"
        session.flush()
        inner = session.begin_nested()
        session.add(Person(id=3, name="three"))
        inner.commit()
        assert not db.sink.recorded()
        savepoint.rollback()
    assert [event.object_id for event in db.sink.events] == ["1"]


def test_several_flushes_of_one_transaction_are_one_event(db: Sessions) -> None:
    with db.make.begin() as session:
        person = Person(name="ada")
        session.add(person)
        session.flush()
        person.level = 2
        session.flush()
        gone = Person(name="gone")
        session.add(gone)
        session.flush()
        session.delete(gone)
    event = db.sink.one()
    assert event.action == "person.created"
    assert event.record is not None
    assert event.record["level"] == 2


def test_flush_without_a_net_change_records_nothing(db: Sessions) -> None:
    db.seed()
    with db.make.begin() as session:
        ada = session.get_one(Person, 1)
        ada.name = "eve"
        ada.name = "ada"
    assert not db.sink.recorded()


def test_bulk_update_and_delete_through_the_session_are_included(db: Sessions) -> None:
    db.seed()
    with db.make.begin() as session:
        session.execute(update(Person).where(Person.name == "bob").values(level=Person.level + 4))
        session.execute(delete(Person).where(Person.id == 1))
    assert changes(db.sink, "person.updated") == {"level": {"from": 1, "to": 5}}
    assert db.sink.recorded("person.deleted", object=("person", 1, "ada"))
    assert len(db.sink.events) == 2


def test_legacy_query_update_and_update_by_primary_key_are_included(db: Sessions) -> None:
    db.seed()
    with db.make.begin() as session:
        session.query(Person).filter(Person.id == 2).update({"level": 3})
        session.execute(update(Person), [{"id": 1, "level": 8}])
        session.execute(Person.__table__.update().where(Person.id == 1).values(name="Ada"))  # type: ignore[attr-defined]
    assert db.sink.recorded("person.updated", object_id="2") == 1
    found = db.sink.one("person.updated", object_id="1").metadata
    assert found is not None
    assert found["changes"] == {
        "level": {"from": 1, "to": 8},
        "name": {"from": "ada", "to": "Ada"},
    }


def test_bulk_insert_with_keys_is_included_and_without_keys_loudly_refused(db: Sessions) -> None:
    with db.make.begin() as session:
        session.execute(insert(Person), [{"id": 5, "name": "e"}, {"id": 6, "name": "f"}])
        with pytest.raises(UnauditedStatement, match="primary keys"):
            session.execute(insert(Person), [{"name": "g"}])
    assert db.sink.recorded("person.created") == 2
    assert db.sink.recorded("person.created", object=("person", 5, "e"))


def test_statements_past_the_session_are_loudly_refused(db: Sessions) -> None:
    with db.make() as session:
        with pytest.raises(UnauditedStatement):
            session.bulk_save_objects([Person(name="x")])
        session.rollback()
        with pytest.raises(UnauditedStatement):
            session.bulk_insert_mappings(Person, [{"name": "x"}])  # type: ignore[arg-type]
        session.rollback()
        with pytest.raises(UnauditedStatement):
            session.connection().execute(delete(Person))
        session.execute(insert(Note), [{"id": 1}])  # not ours
        session.execute(insert(Person).execution_options(audited=False), [{"name": "quiet"}])
        session.commit()
    assert not db.sink.recorded()


def test_session_without_audit_is_left_alone(db: Sessions) -> None:
    with sessionmaker(db.engine).begin() as session:
        session.add(Person(name="unseen"))
        session.bulk_insert_mappings(Person, [{"name": "x"}])  # type: ignore[arg-type]
    assert not db.sink.recorded()


def test_synchronous_program_needs_no_greenlet() -> None:
    script = "import sys; sys.modules['greenlet'] = None; import collector.client.sqlalchemy"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_removed_audit_records_nothing(db: Sessions) -> None:
    other = audit_session(Session, [Note], trail=db.sink)
    other.remove()
    with Session(db.engine) as session:
        session.add(Note(id=1))
        session.commit()
    assert not db.sink.recorded()


def test_broken_collecting_never_breaks_the_transaction(
    db: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> dict[str, Any]:
        raise RuntimeError("of ours")

    monkeypatch.setattr(Objects, "_state", broken)
    with db.make.begin() as session:
        session.add(Person(name="ada"))
    with db.make() as session:
        assert session.query(Person).count() == 1


@pytest.mark.anyio
async def test_asynchronous_session_is_audited_too(tmp_path: Path) -> None:
    sink = MemorySink()
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'async.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    make = async_sessionmaker(engine)
    async with make() as session:
        audit = audit_session(session, [Person], trail=sink)
        session.add(Person(name="ada"))
        await session.commit()
        await session.execute(update(Person).values(level=7))
        await session.commit()
        audit.remove()
    assert isinstance(session, AsyncSession)
    await engine.dispose()
    assert [event.action for event in sink.events] == ["person.created", "person.updated"]
