"""On zeroconf's own thread: hear every record, look services up in its cache, ask what is missing.

An exception in a handler would end a browser for good, so nothing here raises: what goes wrong is
counted.

A name that cannot be encoded again (one byte that is not UTF-8 becomes three) would break every
query that carries it as a known answer, and with it the browser: such records leave the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final, TypeAlias

from msgspec import Struct
from zeroconf import RecordUpdate, RecordUpdateListener, Zeroconf
from zeroconf._dns import DNSAddress, DNSPointer, DNSQuestion, DNSRecord, DNSService, DNSText
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.const import (
    _CLASS_IN,
    _FLAGS_QR_QUERY,
    _TYPE_A,
    _TYPE_AAAA,
    _TYPE_PTR,
    _TYPE_SRV,
    _TYPE_TXT,
)

from collector.core.device_changes import Reason
from collector.core.sighting import META_QUERY, Sighting, short_type, split_name
from collector.sources import mdns_cache

ASK_AGAIN: Final = (0.05, 1.0, 2.0)
"""Seconds before each question for what an announcement did not bring."""
MISSING_MAX: Final = 512
"""Names that are asked for at one time."""
QUESTIONS_A_PACKET: Final = 24
WAITERS_MAX: Final = 64


class Seen(Struct, frozen=True):
    """A service is advertised."""

    seen: Sighting


class Gone(Struct, frozen=True):
    """A service said goodbye or expired."""

    key: tuple[str, str]
    reason: Reason


class NewType(Struct, frozen=True):
    """A service type was heard of."""

    name: str


News: TypeAlias = Seen | Gone | NewType


class Ear(RecordUpdateListener):
    """`tell(key, news)` is called on zeroconf's thread and must be safe there."""

    def __init__(self, zc: Zeroconf, tell: Callable[[object, News], None]) -> None:
        self.errors = 0
        self.poison = 0
        self.missing_dropped = 0
        self.records = 0
        self._zc = zc
        self._tell = tell
        self._touched: dict[str, str] = {}
        self._gone: dict[str, Reason] = {}
        self._poison: list[DNSRecord] = []
        self._missing: dict[str, int] = {}
        self._asking = False
        self._waiters: dict[str, list[Future[bool]]] = {}

    # What zeroconf calls

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Before the cache changes: note which services are concerned."""
        for update in records:
            try:
                self.records += 1
                self._note(update.new, now)
            except Exception:
                self.errors += 1

    def async_update_records_complete(self) -> None:
        """After the cache changed: look at what was noted."""
        if self._poison:
            self._purge()
        touched, self._touched = self._touched, {}
        gone, self._gone = self._gone, {}
        for lower, name in touched.items():
            try:
                self._look(name, gone.get(lower))
            except Exception:
                self.errors += 1

    def _note(self, record: DNSRecord, now: float) -> None:
        expired = record.is_expired(now)
        if not expired and not _encodable(record):
            self._poison.append(record)
            return
        if isinstance(record, DNSPointer):
            self._note_pointer(record, expired)
        elif isinstance(record, (DNSService, DNSText)):
            self._note_service(record, expired)
        elif isinstance(record, DNSAddress) and not expired:
            self._wake(record.name)
            for service in list(self._zc.cache.async_entries_with_server(record.name))[:64]:
                self._touched[service.name.lower()] = service.name

    def _note_pointer(self, record: DNSPointer, expired: bool) -> None:
        if record.name.lower() == META_QUERY:
            if not expired and short_type(record.alias):
                self._tell(("type", record.alias.lower()), NewType(record.alias))
            return
        if short_type(record.name) is None or split_name(record.alias) is None:
            return
        lower = record.alias.lower()
        self._touched[lower] = record.alias
        if expired:
            self._gone[lower] = "goodbye" if record.ttl <= mdns_cache.FLUSHED else "expired"
            return
        self._gone.pop(lower, None)
        self._tell(("type", record.name.lower()), NewType(record.name))

    def _note_service(self, record: DNSRecord, expired: bool) -> None:
        if expired:
            return
        self._wake(record.name)
        if split_name(record.name) is not None:
            self._touched[record.name.lower()] = record.name

    def _purge(self) -> None:
        """Take what cannot be asked about again out of the cache, before a query carries it."""
        poison, self._poison = self._poison, []
        self.poison += len(poison)
        for record in poison:
            try:
                self._zc.cache.async_remove_records([record])
            except Exception:
                self.errors += 1

    # Looking up

    def _look(self, name: str, gone: Reason | None) -> None:
        parts = split_name(name)
        if parts is None:
            return
        key = (parts[0], parts[1].lower())
        if gone is not None:
            self._missing.pop(name.lower(), None)
            self._tell(key, Gone(key, gone))
            return
        if not mdns_cache.is_pointed_at(self._zc.cache, name):
            return
        seen = mdns_cache.sighted(self._zc.cache, name)
        if seen is not None:
            self._tell(seen.key, Seen(seen))
            if not seen.complete:
                self._ask_for(name)

    # Asking

    def ask(self, questions: Iterable[tuple[str, int]]) -> None:
        """Multicast questions, on zeroconf's loop; known answers are left to the browsers."""
        chunk: list[tuple[str, int]] = []
        for question in questions:
            chunk.append(question)
            if len(chunk) == QUESTIONS_A_PACKET:
                self._send(chunk)
                chunk = []
        if chunk:
            self._send(chunk)

    def _send(self, questions: list[tuple[str, int]]) -> None:
        try:
            out = DNSOutgoing(_FLAGS_QR_QUERY)
            for name, type_ in questions:
                out.add_question(DNSQuestion(name, type_, _CLASS_IN))
            self._zc.async_send(out)
        except Exception:
            self.errors += 1

    def ask_types(self, types: Iterable[str]) -> None:
        """Ask anew which types and services there are."""
        self.ask([(META_QUERY, _TYPE_PTR), *((name, _TYPE_PTR) for name in types)])

    def _ask_for(self, name: str) -> None:
        lower = name.lower()
        if lower in self._missing:
            return
        if len(self._missing) >= MISSING_MAX:
            self.missing_dropped += 1
            return
        self._missing[lower] = 0
        self._ask_soon()

    def _ask_soon(self) -> None:
        if not self._asking and self._missing and self._zc.loop is not None:
            self._asking = True
            attempt = min(self._missing.values())
            self._zc.loop.call_later(ASK_AGAIN[attempt], self._ask_missing)

    def _ask_missing(self) -> None:
        self._asking = False
        questions: list[tuple[str, int]] = []
        for name, attempts in list(self._missing.items()):
            wanted = self._wanted(name)
            questions += wanted
            if not wanted or attempts + 1 >= len(ASK_AGAIN):
                del self._missing[name]
            else:
                self._missing[name] = attempts + 1
        self.ask(dict.fromkeys(questions))
        self._ask_soon()

    def _wanted(self, name: str) -> list[tuple[str, int]]:
        seen = mdns_cache.sighted(self._zc.cache, name)
        if seen is None or seen.complete:
            return []
        wanted = [(name, _TYPE_SRV)] if seen.host is None else []
        wanted += [(name, _TYPE_TXT)] if seen.txt is None else []
        server = mdns_cache.server(self._zc.cache, name)
        if server is not None and not seen.addresses:
            wanted += [(server, _TYPE_A), (server, _TYPE_AAAA)]
        return wanted

    # Resolving, for health

    def await_record(self, name: str) -> Future[bool]:
        """A future that is done when a record of `name` is heard; asked for on zeroconf's loop."""
        future: Future[bool] = Future()
        waiting = self._waiters.setdefault(name.lower(), [])
        if len(self._waiters) > WAITERS_MAX:
            self._waiters.pop(name.lower())
            future.cancel()
            return future
        waiting.append(future)
        self.ask([(name, _TYPE_SRV)])
        return future

    def _wake(self, name: str) -> None:
        for future in self._waiters.pop(name.lower(), []):
            if not future.done():
                future.set_result(True)

    def give_up(self, name: str) -> None:
        """Nobody waits for `name` any more."""
        self._waiters.pop(name.lower(), None)


def _encodable(record: DNSRecord) -> bool:
    names = [record.name]
    if isinstance(record, DNSPointer):
        names.append(record.alias)
    elif isinstance(record, DNSService):
        names.append(record.server)
    return all(_fits(name) for name in names)


def _fits(name: str) -> bool:
    """Whether zeroconf can write the name: no empty label, 63 bytes each, 255 in all."""
    try:
        labels = [label.encode("utf-8") for label in name.rstrip(".").split(".")]
    except UnicodeEncodeError:
        return False
    return sum(map(len, labels)) + len(labels) < 255 and all(0 < len(one) <= 63 for one in labels)
