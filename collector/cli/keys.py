"""`collector keys`: keys for the HTTP API, made by the daemon or, without one, in its journal."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

from collector.cli import options
from collector.errors import EXIT_FAILED, CollectorError, DaemonUnreachable, JournalError

if TYPE_CHECKING:
    from collector.core.control import Caller, Control


class NoSuchKey(CollectorError):
    """There is no key of this label."""

    exit_code = EXIT_FAILED


@click.group(
    "keys",
    short_help="Make, list and revoke keys for the HTTP API.",
    epilog=options.examples(
        "collector keys add grafana --role viewer",
        "collector keys add shop --role producer --tenant t-42",
        "collector keys list",
        "collector keys revoke grafana",
    ),
)
def command() -> None:
    """Make, list and revoke keys for the HTTP API.

    A key is shown once, when it is made, and stored hashed. Its label is the actor of what is done
    with it. A running daemon is asked; without one, or with --db, it is done here, on a journal that
    no daemon holds: then call it as the daemon's user, so that the files stay the daemon's. Either
    way it is recorded.
    """


@command.command("add", short_help="Make a key and print it.")
@click.argument("label")
@click.option(
    "--role",
    type=click.Choice(("admin", "viewer", "producer")),
    required=True,
    help="admin sees all and changes settings, viewer reads, producer only records.",
)
@click.option("--tenant", metavar="ID", help="Bind it to one tenant: it sees and writes only that.")
@options.database
@options.socket
@options.config
def add(
    label: str,
    role: str,
    tenant: str | None,
    db: str | None,
    socket: str | None,
    config: str | None,
) -> None:
    """Make a key called LABEL and print it; it cannot be shown again."""
    from collector.cli.edge import say

    asked = {"op": "add_key", "label": label, "role": role, "tenant_id": tenant}
    click.echo(_done(asked, db, socket, config)["secret"])
    say("keep it: it is stored hashed, and not shown again")


@command.command("list", short_help="List the keys, without their secrets.")
@options.form("short", "json")
@options.database
@options.socket
@options.config
def list_(output: str, db: str | None, socket: str | None, config: str | None) -> None:
    """Print each key's label, role, tenant and when it was made; -o json is one key a line."""
    import json

    from collector.cli.columns import aligned
    from collector.cli.terminal import hint
    from collector.core.escape import visible

    keys = _done({"op": "keys"}, db, socket, config)["keys"]
    if output == "json":
        lines = [json.dumps(key) for key in keys]
    else:
        rows = ([k["label"], k["role"], k.get("tenant_id") or "-", k["created_at"]] for k in keys)
        lines = list(map(visible, aligned(rows)))
    for line in lines:
        click.echo(line)
    if not lines:
        hint("no key was made yet; `collector keys add LABEL --role ROLE` makes one")


@command.command("revoke", short_help="Refuse a key from now on.")
@click.argument("label")
@options.database
@options.socket
@options.config
def revoke(label: str, db: str | None, socket: str | None, config: str | None) -> None:
    """Remove the key called LABEL; whoever uses it is refused from now on."""
    from collector.cli.edge import say

    _done({"op": "revoke_key", "label": label}, db, socket, config)
    say(f"{label} is revoked")


def _done(
    asked: dict[str, Any], db: str | None, socket: str | None, config: str | None
) -> dict[str, Any]:
    """What the daemon answers; from the journal itself where it was named or nobody answers."""
    from collector.cli.ask import ask

    if db is None and "COLLECTOR_DB" not in os.environ:
        try:
            return ask(asked, socket, config)
        except DaemonUnreachable:
            if socket is not None:
                raise
    path = os.path.abspath(options.database_path(db, config))
    if asked["op"] != "add_key" and not os.path.exists(path):
        raise JournalError(f"{path}: no journal is there")
    return asyncio.run(_in_the_journal(asked, path, config))


async def _in_the_journal(asked: dict[str, Any], path: str, config: str | None) -> dict[str, Any]:
    """The same by a daemon that neither listens nor begins: it only holds the journal meanwhile."""
    from msgspec.structs import replace

    from collector.config import load
    from collector.daemon import Daemon

    settings = load(config)
    storage = replace(settings.storage, path=path, on_corrupt="fail")
    daemon = Daemon(replace(settings, storage=storage))
    try:
        return _carried_out(asked, daemon.control, _caller())
    finally:
        await daemon.stop(record=False)


def _carried_out(asked: dict[str, Any], control: Control, caller: Caller) -> dict[str, Any]:
    import msgspec

    if asked["op"] == "keys":
        return {"keys": msgspec.to_builtins(control.keys())}
    label = asked["label"]
    if asked["op"] == "add_key":
        return {"secret": control.add_key(label, asked["role"], asked["tenant_id"], caller)}
    try:
        control.revoke_key(label, caller)
    except LookupError:
        raise NoSuchKey(f"there is no key {label!r}") from None
    return {}


def _caller() -> Caller:
    """The user who runs this: who may write the journal is its administrator."""
    import pwd

    from collector.core.control import Caller
    from collector.event import Principal, Producer

    uid = os.getuid()
    try:
        name: str | None = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = None
    producer = Producer("internal", uid=uid, gid=os.getgid(), pid=os.getpid(), user=name)
    actor = Principal(type="user", id=str(uid), name=name)
    return Caller(producer=producer, actor=actor, admin=True, source="collector")
