"""Secrets never pass: by key name, by what a name speaks of, by free-text rule, by pattern."""

from __future__ import annotations

import base64
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.core.freetext import MARK
from collector.core.redaction import DEPTH_MAX, Redactor
from collector.errors import ConfigError

KEYS = (
    *("password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "cookie"),
    *("private_key", "credential", "credentials"),
)
CANARY = "cAnAry7Zq"


def make(patterns: tuple[str, ...] = (), emails: str = "hash", key: bytes = b"journal") -> Redactor:
    return Redactor(keys=KEYS, patterns=patterns, emails=emails, key=key)


REDACTOR = make()


@pytest.mark.parametrize(
    "name",
    [
        *("password", "PASSWORD", "dbPassword", "db_password", "db-password"),
        *("db.password", "access_token", "accessToken", "x-api-key", "X-API-Key"),
        *("apiKey", "APIKey", "apikey", "Set-Cookie", "password1", "new_password_2"),
        *("privateKey", "awsCredentials", "OAuth2Token", "Proxy-Authorization"),
    ],
)
def test_a_key_that_is_or_ends_in_a_configured_name_is_redacted(name: str) -> None:
    assert MARK.fullmatch(REDACTOR.mapping({name: CANARY})[name])
    assert not REDACTOR.is_safe_shape(("a", name))


@pytest.mark.parametrize(
    "name",
    [
        *("author", "token_count", "tokens_used", "key", "keyboard", "secretary"),
        *("passwordless", "monkey", "tokenizer", "authorizationLevel", "cookie_consent"),
        *("has_password_policy", "api", "private", "key_id"),
    ],
)
def test_a_key_that_only_contains_a_configured_name_stays(name: str) -> None:
    data = {name: "plain"}
    assert REDACTOR.mapping(data) is data
    assert REDACTOR.is_safe_shape((name,))


def test_a_mark_is_eight_digits_of_an_hmac_so_that_a_change_shows_and_the_secret_does_not() -> None:
    first, again, other = (REDACTOR.mapping({"token": t})["token"] for t in ("a", "a", "b"))
    assert first == again != other
    assert make(key=b"another journal").mapping({"token": "a"})["token"] != first
    assert REDACTOR.text("token=a") == f"token={first}"


@pytest.mark.parametrize("value", [None, True, False])
def test_null_and_booleans_hold_no_secret(value: Any) -> None:
    data = {"password": value}
    assert REDACTOR.mapping(data) is data


@pytest.mark.parametrize(
    "value", [1234, 1.5, ["a", "b"], {"a": {"b": CANARY}}, "", b"x", float("nan")]
)
def test_any_other_value_under_a_sensitive_key_becomes_one_mark(value: Any) -> None:
    assert MARK.fullmatch(REDACTOR.mapping({"secret": value})["secret"])


def test_the_mark_of_an_object_does_not_depend_on_the_order_of_its_keys() -> None:
    one = REDACTOR.mapping({"secret": {"a": 1, "b": 2}})
    assert one == REDACTOR.mapping({"secret": {"b": 2, "a": 1}})


def test_values_beside_a_sensitive_name_are_redacted() -> None:
    changed = REDACTOR.mapping({"path": "smtp.password", "from": CANARY, "to": "new", "unit": "x"})
    assert MARK.fullmatch(changed["from"])
    assert MARK.fullmatch(changed["to"])
    assert (changed["path"], changed["unit"]) == ("smtp.password", "x")
    plain = {"path": "ui.theme", "from": "light", "to": "dark"}
    assert REDACTOR.mapping(plain) is plain
    assert not REDACTOR.is_safe_shape(("path", "from", "to"))


def test_pairs_in_a_list_are_names_and_values() -> None:
    headers = {"headers": [["Host", "a"], ["authorization", CANARY], ("cookie", CANARY)]}
    assert CANARY not in repr(REDACTOR.mapping(headers))
    names = {"error_keys": ["password", "token"], "fields": [["password", "token", "name"]]}
    assert REDACTOR.mapping(names) is names


def jwt() -> str:
    parts = (b'{"alg":"HS256"}', b'{"sub":"7"}', b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n{CANARY}\n-----END RSA PRIVATE KEY-----"
BASIC = base64.b64encode(f"user:{CANARY}".encode()).decode()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"login with password={CANARY} failed", CANARY),
        (f"PASSWORD: {CANARY}", CANARY),
        (f"password='{CANARY} two words'", "two words"),
        (f'{{"dbPassword": "{CANARY} two", "a": 1}}', CANARY),
        (f'{{\\"token\\":\\"{CANARY} two\\"}}', "two"),
        (f"{{'api_key': '{CANARY}'}}", CANARY),
        (f"API key = {CANARY}", CANARY),
        (f"api-key => {CANARY}", CANARY),
        (f"secret := {CANARY}", CANARY),
        (f"tokens? token=['a b', '{CANARY}']", CANARY),
        (f"GET /a?b=1&access_token={CANARY}&c=2", CANARY),
        (f"password=a,{CANARY}", CANARY),
        (f"password=a&{CANARY}", CANARY),
        (f"password=a'{CANARY}", CANARY),
        (f"mysql --password {CANARY} -h db", CANARY),
        (f"mysql --db-password={CANARY}", CANARY),
        (f"Authorization: Bearer {CANARY}", CANARY),
        (f"Authorization: Basic {BASIC}", BASIC),
        (f"Authorization: {CANARY}", CANARY),
        (f'Authorization: Digest username="ada", response="{CANARY}"', CANARY),
        (f"Proxy-Authorization: GenieKey {CANARY}", CANARY),
        (f'"Authorization": "Bearer {CANARY}"', CANARY),
        (f'{{\\"Authorization\\": \\"Bearer {CANARY}\\"}}', CANARY),
        (f"Cookie: a=1; sid={CANARY}; b=2", CANARY),
        (f"Set-Cookie: sid={CANARY}; HttpOnly", CANARY),
        (f"sent bearer {CANARY} to host", CANARY),
        (f"sent Basic {BASIC} to host", BASIC),
        (f"postgres://ada:{CANARY}@db/x", CANARY),
        (f"postgres://ada:a@b{CANARY}@db/x", CANARY),
        (f"redis://:{CANARY}@db/0", CANARY),
        (f"smtp://ada@example.org:{CANARY}@mail", CANARY),
        (f"jwt {jwt()} seen", jwt()),
        (f"key {PEM} seen", CANARY),
        (f"cut -----BEGIN PRIVATE KEY-----\n{CANARY}", CANARY),
        ("mail to Ada.Lovelace+x@example.co.uk now", "Ada"),
        ("mail to ада@пример.рф now", "пример"),
        (f"password=[redacted:12345678]{CANARY}", CANARY),
    ],
)
def test_secrets_in_free_text_are_found_and_their_surroundings_stay(text: str, secret: str) -> None:
    clean = REDACTOR.text(text)
    assert secret not in clean
    assert MARK.search(clean)
    assert clean.split()[0].split("=")[0].split(":")[0] in text
    assert REDACTOR.text(clean) == clean
    assert REDACTOR.needs_text_scan(msgspec.json.encode({"message": text}).decode())
    assert secret not in repr(REDACTOR.mapping({"nested": [{"message": text, text: 1}]}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the token expired",
        "Bearer authentication failed",
        "Basic functionality works",
        "at 12:30:00 author: ada, token_count=5",
        "https://host:8080/path?page=2",
        "meet @noon, pi@raspberrypi is up",
        "secretary: Grace; cookies: none",
        "already password=[redacted:12345678]; Authorization: [redacted:12345678]",
    ],
)
def test_plain_text_comes_back_as_the_same_object(text: str) -> None:
    assert REDACTOR.text(text) is text


