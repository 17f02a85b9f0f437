"""`emit`'s options as data, and a reader of plainly correct arguments that imports nothing.

click reads the same table (`emit.py`); a property test holds both readings equal. Where `parse` is
not sure, it says None and leaves the case, with its error message, to click.
"""

from __future__ import annotations

from typing import Any, Final

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "outcome": ("success", "failure", "denied", "unknown"),
    "severity": ("info", "warning", "error"),
}
"""Closed sets, as in `event.OUTCOMES` and `event.SEVERITIES`: a test holds them equal."""

DEFAULT_TIMEOUT: Final = "5"
"""Seconds, as `client.Client` has it."""

# name, flags, metavar, help
OPTIONS: Final[tuple[tuple[str, tuple[str, ...], str, str], ...]] = (
    ("object", ("--object",), "TYPE[:ID]", "What it was done to."),
    ("object_name", ("--object-name",), "NAME", "The object's name for people."),
    ("target", ("--target",), "TYPE:ID", "A second party: the group somebody was added to."),
    ("target_name", ("--target-name",), "NAME", "The target's name for people."),
    ("actor", ("--actor",), "TYPE:ID", "Who did it; by default the user who runs this command."),
    ("actor_name", ("--actor-name",), "NAME", "The actor's name for people."),
    ("category", ("--category", "-c"), "NAME", "entity, auth, device, capture, system or yours."),
    ("outcome", ("--outcome",), "|".join(CHOICES["outcome"]), "How it ended; success by default."),
    ("severity", ("--severity",), "|".join(CHOICES["severity"]), "How much it matters."),
    ("channel", ("--channel",), "NAME", "The module or feed it belongs to."),
    ("mode", ("--mode",), "NAME", "How it was triggered: manual, auto, cron, script, …"),
    ("message", ("--message", "-m"), "TEXT", "One line for people."),
    ("id", ("--id",), "UUID", "The event's own id: sent again, it is recorded only once."),
    ("correlation", ("--correlation",), "ID", "The transaction it belongs to."),
    ("causation", ("--causation",), "ID", "The id of the event that caused it."),
    ("tenant", ("--tenant",), "ID", "The tenant it belongs to."),
    ("org", ("--org",), "ID", "The organisation it belongs to."),
    ("ip", ("--ip",), "ADDRESS", "The actor's address."),
    ("at", ("--at",), "TIME", "When it happened, if not now; any form that query -S takes."),
    ("data", ("--data", "-d"), "KEY=VALUE", "Metadata: VALUE is JSON where it parses, else text."),
    ("json", ("--json",), "FILE|-", "Whole events, one a line, from FILE or stdin."),
    ("timeout", ("--timeout",), "SECONDS", "How long to wait for an answer; 5 by default."),
    ("config", ("--config",), "FILE", "The configuration file."),
    ("socket", ("--socket",), "FILE", "The daemon's socket."),
)  # fmt: skip
FLAG: Final = "--best-effort"
FLAG_HELP: Final = "Exit 0 whatever happens: recording must not stop the script."
REPEATABLE: Final = "data"

Values = dict[str, Any]


def parse(words: list[str]) -> Values | None:
    """What the words of an `emit` say: text or None by name, `data` a tuple, `best_effort` a bool.

    None where click has to look at them: help, an unknown option, a missing value, a wrong choice.
    """
    by_flag = {flag: name for name, flags, _, _ in OPTIONS for flag in flags}
    values: Values = {name: None for name, _, _, _ in OPTIONS}
    values.update(data=(), best_effort=False, action=None)
    rest = list(words)
    positional: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            positional += rest
            break
        if word == FLAG:
            values["best_effort"] = True
            continue
        if word == "-" or not word.startswith("-"):
            positional.append(word)
            continue
        flag, value = _split(word)
        name = by_flag.get(flag)
        if name is None or (value is None and not rest):
            return None
        value = rest.pop(0) if value is None else value
        values[name] = (*values[name], value) if name == REPEATABLE else value
    if len(positional) > 1 or not _sound(values):
        return None
    values["action"] = positional[0] if positional else None
    return values


def _split(word: str) -> tuple[str, str | None]:
    """`--flag=value`, `--flag`, `-fvalue`, `-f` to the flag and its value, if it carries one."""
    if word.startswith("--"):
        flag, equals, value = word.partition("=")
        return flag, value if equals else None
    return word[:2], word[2:] or None


def _sound(values: Values) -> bool:
    for name, allowed in CHOICES.items():
        if values[name] is not None and values[name] not in allowed:
            return False
    return seconds(values["timeout"]) is not None


def seconds(text: str | None) -> float | None:
    """A positive, finite number of seconds; None for anything else."""
    try:
        value = float(text or DEFAULT_TIMEOUT)
    except ValueError:
        return None
    return value if 0 < value < 1e6 else None
