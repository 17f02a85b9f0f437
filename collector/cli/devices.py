"""`collector devices`: what is known of each device, and its state."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import click

from collector.cli import options
from collector.cli.reading import open_reader
from collector.errors import EXIT_FAILED, DaemonUnreachable

STATE_STYLES: Final = {"online": "good", "suspect": "warning", "offline": "error"}
NONE: Final = (
    "no device is known yet; those that announce themselves by mDNS appear by themselves,"
    " [[devices]] in the configuration adds others"
)
TIMES: Final = ("first_seen", "last_seen", "last_change", "state_since", "maintenance_until")


@click.command(
    "devices",
    short_help="Show what is known of each device, and its state.",
    epilog=options.examples(
        "collector devices",
        "collector devices 'Lamp kitchen'",
        "collector devices -o json | jq 'select(.state == \"offline\").name'",
    ),
)
@click.argument("name", required=False)
@options.form("short", "json")
@options.pager
@options.database
@options.socket
@options.config
def command(
    name: str | None,
    output: str,
    no_pager: bool,
    db: str | None,
    socket: str | None,
    config: str | None,
) -> int:
    """Print every device with its state, or all that is known of those called NAME.

    NAME is an id or a name, upper or lower case, or a part of a name. The daemon is asked first;
    without one, or with --db, the journal tells the states as they were last stored. -o json is one
    device a line.
    """
    from collector.cli.edge import complain
    from collector.cli.terminal import hint
    from collector.cli.terminal import output as opened

    found = _chosen(_devices(db, socket, config), name)
    if name is not None and not found:
        complain(f"no device is called {name!r}; `collector devices` lists them")
        return EXIT_FAILED
    paged = output == "short" and not no_pager
    with opened(paged=paged, utf8=output == "json") as out:
        lines = _json(found) if output == "json" else _short(found, name is not None, out.colour)
        out.stream.writelines(f"{line}\n" for line in lines)
    if not found:
        hint(NONE)
    return 0


def _devices(db: str | None, socket: str | None, config: str | None) -> list[dict[str, Any]]:
    """From the daemon, which knows best; from the file where one was named or nobody answers."""
    from collector.cli.ask import ask
    from collector.cli.edge import say

    if db is None and "COLLECTOR_DB" not in os.environ:
        try:
            live: list[dict[str, Any]] = ask({"op": "devices"}, socket, config)["devices"]
        except DaemonUnreachable:
            if socket is not None:
                raise
            say("no daemon answers; these are the states as they were last stored")
        else:
            return live
    return asyncio.run(_stored(options.database_path(db, config)))


async def _stored(path: str) -> list[dict[str, Any]]:
    async with open_reader(path) as reader:
        return await reader.devices()


def _chosen(devices: list[dict[str, Any]], name: str | None) -> list[dict[str, Any]]:
    """Those called exactly `name`, else those with it in their name; all without one, by name."""
    devices = sorted(devices, key=lambda device: (_called(device).casefold(), str(device["id"])))
    if name is None:
        return devices
    wanted = name.casefold()
    keys = ("id", "name", "custom_name", "display_name")
    exact = [d for d in devices if any(str(d.get(key) or "").casefold() == wanted for key in keys)]
    return exact or [d for d in devices if wanted in _called(d).casefold()]


def _called(device: Mapping[str, Any]) -> str:
    return str(device.get("display_name") or device.get("name") or device["id"])


def _json(devices: list[dict[str, Any]]) -> list[str]:
    from collector.core.escape import json_line

    return [json_line(json.dumps(device, ensure_ascii=False)) for device in devices]


def _short(devices: list[dict[str, Any]], whole: bool, colour: bool) -> list[str]:
    return (
        [line for device in devices for line in _sheet(device)]
        if whole
        else _table(devices, colour)
    )


def _table(devices: list[dict[str, Any]], colour: bool) -> list[str]:
    """State, name, addresses, types: one line a device; where mDNS told none, what is checked."""
    from collector.cli.columns import aligned
    from collector.cli.forms import coloured
    from collector.core.escape import visible

    lines = aligned(
        [
            _state(device),
            visible(_called(device)),
            visible(", ".join(map(str, device.get("addresses") or [])) or _host(device) or "-"),
            visible(", ".join(map(str, device.get("types") or [])) or device.get("check") or "-"),
        ]
        for device in devices
    )
    if not colour:
        return lines
    styles = [STATE_STYLES.get(str(device.get("state")), "") for device in devices]
    return [coloured(style, line) for style, line in zip(styles, lines, strict=True)]


def _host(device: Mapping[str, Any]) -> str:
    """The host that its check names."""
    try:
        return urlsplit(str(device.get("check") or "")).hostname or ""
    except ValueError:
        return ""


def _state(device: Mapping[str, Any]) -> str:
    """The state, and in words what else bears on it."""
    marks = [mark for mark in ("flapping", "unobservable", "ignored") if device.get(mark)]
    if device.get("maintenance_until"):
        marks.append("maintenance")
    if device.get("present") is False:
        marks.append("gone")
    return str(device.get("state") or "unknown") + (f" ({', '.join(marks)})" if marks else "")


def _sheet(device: Mapping[str, Any]) -> list[str]:
    """Everything there is about one device, a line each, services below."""
    from collector.core.escape import visible

    lines = [_called(device)]
    for key, value in device.items():
        if key in ("services", "display_name") or value in (None, "", [], False):
            continue
        lines.append(f"  {key.replace('_', ' ')}: {_value(key, value)}")
    for service in device.get("services") or []:
        lines += _service(service)
    return list(map(visible, lines))


def _value(key: str, value: Any) -> str:
    if key in TIMES and isinstance(value, str):
        from collector.cli.clock import zone
        from collector.core.moments import local
        from collector.core.rfc3339 import from_rfc3339

        moment = local(from_rfc3339(value), zone())
        return moment.replace(tzinfo=None).isoformat(" ", "seconds")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "yes" if value is True else str(value)


def _service(service: Mapping[str, Any]) -> list[str]:
    gone = "" if service.get("present", True) else " (gone)"
    port = f" port {service['port']}" if service.get("port") else ""
    lines = [f"  {service.get('type')} {service.get('instance')}{port}{gone}"]
    txt = service.get("txt") or {}
    lines += [f"    {key}={value}" for key, value in txt.items()]
    return lines