def test_emails_stay_where_they_are_to_be_kept() -> None:
    assert make(emails="keep").text("ada@example.org") == "ada@example.org"


def test_an_email_has_one_mark_whatever_its_case_and_keys_that_become_equal_both_stay() -> None:
    assert REDACTOR.text("Ada@Example.org") == REDACTOR.text("ada@example.org")
    clean = REDACTOR.mapping({"Ada@example.org": 1, "ada@example.org": 2})
    assert sorted(clean.values()) == [1, 2]
    assert "example" not in repr(clean)


def test_the_operators_patterns_apply_to_strings_and_keys() -> None:
    redactor = make(patterns=(r"\bAKIA[A-Z0-9]{4}\b",))
    assert "AKIA1234" not in repr(redactor.mapping({"AKIA1234": ["x AKIA1234 y"]}))
    assert redactor.needs_text_scan('{"a":1}')
    wide = make(patterns=(r"\w+",))
    assert wide.text(wide.text("one two")) == wide.text("one two")
    assert "key-1" not in make(patterns=("key-.*",)).text("key-1 [redacted:12345678]")


def test_a_pattern_that_does_not_compile_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"redaction\.patterns"):
        make(patterns=("(",))


def test_depth_is_bounded() -> None:
    data: dict[str, Any] = {"password": CANARY}
    for _ in range(5 * DEPTH_MAX):
        data = {"a": [data]}
    assert CANARY not in repr(REDACTOR.mapping(data))


