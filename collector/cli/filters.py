"""The filters of every verb that reads the journal: click's options, and the `Filter` they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from collector.cli.quick import CHOICES
from collector.errors import QueryError

if TYPE_CHECKING:
    from collector.core.query import Filter

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

SOURCES: Final = ("unix", "http", "queue", "mdns", "health", "collector", "nats")
"""As in `event.SOURCES`: a test holds them equal."""

OPTIONS: Final = (
    click.option("-S", "--since", metavar="TIME", help="From TIME on: 2026-11-20, -2h, today, …"),
    click.option("-U", "--until", metavar="TIME", help="Before TIME, which itself is left out."),
    click.option("-c", "--category", multiple=True, metavar="NAME", help="Only this category."),
    click.option(
        "-a", "--action", multiple=True, metavar="ACTION", help="Only this action, or device.*"
    ),
    click.option(
        "--outcome",
        multiple=True,
        type=click.Choice(CHOICES["outcome"]),
        help="Only what ended so.",
    ),
    click.option(
        "--severity",
        multiple=True,
        type=click.Choice(CHOICES["severity"]),
        help="Only this weight.",
    ),
    click.option("--actor", multiple=True, metavar="WHO", help="TYPE:ID, an id or a name."),
    click.option(
        "--object", multiple=True, metavar="TYPE[:ID]", help="What it was done to; all of a type."
    ),
    click.option("--target", multiple=True, metavar="WHO", help="TYPE:ID, an id or a name."),
    click.option("--source", multiple=True, type=click.Choice(SOURCES), help="Only what came so."),
    click.option("--channel", multiple=True, metavar="NAME", help="Only this module or feed."),
    click.option("--mode", multiple=True, metavar="NAME", help="Only what was triggered so."),
    click.option("--correlation", multiple=True, metavar="ID", help="One transaction's events."),
    click.option("--causation", multiple=True, metavar="ID", help="What the event ID caused."),
    click.option("--tenant", multiple=True, metavar="ID", help="Only this tenant."),
    click.option("--org", multiple=True, metavar="ID", help="Only this organisation."),
    click.option(
        "-g", "--grep", multiple=True, metavar="WORDS", help="All these words; net* is a prefix."
    ),
)
NAMES: Final = (
    "since", "until", "category", "action", "outcome", "severity", "actor", "object", "target",
    "source", "channel", "mode", "correlation", "causation", "tenant", "org", "grep",
)  # fmt: skip

PARAGRAPH: Final = "A filter given twice means either; different filters mean all."


def filtered(command: Decorated) -> Decorated:
    """Give a verb the filters; they arrive as keyword arguments named as in `NAMES`."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def taken(values: dict[str, Any]) -> Filter:
    """Take the filters out of a verb's keyword arguments. Raises QueryError that names the flag."""
    from collector.core.query import Filter, action_asked, category_asked

    given = {name: values.pop(name) for name in NAMES}
    return Filter(
        action=tuple(action_asked(text, "-a") for text in given["action"]),
        category=tuple(category_asked(text, "-c") for text in given["category"]),
        outcome=given["outcome"],
        severity=given["severity"],
        source=given["source"],
        channel=given["channel"],
        mode=given["mode"],
        object=tuple(map(_object, given["object"])),
        actor=given["actor"],
        target=given["target"],
        tenant_id=given["tenant"],
        org_id=given["org"],
        correlation_id=given["correlation"],
        causation_id=given["causation"],
        since=_moment(given["since"], "--since"),
        until=_moment(given["until"], "--until"),
        q=_words(given["grep"]),
    )


def _object(text: str) -> tuple[str, str | None]:
    kind, colon, id_ = text.partition(":")
    if not kind:
        raise QueryError(f"{text!r} is not TYPE or TYPE:ID", "--object")
    return kind, id_ if colon else None


def _moment(text: str | None, flag: str) -> int | None:
    if text is None:
        return None
    from collector.cli.clock import now, zone
    from collector.core.moments import parse

    return parse(text, now=now(), zone=zone(), field=flag)


def _words(given: tuple[str, ...]) -> str | None:
    if len(given) > 1:
        raise QueryError("takes all its words at once, as in -g 'disk full'", "-g")
    return given[0] if given else None
