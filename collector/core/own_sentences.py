"""Sentences for what the daemon records of itself: one small function an action.

A test holds this table equal to `event.OWN_ACTIONS`, less `settings.updated`, which reads well
without. Metadata may lack any key: entries outlive the version that wrote them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from collector.event import Entry


def _started(entry: Entry) -> str:
    previous = entry.metadata.get("previous")
    if previous == "first":
        return "the collector started for the first time"
    if previous != "unclean":
        return "the collector started"
    since = entry.metadata.get("from")
    gap = f", nothing was recorded since {since}" if isinstance(since, str) else ""
    return f"the collector started after it had been cut off{gap}"


def _device(entry: Entry) -> str:
    return entry.object_name or entry.object_id or "a device"


def _discovered(entry: Entry) -> str:
    if entry.metadata.get("returned"):
        return f"{_device(entry)} came back"
    return f"{_device(entry)} {'is there' if entry.metadata.get('initial') else 'appeared'}"


def _lost(entry: Entry) -> str:
    said = {"goodbye": " (it said goodbye)", "silent": " (not heard since the start)"}
    return f"{_device(entry)} went away{said.get(str(entry.metadata.get('reason')), '')}"


def _updated(entry: Entry) -> str:
    changed = entry.metadata.get("changed")
    if not isinstance(changed, list) and entry.changes:
        changed = [change.field for change in entry.changes]
    fields = ", ".join(map(str, changed)) if isinstance(changed, list) else ""
    return f"{_device(entry)} changed{f': {fields}' if fields else ''}"


def _health(entry: Entry) -> str:
    before, after = entry.metadata.get("from"), entry.metadata.get("to")
    attempts = entry.metadata.get("attempts")
    if after == "offline":
        return f"{_device(entry)} went offline{_after_checks(attempts)}"
    if after == "suspect":
        return f"{_device(entry)} stopped answering"
    if after == "online":
        back = " again" if before in ("offline", "suspect") else ""
        return f"{_device(entry)} is online{back}"
    return f"{_device(entry)} changed its state{f' to {after}' if after else ''}"


def _after_checks(attempts: Any) -> str:
    if not isinstance(attempts, int) or attempts < 1:
        return ""
    return f" after {attempts} failed check{'' if attempts == 1 else 's'}"


def _unobservable(entry: Entry) -> str:
    failing, online = entry.metadata.get("failing"), entry.metadata.get("online")
    if isinstance(failing, int) and isinstance(online, int):
        return f"the network cannot be observed: {failing} of {online} devices failed at once"
    return "the network cannot be observed: too many devices failed at once"


def _pruned(entry: Entry) -> str:
    first, last = entry.metadata.get("from_seq"), entry.metadata.get("to_seq")
    span = f" (seq {first} to {last})" if isinstance(first, int) and isinstance(last, int) else ""
    return f"{_count(entry, 'entry', 'entries')} pruned{span}"


def _cleared(entry: Entry) -> str:
    return f"{_who(entry)} cleared the journal: {_count(entry, 'entry', 'entries')} removed"


def _exported(entry: Entry) -> str:
    return f"{_who(entry)} exported {_count(entry, 'entry', 'entries')}"


def _lost_events(entry: Entry) -> str:
    cause = entry.metadata.get("cause")
    why = f" ({cause})" if isinstance(cause, str) and cause else ""
    return f"{_count(entry, 'event', 'events')} lost before being recorded{why}"


def _rejected(entry: Entry) -> str:
    facts = (entry.metadata.get("path"), entry.metadata.get("reason"))
    why = "".join(f": {fact}" for fact in facts if isinstance(fact, str) and fact)
    count = entry.metadata.get("mistakes")
    more = f" (and {count - 1} more)" if isinstance(count, int) and count > 1 else ""
    return f"the changed configuration was refused, the old one stays in force{why}{more}"


def _denied(entry: Entry) -> str:
    operation, path = entry.metadata.get("operation"), entry.metadata.get("path")
    if isinstance(operation, str) and operation:
        return f"{_who(entry)} was not allowed to {operation}"
    return f"{_who(entry)} was denied {path if isinstance(path, str) and path else 'access'}"


def _key(verb: str) -> Callable[[Entry], str]:
    def tell(entry: Entry) -> str:
        label = entry.object_name or entry.object_id or "a key"
        return f"{_who(entry)} {verb} the key {label}"

    return tell


def _stepped(entry: Entry) -> str:
    for key in ("seconds", "step", "by"):
        seconds = entry.metadata.get(key)
        if isinstance(seconds, int | float) and not isinstance(seconds, bool):
            return f"the clock jumped by {seconds:+g} s"
    return "the clock jumped"


def _held(entry: Entry) -> str:
    pid, comm, verb = (entry.metadata.get(key) for key in ("pid", "comm", "verb"))
    name = f"collector {verb}" if isinstance(verb, str) and verb else comm
    if not isinstance(pid, int) or isinstance(pid, bool):
        reader = "a reader of another pid namespace"
    else:
        reader = f"{name} (pid {pid})" if isinstance(name, str) and name else f"pid {pid}"
    return f"{reader} keeps reading an old state of the journal, whose log grows"


def _full(entry: Entry) -> str:
    if entry.metadata.get("cause") == "held":
        return "no room is left for the journal's log while an old state of the journal is read"
    return "the disk is full"


def _who(entry: Entry) -> str:
    actor = entry.actor
    return (actor and (actor.name or actor.id or actor.type)) or "somebody"


def _count(entry: Entry, one: str, many: str) -> str:
    count = entry.metadata.get("count")
    if not isinstance(count, int) or isinstance(count, bool):
        return f"some {many}"
    return f"{count:,} {one if count == 1 else many}"


def _always(text: str) -> Callable[[Entry], str]:
    return lambda entry: text


OWN: Final[dict[str, Callable[[Entry], str]]] = {
    "auth.denied": _denied,
    "clock.stepped": _stepped,
    "collector.started": _started,
    "collector.stopping": _always("the collector is stopping"),
    "config.rejected": _rejected,
    "config.reloaded": _always("the configuration was reloaded"),
    "device.discovered": _discovered,
    "device.flapping": lambda entry: f"{_device(entry)} keeps going online and offline",
    "device.health_changed": _health,
    "device.lost": _lost,
    "device.restarted": lambda entry: f"{_device(entry)} restarted",
    "device.updated": _updated,
    "events.cleared": _cleared,
    "events.exported": _exported,
    "events.lost": _lost_events,
    "events.pruned": _pruned,
    "journal.held": _held,
    "journal.released": _always("the old state of the journal is no longer read"),
    "key.created": _key("created"),
    "key.revoked": _key("revoked"),
    "network.restored": _always("the network can be observed again"),
    "network.unobservable": _unobservable,
    "storage.full": _full,
    "storage.quarantined": _always("the journal was damaged and set aside; a new one was begun"),
    "storage.recovered": _always("there is room on the disk again"),
    "storage.restored": _always("a backup was put in the journal's place"),
}

DEEDS: Final = frozenset(
    {
        "config.reloaded",
        "events.cleared",
        "events.exported",
        "events.pruned",
        "key.created",
        "key.revoked",
        "storage.restored",
    }
)
"""What somebody does: where that failed or was denied, these sentences would claim it was done."""
