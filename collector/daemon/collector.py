"""`Collector`: the daemon inside somebody else's asyncio program."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final

import msgspec

from collector.config import Config
from collector.core.protocol import refusal
from collector.daemon.daemon import Daemon
from collector.errors import InvalidEvent
from collector.event import Draft, Principal, Receipt
from collector.journal.reader import Reader

QUIET: Final[dict[str, Any]] = {
    "sources": {"unix": {"enabled": False}, "mdns": {"enabled": False}},
    "health": {"enabled": False},
    "web": {"enabled": False},
}
"""What an embedded collector does not do unless it is asked to: listen, discover, probe, serve."""


class Collector:
    """A journal and its daemon for the length of an `async with`.

    `config` is a `Config`, plain values shaped like the file (on top of `QUIET`), or None for a quiet
    one at the default place. `record` commits at once; `record_threadsafe` may be called from any
    thread. Neither raises because of an event or the disk: the receipt says what became of it.
    """

    def __init__(self, config: Config | Mapping[str, Any] | None = None) -> None:
        self.config = (
            config
            if isinstance(config, Config)
            else Config.from_mapping(_merged(QUIET, config or {}))
        )
        self._daemon: Daemon | None = None

    async def __aenter__(self) -> Collector:
        self._daemon = Daemon(self.config)
        await self._daemon.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        daemon, self._daemon = self.daemon, None
        await daemon.stop()

    @property
    def daemon(self) -> Daemon:
        """The running daemon. Raises RuntimeError outside of the `async with`."""
        if self._daemon is None:
            raise RuntimeError("this Collector is not running; use `async with Collector(…)`")
        return self._daemon

    def record(self, draft: Draft | str, **fields: Any) -> Receipt:
        """Record a draft, or an action and its fields, now. For the event loop's thread.

        `object` and `target` may be `(type, id)` or `(type, id, name)`, `actor` likewise or
        `"type:id"`.
        """
        try:
            whole = draft if isinstance(draft, Draft) else draft_of(draft, **fields)
        except InvalidEvent as error:
            return refusal(error)
        return self.daemon.intake.record(whole, source="queue")

    def record_threadsafe(self, draft: Draft | str, **fields: Any) -> Future[Receipt]:
        """The same from any thread; the future gets the receipt after the commit."""
        try:
            whole = draft if isinstance(draft, Draft) else draft_of(draft, **fields)
        except InvalidEvent as error:
            failed: Future[Receipt] = Future()
            failed.set_result(refusal(error))
            return failed
        return self.daemon.queue.record_threadsafe(whole)

    async def reader(self) -> Reader:
        """A reader of this journal; close it when done."""
        reader: Reader = await Reader.open(self.daemon.path)
        return reader


def draft_of(action: str, **fields: Any) -> Draft:
    """A draft from an action and fields as the library takes them. Raises `InvalidEvent`."""
    object_ = fields.pop("object", None)
    if object_ is not None:
        fields.update(zip(("object_type", "object_id", "object_name"), object_, strict=False))
    for name in ("actor", "target", "on_behalf_of"):
        if isinstance(fields.get(name), tuple | list):
            fields[name] = Principal(*fields[name])
    try:
        return msgspec.convert({"action": action, **msgspec.to_builtins(fields)}, Draft)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise InvalidEvent(str(error)) from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        known = merged.get(key)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(known, value) if both else value  # type: ignore[arg-type]
    return merged
