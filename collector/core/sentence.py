"""One sentence for an entry: its message where it has one, else composed of its other fields.

    Lamp kitchen went offline after 3 failed checks
    ada changed settings global: ui.theme light → dark
    bob was not allowed to delete person Eve (needs admin)
    backup nightly was completed

The words come from strangers: whoever shows a sentence escapes it first (`core.escape`).
"""

from __future__ import annotations

from typing import Any, Final

from collector.core.own_sentences import DEEDS, OWN
from collector.core.verbs import ALONE, BAD_ENDS, ENDS, VERBS, Verb, spoken
from collector.event import Entry, Principal

FIELDS_SHOWN: Final = 5
"""Names of changed or rejected fields; the rest is counted."""
SETTINGS_SHOWN: Final = 2
VALUE_MAX: Final = 60

MISSED: Final = ("failure", "denied")
"""The outcomes of what was tried and did not happen."""


def sentence(entry: Entry) -> str:
    """What happened, without a full stop at the end; never empty, and never longer than needed."""
    if entry.message:
        return entry.message
    own = OWN.get(entry.action)
    if own is None or (entry.action in DEEDS and entry.outcome in MISSED):
        return compose(entry)
    return own(entry)


def compose(entry: Entry) -> str:
    """The sentence from actor, action, object, target and outcome alone."""
    who, what = principal(entry.actor), _object(entry)
    word = entry.action.rpartition(".")[2]
    if word in ENDS:
        return f"{what or _noun(entry)} {ENDS[word]}{_by(who)}{_ended(entry, word)}{_reason(entry)}"
    if word in ALONE:
        # Where the actor logs in, the object is the account; it says nothing that who does not.
        return _told(entry, who or what or "somebody", ALONE[word], _target(entry, ALONE[word]))
    verb = VERBS.get(word) or _regular(word)
    if verb is None:
        return _unknown(entry, who, what)
    rest = f" {what or _noun(entry)}{_target(entry, verb)}"
    if who is None and entry.outcome not in MISSED:
        passive = f"{what or _noun(entry)} was {verb.past}{_target(entry, verb)}"
        return passive + _difference(entry)
    return _told(entry, who or "somebody", verb, rest)


def principal(who: Principal | None) -> str | None:
    """What to call them: the name, else the id with its type, without "user" where the id is a word."""
    if who is None:
        return None
    if who.name:
        return who.name
    if who.id and who.type and (who.type != "user" or who.id.isdecimal()):
        return f"{spoken(who.type)} {who.id}"
    return who.id or who.email or who.role or (spoken(who.type) if who.type else None)


def _told(entry: Entry, who: str, verb: Verb, rest: str) -> str:
    if entry.outcome == "denied":
        return f"{who} was not allowed to {verb.base}{rest}{_required(entry)}"
    if entry.outcome == "failure":
        return f"{who} failed to {verb.base}{rest}{_reason(entry)}"
    maybe = " (outcome unknown)" if entry.outcome == "unknown" else ""
    return f"{who} {verb.past}{rest}{_difference(entry)}{maybe}"


def _regular(word: str) -> Verb | None:
    """Any other past tense: "got … archived" needs no form of the verb but the one there is."""
    if not word.endswith("ed") or len(word) < 4:
        return None
    past = spoken(word)
    return Verb(past, f"have it {past}:")


def _unknown(entry: Entry, who: str | None, what: str | None) -> str:
    """No verb that is known: the action as it stands, then what it was about."""
    about = " ".join(part for part in (spoken(entry.action.replace(".", " ")), what) if part)
    ended = {"failure": " failed", "denied": " was denied"}.get(entry.outcome, "")
    reason = _reason(entry) if entry.outcome == "failure" else ""
    return f"{f'{who}: ' if who else ''}{about}{ended}{reason}"


def _object(entry: Entry) -> str | None:
    called = entry.object_name or entry.object_id
    kind = spoken(entry.object_type) if entry.object_type else None
    if kind == "device" and called:
        return called
    return " ".join(part for part in (kind, called) if part) or None


def _noun(entry: Entry) -> str:
    """What an action without an object was about: all of it but the verb."""
    return spoken(entry.action.rpartition(".")[0].replace(".", " ")) or "something"


def _target(entry: Entry, verb: Verb) -> str:
    if entry.target is None:
        return ""
    kind = entry.target.type
    called = entry.target.name or entry.target.id
    parts = [part for part in (spoken(kind) if kind else None, called) if part]
    return f" {verb.link} {' '.join(parts)}" if parts else ""


def _by(who: str | None) -> str:
    return f" ({who})" if who else ""


def _ended(entry: Entry, word: str) -> str:
    """The outcome of what ends by itself, where the word does not say it."""
    if entry.outcome == "denied":
        return " (denied)"
    return " (failed)" if entry.outcome == "failure" and word not in BAD_ENDS else ""


def _difference(entry: Entry) -> str:
    """`: ui.theme light → dark` from metadata, else the names of the fields that changed."""
    old, new = entry.metadata.get("from"), entry.metadata.get("to")
    if _scalar(old) and _scalar(new) and not (old is None and new is None):
        keys = (entry.metadata.get(key) for key in ("path", "field", "key"))
        path = next((f"{key} " for key in keys if isinstance(key, str) and key), "")
        return f": {path}{_value(old)} → {_value(new)}"
    if entry.action == "settings.updated" and (settings := _settings(entry)):
        return f": {settings}"
    if entry.changes and entry.change_type == "update":
        return ": " + names([change.field for change in entry.changes])
    return ""


def _settings(entry: Entry) -> str:
    """`max_days 90 → 30; max_entries …`: what the daemon's own settings were and are."""
    changes = entry.metadata.get("changes")
    told = [
        f"{_value(name)} {_value(each.get('from'))} → {_value(each.get('to'))}"
        for name, each in (changes.items() if isinstance(changes, dict) else ())
        if isinstance(each, dict) and _scalar(each.get("from")) and _scalar(each.get("to"))
    ]
    return "; ".join(told[:SETTINGS_SHOWN])


def _reason(entry: Entry) -> str:
    """What a failure may say of its cause: kind, names of fields, a symbolic code."""
    keys, code = entry.metadata.get("error_keys"), entry.metadata.get("error_code")
    if isinstance(keys, list) and keys:
        return f" (invalid: {names([str(key) for key in keys])})"
    return f" ({code})" if isinstance(code, str | int) and code != "" else ""


def _required(entry: Entry) -> str:
    required = entry.metadata.get("required")
    if isinstance(required, list):
        required = names([str(each) for each in required])
    return f" (needs {required})" if isinstance(required, str) and required else ""


def names(fields: list[str]) -> str:
    """`a, b, c and 4 more`."""
    more = len(fields) - FIELDS_SHOWN
    return ", ".join(fields[:FIELDS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _value(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value)
    return text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…"