def test_what_strangers_can_make_it_remember_is_bounded() -> None:
    redactor = make()
    for number in range(10_000):
        redactor.is_safe_shape((f"k{number}",))
        redactor.is_safe_shape((f"{number}" * 300,))
    assert len(redactor._shapes) <= 4096
    assert max(len(keys[0]) for keys in redactor._shapes) <= 512
    assert len(redactor._names._known) <= 4096


HOSTILE = [
    "a" * 60_000 + "@",
    "a@" * 30_000,
    "a.a@a." * 10_000,
    "eyJ" * 20_000,
    "eyJ.a" * 12_000,
    "password=" * 7_000,
    "password= " * 6_000,
    "token" + "," * 60_000,
    "token=" + ",a" * 30_000,
    "token=" + "'" * 60_000,
    'token="' + "\\" * 60_000,
    "://a:" * 12_000,
    "://" + ":" * 60_000 + "@",
    "-----BEGIN PRIVATE KEY-----" * 2_200,
    "authorization:" * 4_000,
    "cookie=" + " " * 60_000,
    "--" * 30_000 + " token",
    "-token " * 9_000 + "--token x",
    "Bearer " * 9_000,
    "Basic " + "A" * 60_000,
    "x" * 60_000 + "password=1",
    "token" + "\\" * 60_000 + "=",
    "password" + " " * 60_000 + "=x",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:16])
def test_no_rule_is_slow_on_60_000_hostile_characters(text: str) -> None:
    start = time.process_time()
    REDACTOR.text(text)
    assert time.process_time() - start < 0.5


FRAGMENTS = st.sampled_from(
    [
        *("password", "token", "api_key", "Authorization", "Cookie", "author", "=", ":", " ", ", "),
        *(";", "&", "'", '"', "\\", "\n", "Bearer ", "Basic ", BASIC, "--", "://", "@", "host.org"),
        *("a@b.de", "(", ")", "[", "]", "{", "}", "=>", "eyJab.cd", "-----BEGIN PRIVATE KEY-----"),
        *("[redacted:12345678]", "x", "1", ".", "-", "/", "ü", "-----END PRIVATE KEY-----"),
    ]
)
MESSY = st.lists(FRAGMENTS, max_size=14).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | MESSY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MESSY, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(MESSY | st.sampled_from(["path", "to", "token"]), JSON, max_size=4)


@pytest.mark.parametrize(
    "text", ["password=;Bearer =", "eyJab.cdpassword=password=x", "://a@b.de@"]
)
def test_what_one_rule_uncovers_another_hides_in_the_same_run(text: str) -> None:
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once != text


@given(MESSY)
def test_redacting_text_twice_is_redacting_once(text: str) -> None:
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


@given(OBJECTS)
def test_redacting_twice_is_redacting_once_and_returns_the_same_object(
    data: dict[str, Any],
) -> None:
    once = REDACTOR.mapping(data)
    assert REDACTOR.mapping(once) is once


