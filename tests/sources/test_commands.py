"""Commands by name: what is none is answered with those that are, and a refusal carries its facts."""

from __future__ import annotations

from typing import Any

import pytest

from collector.core.control import Caller
from collector.errors import MISTAKES_SHOWN, ConfigError, InvalidEvent, Rejected
from collector.event import Principal, Producer
from collector.sources.commands import OPERATIONS, carry_out

pytestmark = pytest.mark.anyio

CALLER = Caller(Producer("peercred"), Principal(type="user", id="7"), admin=True)


class Asked:
    """Notes which calls were made; `error` is what a reload raises."""

    def __init__(self, error: ConfigError | None = None) -> None:
        self.error = error
        self.caller: Caller | None = None

    def devices(self) -> list[dict[str, Any]]:
        return [{"id": "d"}]

    async def reindex(self, caller: Caller) -> int:
        self.caller = caller
        return 42

    def reload(self, caller: Caller) -> None:
        self.caller = caller
        if self.error is not None:
            raise self.error


async def carried(command: dict[str, Any], asked: Asked | None = None) -> dict[str, Any]:
    return await carry_out(asked or Asked(), command, CALLER)  # type: ignore[arg-type]


@pytest.mark.parametrize("op", ["dance", 5, None, ["ping"], "x" * 10_000])
async def test_an_unknown_command_is_answered_with_those_that_are_known(op: object) -> None:
    with pytest.raises(Rejected) as caught:
        await carried({"op": op})
    assert caught.value.code == "unknown_op"
    assert ", ".join(sorted(OPERATIONS)) in str(caught.value)
    assert len(str(caught.value)) < 300


async def test_what_the_daemon_answers_becomes_fields_and_it_hears_who_asked() -> None:
    asked = Asked()
    assert await carried({"op": "ping"}) == {"pong": True}
    assert await carried({"op": "devices"}) == {"devices": [{"id": "d"}]}
    assert await carried({"op": "reindex"}, asked) == {"entries": 42}
    assert asked.caller is CALLER


@pytest.mark.parametrize(
    "command",
    [
        {"op": "prune", "max_dayz": 1},
        {"op": "prune", "max_days": "many"},
        {"op": "prune", "max_days": 10**17, "dry_run": True},
        {"op": "prune", "max_entries": 2**63 - 1},
        {"op": "prune", "max_bytes": 2**63 - 1},
        {"op": "add_key", "label": "x"},
        {"op": "add_key", "label": "x", "role": "king"},
        {"op": "revoke_key", "label": 5},
    ],
)
async def test_wrong_arguments_are_refused_before_anything_is_asked(
    command: dict[str, Any],
) -> None:
    with pytest.raises(InvalidEvent):
        await carried(command)


async def test_a_refused_reload_tells_programs_each_mistake_bounded() -> None:
    mistakes = [ConfigError("wrong", f"a.b{n}", "c.toml") for n in range(MISTAKES_SHOWN + 5)]
    with pytest.raises(Rejected) as caught:
        await carried({"op": "reload"}, Asked(ConfigError.of(mistakes)))
    assert caught.value.code == "failed"
    told = caught.value.facts["mistakes"]
    assert told[0] == {"source": "c.toml", "path": "a.b0", "error": "wrong"}
    assert len(told) == MISTAKES_SHOWN
    assert str(caught.value).startswith("c.toml: a.b0: wrong\n")
