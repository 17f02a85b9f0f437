"""The files that the page is made of: how much they weigh, and what their catalogues say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collector.event import OWN_ACTIONS

STATIC = Path(__file__).parents[2] / "collector/web/static"
MOST = 160_000
"""Bytes of everything that is shipped, uncompressed."""
LANGUAGES = ("en", "de", "ru", "zh")
OWN_WORDING = ("verb.", "alone.", "denied", "failedTo")
"""Sentences that each language builds in its own way."""


def lines_of(language: str) -> list[str]:
    """The lines of a catalogue."""
    return (STATIC / f"{language}.js").read_text().split("`")[1].split("\n")[1:-1]


def catalogue(language: str) -> dict[str, str]:
    """Key to text, as `i18n.js` reads it: English has the keys, others a text on the same line."""
    found: dict[str, str] = {}
    group = ""
    for line, own in zip(lines_of("en"), lines_of(language), strict=True):
        key, _, text = line.partition(" ")
        if line.startswith("[") or not line:
            assert own == line, f"{language}: {own!r} stands where English has {line!r}"
            group = line.strip("[]") + "." if line else group
            continue
        assert group + key not in found, f"{key} is there twice"
        found[group + key] = text if language == "en" else own
    return found


def modules() -> str:
    """The source of all modules but the catalogues."""
    names = (path for path in STATIC.glob("*.js") if path.stem not in LANGUAGES)
    return "\n".join(path.read_text() for path in names)


def parameters(text: str) -> set[str]:
    """What is filled in."""
    return set(re.findall(r"\{(\w+)\}", text))


def test_all_files_together_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in STATIC.iterdir()}
    assert sum(sizes.values()) <= MOST, sorted(sizes.items(), key=lambda each: -each[1])


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_catalogue_says_the_same_things(language: str) -> None:
    english, other = catalogue("en"), catalogue(language)
    assert all(other.values())
    for key, text in english.items():
        if not key.startswith(OWN_WORDING):
            assert parameters(other[key]) == parameters(text), key


def test_every_key_is_used() -> None:
    source = modules()
    for key in catalogue("en"):
        group, dot, _ = key.partition(".")
        if dot:
            assert re.search(rf'["`]{group}["`.]', source), f"nothing of [{group}] is used"
        else:
            assert re.search(rf'"{key}"|\b{key}[:,]', source), f"{key} is not used"


def test_every_used_key_exists() -> None:
    known, source = catalogue("en"), modules()
    asked = set(re.findall(r"\btr?\(\"([^\"]+)\"[,)]", source))
    choices = re.findall(r"\bt\([^()\"]* \? \"(\w+)\" : \"(\w+)\"\)", source)
    asked |= {each for pair in choices for each in pair}
    groups = set(re.findall(r"\bsay\(\"(\w+)\"", source))
    assert len(asked) > 90
    assert sorted(asked - set(known)) == []
    assert groups <= {key.partition(".")[0] for key in known}


def test_the_page_can_say_every_action_of_the_daemons_own() -> None:
    told = {key.removeprefix("own.") for key in catalogue("en") if key.startswith("own.")}
    assert sorted(each for each in told if "/" not in each) == sorted(OWN_ACTIONS)


def test_every_style_is_of_something_that_there_is() -> None:
    styles = set(re.findall(r"\.([a-z][a-zA-Z-]+)", (STATIC / "page.css").read_text()))
    source = modules() + (STATIC / "index.html").read_text()
    values = ("cat", "is", "state", "kind", "beat", "bar", "alert", "col", "pulse")
    named = {each for each in styles if each.partition("-")[0] not in values}
    assert len(named) > 60
    assert sorted(each for each in named if not re.search(rf"\b{each}\b", source)) == []


def test_styles_use_every_token_and_no_other() -> None:
    tokens = (STATIC / "tokens.css").read_text()
    used = set(re.findall(r"var\((--[\w-]+)\)", tokens + (STATIC / "page.css").read_text()))
    assert set(re.findall(r"^\s*(--[\w-]+):", tokens, re.MULTILINE)) == used


def test_every_import_is_used_and_every_export_imported() -> None:
    sources = {path.name: path.read_text() for path in STATIC.glob("*.js")}
    imports = {
        name: re.findall(r"^import \{ (.+) \} from", text, re.M) for name, text in sources.items()
    }
    for name, lists in imports.items():
        body = re.sub(r"^import .*$", "", sources[name], flags=re.M)
        for each in ", ".join(lists).split(", ") if lists else []:
            assert re.search(rf"\b{each}\b", body), f"{name} imports {each} for nothing"
    wanted = {each for lists in imports.values() for each in ", ".join(lists).split(", ")}
    offered = re.findall(
        r"^export (?:const|function|async function|class) (\w+)", "\n".join(sources.values()), re.M
    )
    assert len(offered) > 80
    assert set(offered) - wanted <= {"dashboard", "activity", "devices", "changes", "settings"}
