"""A draft as the line that crosses the socket: redacted, within bounds, valid UTF-8."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec

from collector.event import DEPTH_MAX, METADATA_MAX, RECORD_MAX, Draft, Principal

if TYPE_CHECKING:
    from collector.core.redaction import Redactor

KEYS: Final = (
    "password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "cookie",
    "private_key", "credential", "credentials",
)  # fmt: skip
"""The names of `redaction.keys` as the daemon has them when nobody configures any."""
HIDDEN: Final = "[redacted:00000000]"
"""What stands for a secret in `record`, the same for every secret."""
SHORT: Final = 1000
"""Bytes of a line of which no part can be over its bound."""
TEXT_MAX: Final = 1000
"""Characters left of a text when metadata is over its bound."""

_encode: Final = msgspec.json.Encoder().encode
_raw: Final[Any] = msgspec.Raw


class Redaction:
    """What the producer's side hides, by the daemon's own rules.

    `keys` are further names beside `KEYS`, `patterns` regular expressions, `emails` is `"hash"` or
    `"keep"`. In metadata and messages equal secrets of one process look equal; in `record` all look
    the same, since a mark that differed from process to process would be a change that never was.
    With a `key`, shared by all who record the same objects, they are told apart there too. Raises
    `ConfigError` for a pattern that does not compile.
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        patterns: Iterable[str] = (),
        emails: str = "hash",
        key: bytes | None = None,
    ) -> None:
        self._rules = (*KEYS, *keys), tuple(patterns), emails, key
        self._shared = key is not None
        if self._rules[1]:
            _ = self.redactor  # a pattern that does not compile is said here, and not later

    @cached_property
    def redactor(self) -> Redactor:
        """The daemon's own rules; loaded with the first text that they must look at."""
        from collector.core.redaction import Redactor

        keys, patterns, emails, key = self._rules
        return Redactor(
            keys=keys, patterns=patterns, emails=emails, key=os.urandom(32) if key is None else key
        )

    def is_harmless(self, draft: Draft) -> bool:
        """Whether nothing in a draft shows a sign of a secret, which is so of most."""
        fields, message = draft.metadata, draft.message
        return (
            draft.record is None
            and (not message or not self.redactor.needs_text_scan(message))
            and (not fields or self.redactor.is_harmless(fields))
        )

    def metadata(self, fields: dict[str, Any]) -> bytes:
        """`fields` as compact JSON without secrets; harmless ones are only looked at."""
        redactor = self.redactor
        return _encode(fields if redactor.is_harmless(fields) else redactor.mapping(fields))

    def message(self, text: str) -> str:
        """One line for people without secrets."""
        return self.redactor.text(text) if self.redactor.needs_text_scan(text) else text

    def record(self, fields: dict[str, Any]) -> bytes:
        """An object's state as compact JSON without secrets."""
        from collector.core.freetext import MARK

        encoded = _encode(self.redactor.mapping(fields))
        return encoded if self._shared else MARK.sub(HIDDEN, encoded.decode()).encode()


class Wire:
    """Turns drafts into frames. `redaction` None sends everything as it is."""

    def __init__(self, redaction: Redaction | None) -> None:
        self._redaction = redaction

    def frame(self, draft: Draft, warnings: list[str]) -> bytes:
        """One line of JSON with its newline; what had to be mended is added to `warnings`.

        The draft is changed: its metadata and record are of no more use afterwards.
        """
        given = draft.metadata, draft.record, draft.message
        try:
            frame = self._frame(draft, warnings)
        except UnicodeEncodeError:
            frame = b"\\u0000"
        if b"\\" in frame and b"\\u0000" in frame:
            draft.metadata, draft.record, draft.message = given
            frame = self._frame(_scrubbed(draft), warnings)
        return frame

    def bounded(self, draft: Draft, warnings: list[str]) -> Draft:
        """The draft as its frame would say it."""
        return _decoder().decode(self.frame(draft, warnings))

    def _frame(self, draft: Draft, warnings: list[str]) -> bytes:
        hide = self._redaction
        if hide is None or hide.is_harmless(draft):
            frame = _encode(draft) + b"\n"
            if len(frame) <= SHORT:
                return frame
        if draft.message and hide is not None:
            draft.message = hide.message(draft.message)[:1000]
        if draft.metadata:
            encoded = hide.metadata(draft.metadata) if hide is not None else _encode(draft.metadata)
            if len(encoded) > METADATA_MAX:
                encoded = _fitted(encoded, warnings)
            draft.metadata = _raw(encoded)
        if draft.record is not None:
            encoded = hide.record(draft.record) if hide is not None else _encode(draft.record)
            if len(encoded) > RECORD_MAX:
                warnings.append(f"record: over {RECORD_MAX} bytes, left out")
            draft.record = _raw(encoded) if len(encoded) <= RECORD_MAX else None
        return _encode(draft) + b"\n"


@cache
def _decoder() -> msgspec.json.Decoder[Draft]:
    """Made when it is needed: it costs as much as all other imports of the library together."""
    return msgspec.json.Decoder(Draft)


def _fitted(encoded: bytes, warnings: list[str]) -> bytes:
    """Metadata over its bound: long texts are cut, then whole keys left out, the largest first."""
    fields = msgspec.json.decode(encoded)
    fields = {key[:200]: _cut(value) for key, value in fields.items()}
    sizes = {key: len(_encode(key)) + len(_encode(value)) + 2 for key, value in fields.items()}
    excess = sum(sizes.values()) + 2 - METADATA_MAX
    left_out = 0
    for key in sorted(sizes, key=lambda name: -sizes[name]):
        if excess <= 0:
            break
        excess -= sizes[key]
        left_out += 1
        del fields[key]
    what = f", {left_out} keys left out" if left_out else ""
    warnings.append(f"metadata: over {METADATA_MAX} bytes, texts cut{what}")
    return _encode(fields)


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return value[: TEXT_MAX - 1] + "…"
    return value


def _scrubbed(draft: Draft) -> Draft:
    """The draft without NUL and lone surrogates, which no reader's text can hold."""
    clean = msgspec.structs.replace(draft)
    for name in draft.__struct_fields__:
        setattr(clean, name, _text_only(getattr(draft, name), DEPTH_MAX + 2))
    return clean


def _text_only(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, Principal):
        parts = {key: _text_only(getattr(value, key), 1) for key in value.__struct_fields__}
        return Principal(**parts)
    if depth and isinstance(value, Mapping):
        return {_text_only(key, 1): _text_only(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list):
        return [_text_only(item, depth - 1) for item in value]
    return value
