"""Redaction: what must not be written down is replaced before it is.

A secret becomes `[redacted:1a2b3c4d]`, eight hex digits of an HMAC-SHA256 under a key that belongs
to the journal (or to one run of a producer): equal secrets look equal, so that a change of a secret
shows and the secret does not. Redacting twice is the same as redacting once.

What is a secret: the value of a key that `keynames` calls sensitive; the values beside a name in
one object (`{"path": "smtp.password", "from": …, "to": …}`, `{"name": "token", "value": …}`); the
second of a pair in a list of pairs (headers); and what the rules of `freetext` find in any string,
keys of objects included. `null` and booleans hold no secret and stay.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from collector.core.freetext import MARK, FreeText, might_hold_secret, value_might_hold_secret
from collector.core.keynames import KeyNames, remember
from collector.errors import ConfigError

NAMING: Final = frozenset(
    {"path", "field", "key", "name", "setting", "option", "header", "param", "parameter"}
    | {"variable", "attribute", "column"}
)
"""Keys whose text names what the values beside it belong to."""
NAMED: Final = frozenset(
    {"value", "from", "to", "old", "new", "before", "after", "previous", "current", "default"}
    | {"old_value", "new_value", "oldValue", "newValue"}
)
"""Keys of the values that such a name speaks of."""
DEPTH_MAX: Final = 64
"""Levels that are walked; admission allows eight, a producer's own data may be deeper."""
TOO_DEEP: Final = "[redacted:00000000]"
"""What stands for anything deeper than `DEPTH_MAX`."""


class Redactor:
    """Redacts metadata, records and messages.

    `keys`: names whose values are secrets. `patterns`: regular expressions; each match in a string
    is a secret. `emails`: `"hash"` treats e-mail addresses as secrets, anything else leaves them.
    `key`: the HMAC's key, any length. Raises `ConfigError` for a pattern that does not compile.
    """

    def __init__(
        self, *, keys: Iterable[str], patterns: Iterable[str], emails: str, key: bytes
    ) -> None:
        self._key = key
        self._names = KeyNames(keys)
        compiled = tuple(_compile(pattern) for pattern in patterns)
        self._text = FreeText(self._names, compiled, emails == "hash", self._mark)
        self._always = bool(compiled)
        self._shapes: dict[tuple[str, ...], tuple[str, ...] | None] = {}

    def mapping(self, data: dict[str, Any]) -> dict[str, Any]:
        """`data` without secrets; the same object where nothing had to change."""
        return self._object(data, 1)

    def text(self, text: str) -> str:
        """A string without secrets; the same object where nothing had to change."""
        return self._text.redact(text)

    def is_safe_shape(self, keys: tuple[str, ...]) -> bool:
        """Whether a flat object with these keys can hold secrets only by the free-text rules.

        With that and `not needs_text_scan(…)`, `mapping` would return the object as it is.
        """
        return self._naming(keys) == ()

    def is_safe_flat(self, data: dict[str, Any]) -> bool:
        """As `is_safe_shape`, of one flat object: `{"path": "ui.theme", "from": …}` is safe too."""
        naming = self._naming(tuple(data))
        if naming is None:
            return False
        for key in naming:
            value = data[key]
            if isinstance(value, str) and self._names.sensitive(value):
                return False
        return True

    def is_harmless(self, data: dict[str, Any]) -> bool:
        """Whether `mapping` would return this object as it is, as far as a glance can tell: it is flat,
        no key is a secret's, and no text shows a sign of one."""
        if self._always or not self.is_safe_flat(data):
            return False
        for value in data.values():
            kind = type(value)
            if kind is str:
                if value_might_hold_secret(value):
                    return False
            elif kind is dict or kind is list:
                return False
        return True

    def needs_text_scan(self, compact_json: str) -> bool:
        """Whether a string in this compact JSON could hold a secret by the free-text rules."""
        return self._always or might_hold_secret(compact_json)

    def _naming(self, keys: tuple[str, ...]) -> tuple[str, ...] | None:
        """Those keys whose values could name a secret beside them; None where a key is a secret's."""
        try:
            return self._shapes[keys]
        except KeyError:
            known = self._shape(keys)
            remember(self._shapes, keys, known, sum(map(len, keys)) + len(keys))
            return known

    def _shape(self, keys: tuple[str, ...]) -> tuple[str, ...] | None:
        if any(self._names.sensitive(key) or self.text(key) != key for key in keys):
            return None
        return () if NAMED.isdisjoint(keys) else tuple(NAMING.intersection(keys))

    def _mark(self, secret: str) -> str:
        return self._digest(secret.encode("utf-8", "surrogatepass"))

    def _digest(self, secret: bytes) -> str:
        return f"[redacted:{hmac.digest(self._key, secret, 'sha256').hex()[:8]}]"

    def _hidden(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return value if MARK.fullmatch(value) else self._mark(value)
        return self._digest(_canonical(value))

    def _object(self, data: dict[str, Any], depth: int) -> dict[str, Any]:
        named = self._speaks_of_secret(data)
        result: dict[str, Any] = {}
        numbers: dict[str, int] = {}
        changed = False
        for key, value in data.items():
            name = self._text.redact(key) if isinstance(key, str) else key
            if self._is_secret(key) or (named and key in NAMED):
                clean = self._hidden(value)
            else:
                clean = self._value(value, depth)
            if name is not key and name != key:
                name = _free(name, numbers, result, data)
            changed = changed or name is not key or clean is not value
            result[name] = clean
        return result if changed else data

    def _is_secret(self, key: Any) -> bool:
        return isinstance(key, str) and self._names.sensitive(key)

    def _speaks_of_secret(self, data: dict[str, Any]) -> bool:
        return any(self._is_secret(data[key]) for key in NAMING & data.keys())

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._text.redact(value)
        if not isinstance(value, dict | list | tuple):
            return value
        if depth >= DEPTH_MAX:
            return TOO_DEEP
        if isinstance(value, dict):
            return self._object(value, depth + 1)
        items = [self._item(item, depth + 1) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items

    def _item(self, item: Any, depth: int) -> Any:
        """An element of a list; `["authorization", "…"]` there is a pair of name and value."""
        if isinstance(item, list | tuple) and len(item) == 2 and self._is_secret(item[0]):
            hidden = self._hidden(item[1])
            return item if hidden is item[1] else [item[0], hidden]
        return self._value(item, depth)


def _free(name: str, numbers: dict[str, int], *taken: dict[str, Any]) -> str:
    """Two keys may become one name (`Ada@…`, `ada@…`): the later ones are numbered.

    `numbers` holds the last number of each name, so that a thousand such keys cost a thousand looks.
    """
    number = numbers.get(name, 0) + 1
    free = name if number == 1 else f"{name}#{number}"
    while any(free in names for names in taken):
        number += 1
        free = f"{name}#{number}"
    numbers[name] = number
    return free


def _canonical(value: Any) -> bytes:
    """Bytes that are equal for equal values, whatever the order of their keys."""
    try:
        return msgspec.json.encode(value, enc_hook=repr, order="sorted")
    except (TypeError, ValueError, RecursionError):
        return repr(value).encode("utf-8", "backslashreplace")


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"{pattern!r} is not a regular expression: {error}", "redaction.patterns"
        ) from None