QUIET = st.lists(
    st.sampled_from(
        [
            *(
                "password",
                "token",
                "author",
                "Bearer",
                "basic",
                "Basic",
                " ",
                ",",
                ";",
                "'",
                "(",
                "[",
            ),
            *("-", ".", "/", "ey", "J", "eyJ", "1", "x", "{", "[redacted:12345678]", ": ", BASIC),
        ]
    ),
    max_size=8,
).map("".join)


@given(st.dictionaries(QUIET, st.none() | st.booleans() | st.integers() | QUIET, max_size=3))
def test_the_shortcut_is_true(data: dict[str, Any]) -> None:
    """What the hot path skips would not have been changed."""
    compact = msgspec.json.encode(data).decode()
    if REDACTOR.is_safe_shape(tuple(data)) and not REDACTOR.needs_text_scan(compact):
        assert REDACTOR.mapping(data) is data
    if REDACTOR.is_safe_flat(data) and not REDACTOR.needs_text_scan(compact):
        assert REDACTOR.mapping(data) is data
    if REDACTOR.is_harmless(data):
        assert REDACTOR.mapping(data) is data


@given(OBJECTS)
def test_a_glance_never_calls_a_secret_harmless(data: dict[str, Any]) -> None:
    if REDACTOR.is_harmless(data):
        assert REDACTOR.mapping(data) == data


def test_what_is_plain_is_harmless() -> None:
    """Or the glance would be worth nothing."""
    plain = {"path": "ui.theme", "from": "dark", "to": "light blue", "n": 5, "on": True, "of": None}
    assert REDACTOR.is_harmless(plain)
    for value in (["a"], {"b": 1}, "a@b.org", "k=v", "k: v", "Bearer x", "C:\\x", "eyJ.a.b"):
        assert not REDACTOR.is_harmless({"value": value}), value


NAMES = st.sampled_from(["path", "name", "from", "to", "value", "size", "password"])
NAMED_VALUES = st.sampled_from(["ui.theme", "smtp.password", "token", "dark", None, 5])


@given(st.dictionaries(NAMES, NAMED_VALUES, max_size=4))
def test_the_shortcut_sees_the_name_of_a_secret(data: dict[str, Any]) -> None:
    if REDACTOR.is_safe_flat(data):
        assert REDACTOR.mapping(data) is data


def test_a_change_that_names_no_secret_takes_the_shortcut() -> None:
    assert REDACTOR.is_safe_flat({"path": "ui.theme", "from": "light", "to": "dark"})
    assert not REDACTOR.is_safe_flat({"path": "smtp.password", "from": "a", "to": "b"})


SAFE = st.text(st.characters(exclude_characters="\\\"'", exclude_categories=["Cs"]), max_size=20)
CARRIERS = st.sampled_from(
    [
        "password={}",
        "x password: {} y",
        '{{"token":"{}"}}',
        "postgres://ada:{}@db",
        "Authorization: Bearer {}",
        "Authorization: {}",
        "Cookie: sid={}; a=b",
        "bearer {}9",
        "--api-key {}",
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
        "{}@example.org",
        "?a=1&secret={}&b=2",
    ]
)


@given(SAFE, CARRIERS, SAFE, st.integers(1, 5))
def test_a_planted_canary_never_passes(before: str, carrier: str, after: str, depth: int) -> None:
    data: Any = f"{before} {carrier.format(CANARY)} {after}"
    for level in range(depth):
        data = {"a": data, "b": level} if level % 2 else [data, level]
    clean = REDACTOR.mapping({"data": data, "dbPassword": CANARY, "deep": {"token": [CANARY]}})
    assert CANARY not in repr(clean)


def test_many_keys_that_become_one_name_cost_each_the_same() -> None:
    """Ten times as many take about ten times as long, not a hundred: compared within one run."""
    redactor = make()

    def seconds(count: int) -> float:
        local = "abcdefghijklm"
        cases = [
            "".join(c.upper() if n >> k & 1 else c for k, c in enumerate(local)) + "@example.org"
            for n in range(count)
        ]
        data = dict.fromkeys(cases, 1)
        began = time.perf_counter()
        assert len(redactor.mapping(data)) == count
        return time.perf_counter() - began

    few = min(seconds(300) for _ in range(3))
    assert min(seconds(3_000) for _ in range(3)) < 40 * few
