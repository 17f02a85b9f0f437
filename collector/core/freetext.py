"""Secrets in free text: what people paste into a message, and what programs print.

Each rule is a regular expression that runs in linear time on any input: what repeats is possessive
or starts only at the border of a word, so that a hostile text costs no more than a long one.
Rules err on the side of hiding: a word too many in a message is cheaper than a password in a log.

| rule | finds |
|---|---|
| private key | `-----BEGIN … PRIVATE KEY-----` to its end, or to the end of the text |
| URL | the password in `scheme://user:password@host` |
| header | what follows `Authorization:`, `Cookie:` and their kin |
| assignment | `password=…`, `"api_key": "…"`, `token: …`, for the configured key names |
| flag | `--password …` |
| bearer, basic | `Bearer …`; `Basic …` that decodes to `user:password` |
| JWT | three dotted base64url parts, of which the first is a JSON object |
| e-mail | an address, where addresses are to be hashed |
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable
from typing import Final

from collector.core.keynames import KeyNames

MARK: Final = re.compile(r"\[redacted:[0-9a-f]{8}\]")
"""What stands for a secret; never redacted again."""

_BARE: Final = (
    r"(?:[^\s\"',;&]"
    r"|[,;&](?!\s|$|[\w.-]{1,64}[\"']?\s?[=:])"
    r"|[\"'](?!\s|$|[,;)\]}]))++"
)
"""An unquoted value: to white space, or to a separator that another `name=` follows."""
_QUOTED: Final = r"\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?"
_BRACKETS: Final = r"\[[^\]\r\n]*+\]?|\{[^}\r\n]*+\}?|\([^)\r\n]*+\)?"
_VALUE: Final = rf"(?:(?:{_BRACKETS})(?:{_BARE})?|{_QUOTED}|{_BARE})"
_ASSIGN: Final = r"\\{0,4}[\"']?\s{0,4}(?:=>|:=|[=:])\s{0,4}\\{0,4}"

_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_URL_PASSWORD: Final = re.compile(r"(://(?:\[redacted:[0-9a-f]{8}\]|[^\s/:\[]*+):)([^\s/]+)(?=@)")
_VALUE_HERE: Final = re.compile(_VALUE)
_COOKIES: Final = re.compile(rf"{_QUOTED}|[^\r\n]++")
_AUTHORIZATION: Final = re.compile(
    r"(?:digest|oauth|signature|hawk|mac|aws4-hmac-sha256)\b[^\r\n]*+"
    rf"|(?:[a-z][\w-]*+[ \t]++)?{_VALUE}",
    re.IGNORECASE,
)
_FLAG: Final = re.compile(r"(?<![\w-])--([\w.-]++)[ \t]++(?!-)")
_PROSE: Final = (
    "tokens?|auth|authentication|authorization|scheme|schemes|realm|credentials?|header|headers|"
    "is|was|not|has|of|or|and|for|the|in|on|with|from|expired|failed|missing|invalid|required|rejected"
)
_BEARER: Final = re.compile(
    rf"(?<!\w)((?:[Bb]earer|BEARER)[ \t]++)(?!(?:{_PROSE})(?![\w.~+/=-]))([\w.~+/=-]++)"
)
_BASIC: Final = re.compile(r"(?<!\w)((?:[Bb]asic|BASIC)[ \t]++)([A-Za-z0-9+/_-]{4,}+={0,2})")
_JWT: Final = re.compile(r"(?<![\w-])eyJ[\w-]++\.[\w-]++(?:\.[\w-]*+){0,3}")
_AT_DOMAIN: Final = re.compile(r"@(?:[\w-]++\.)+(?:xn--[\w-]++|[^\W\d_]{2,63})")
_LOCAL_PART: Final = frozenset("._%+'-")
_KEY_WINDOW: Final = 128
"""Characters before a matched word that are looked at for the rest of its key name."""

PASSES_MAX: Final = 5

Mark = Callable[[str], str]


def might_hold_secret(compact_json: str) -> bool:
    """Whether any string in compact JSON could be touched by a rule; a few `in` checks, no more.

    In compact JSON each colon between key and value follows a quote; any other colon stands inside
    a string. A backslash can hide anything. Rules not named here need one of these signs.
    """
    return (
        "@" in compact_json
        or "\\" in compact_json
        or "=" in compact_json
        or compact_json.count(":") != compact_json.count('":')
        or ("." in compact_json and "eyJ" in compact_json)
        or (" " in compact_json and _might_hold_phrase(compact_json))
    )


def value_might_hold_secret(text: str) -> bool:
    """The same of one string by itself, as a program has it: here any colon is a sign."""
    return (
        ":" in text
        or "@" in text
        or "=" in text
        or "\\" in text
        or ("." in text and "eyJ" in text)
        or (" " in text and _might_hold_phrase(text))
    )


def _might_hold_phrase(text: str) -> bool:
    """The signs of `Bearer …`, `Basic …` and `--flag …`; a single character costs least."""
    return (
        "earer " in text
        or "asic " in text
        or ("R" in text and "EARER " in text)
        or ("C" in text and "ASIC " in text)
        or ("-" in text and "--" in text)
    )


class FreeText:
    """The rules above for one set of key names, value patterns and one way to mark a secret.

    `patterns` are compiled expressions of the operator's own; each whole match is a secret. They
    are not bounded by the promise of linear time.
    """

    def __init__(
        self, names: KeyNames, patterns: Iterable[re.Pattern[str]], emails: bool, mark: Mark
    ) -> None:
        self._names = names
        self._patterns = tuple(patterns)
        self._emails = emails
        self._mark = mark
        self._endings = tuple(sorted({split[-1] for split in names.words}))
        self._assignment = _assignment(names.words)

    def redact(self, text: str) -> str:
        """`text` with each secret replaced by a mark; the same object where there is none.

        What one rule replaces can be what another stopped at, so the rules run until nothing
        changes, `PASSES_MAX` times at most.
        """
        for _ in range(PASSES_MAX):
            clean = self._redact(text)
            if clean == text:
                break
            text = clean
        return text

    def _redact(self, text: str) -> str:
        for pattern in self._patterns:
            text = self._by_pattern(pattern, text)
        if "-----BEGIN " in text:
            text = _PRIVATE_KEY.sub(self._whole, text)
        if "@" in text and "://" in text:
            text = _URL_PASSWORD.sub(self._second, text)
        if ":" in text or "=" in text or "--" in text:
            text = self._named(text)
        text = self._tokens(text)
        if self._emails and "@" in text:
            text = self._addresses(text)
        return text

    def _addresses(self, text: str) -> str:
        """Each address from its domain backwards, so that none hides behind the one before."""
        parts: list[str] = []
        done = 0
        for match in _AT_DOMAIN.finditer(text):
            start = match.start()
            while start > done and (text[start - 1].isalnum() or text[start - 1] in _LOCAL_PART):
                start -= 1
            if start < match.start():
                parts += text[done:start], self._mark(text[start : match.end()].casefold())
                done = match.end()
        return "".join((*parts, text[done:])) if parts else text

    def _named(self, text: str) -> str:
        folded = text.casefold()
        if not any(ending in folded for ending in self._endings):
            return text
        if self._assignment is not None:
            text = self._values_after(self._assignment, text)
        return self._values_after(_FLAG, text) if "--" in text else text

    def _values_after(self, lead: re.Pattern[str], text: str) -> str:
        """What follows each `lead` whose first group ends a sensitive name."""
        parts: list[str] = []
        done = at = 0
        while match := lead.search(text, at):
            at = match.end()
            value = self._value_at(text, at, self._key_until(match))
            if value is not None:
                parts += text[done:at], self._hide(value[0])
                done = at = value.end()
        return "".join((*parts, text[done:])) if parts else text

    def _value_at(self, text: str, at: int, name: str) -> re.Match[str] | None:
        if not self._names.sensitive(name):
            return None
        folded = name.casefold()
        if folded.endswith("authorization"):
            return _AUTHORIZATION.match(text, at)
        return (_COOKIES if folded.endswith("cookie") else _VALUE_HERE).match(text, at)

    def _key_until(self, match: re.Match[str]) -> str:
        text, start = match.string, match.start(1)
        lowest = max(0, start - _KEY_WINDOW)
        while start > lowest and (text[start - 1].isalnum() or text[start - 1] in "_-."):
            start -= 1
        return text[start : match.end(1)]

    def _tokens(self, text: str) -> str:
        if "earer" in text or "EARER" in text:
            text = _BEARER.sub(self._second, text)
        if "asic" in text or "ASIC" in text:
            text = _BASIC.sub(self._basic, text)
        return _JWT.sub(self._whole, text) if "eyJ" in text else text

    def _hide(self, secret: str) -> str:
        """A mark for a value as it stands in a text: quotes are kept, a mark stays as it is."""
        quote = secret[:1] if secret[:1] in ("'", '"') else ""
        inner = secret[len(quote) :]
        closing = quote if quote and inner.endswith(quote) else ""
        inner = inner[: len(inner) - len(closing)]
        if not inner or MARK.fullmatch(inner):
            return secret
        return f"{quote}{self._mark(inner)}{closing}"

    def _whole(self, match: re.Match[str]) -> str:
        return self._hide(match[0])

    def _second(self, match: re.Match[str]) -> str:
        return match[1] + self._hide(match[2])

    def _basic(self, match: re.Match[str]) -> str:
        """Only what decodes to `user:password`: "basic functionality" is plain English."""
        encoded = match[2].replace("-", "+").replace("_", "/").rstrip("=")
        try:
            decoded = binascii.a2b_base64(encoded + "=" * (-len(encoded) % 4))
        except binascii.Error:
            return match[0]
        return self._second(match) if b":" in decoded else match[0]

    def _by_pattern(self, pattern: re.Pattern[str], text: str) -> str:
        """Marks are left alone, so that a pattern as wide as `\\w+` can be applied twice."""
        marks = [match.span() for match in MARK.finditer(text)]

        def hide(match: re.Match[str]) -> str:
            start, end = match.span()
            inside = any(low <= start and end <= high for low, high in marks)
            return match[0] if start == end or inside else self._mark(match[0])

        return pattern.sub(hide, text)


def _assignment(names: frozenset[tuple[str, ...]]) -> re.Pattern[str] | None:
    """`name = value` for any of `names`; what stands before the name is the callback's to check."""
    if not names:
        return None
    ordered = sorted(names, key=lambda split: (-len(split), split))
    either = "|".join(r"[\s_.-]?".join(map(re.escape, split)) for split in ordered)
    return re.compile(rf"((?:{either})[0-9]{{0,4}}){_ASSIGN}", re.IGNORECASE)
