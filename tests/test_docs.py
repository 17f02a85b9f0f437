"""What is documented is what there is: keys, defaults, fields, actions, links."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector import event
from collector.config import Config, Settings
from collector.config.keys import dotted
from collector.daemon.reloading import FIXED

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLE = (ROOT / "config.example.toml").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
KEYS = set(dotted(Settings))
FREE = {"sources.queue.options"}
"""Tables whose content is a plugin's, not ours."""

KEY_LINE = re.compile(r"#(?=[A-Za-z_]+ = |\[)")
"""A key or table that is commented out; prose has a space after its `#`."""


def uncommented() -> dict[str, Any]:
    """The example with every default in force."""
    return tomllib.loads("\n".join(KEY_LINE.sub("", line, count=1) for line in EXAMPLE.split("\n")))


def leaves(values: Any, path: str = "") -> Iterator[str]:
    """The dotted keys of a file, in the notation of `keys.dotted`."""
    for name, value in values.items():
        key = f"{path}.{name}" if path else name
        if path == "retention.categories":
            key = f"{path}.NAME"
        if key in FREE or not _is_tables(value):
            yield key
        elif isinstance(value, dict):
            yield from leaves(value, key) if value else [key]
        else:
            yield from (leaf for each in value for leaf in leaves(each, f"{key}[]"))


def _is_tables(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict) and bool(value)


def table_rows(page: str) -> dict[str, list[str]]:
    """First column in backquotes → the other columns, of every table of a page."""
    rows = {}
    for line in (DOCS / page).read_text().splitlines():
        found = re.match(r"\| `([^`]+)` \|(.*)\|$", line)
        if found:
            assert found[1] not in rows, f"{found[1]} stands twice in {page}"
            # A bar inside a pattern is written as \|
            rows[found[1]] = [cell.strip() for cell in re.split(r"(?<!\\)\|", found[2])]
    return rows


class TestTheExampleConfiguration:
    def test_holds_every_key_and_no_other(self) -> None:
        assert set(leaves(uncommented())) == KEYS

    def test_changes_nothing_as_it_stands(self) -> None:
        assert tomllib.loads(EXAMPLE) == {
            "storage": {},
            "retention": {},
            "sources": {"unix": {"limits": {}}, "mdns": {}, "queue": {}},
            "health": {},
            "redaction": {},
            "web": {},
            "forward": {"nats": {}},
            "log": {},
        }

    def test_shows_the_defaults(self) -> None:
        shown = uncommented()
        # What has no default is shown by an example instead.
        del shown["devices"], shown["resources"], shown["retention"]["categories"]
        del shown["sources"]["queue"]["options"], shown["sources"]["unix"]["group"]
        for key in ("tls_cert", "tls_key"):
            del shown["web"][key]
        for key in ("credentials", "tls_ca"):
            del shown["forward"]["nats"][key]
        service = {"STATE_DIRECTORY": "/var/lib/collector", "RUNTIME_DIRECTORY": "/run/collector"}
        assert Config.from_mapping(shown, {}) == Config.from_mapping({}, service)

    def test_is_a_valid_configuration_with_everything_in_it(self) -> None:
        config = Config.from_mapping(uncommented(), {})
        assert config.devices[0].check == "tcp://192.0.2.17:631"
        assert config.resources[0].audit is False

    def test_is_readable_in_a_terminal(self) -> None:
        long = [line for line in EXAMPLE.splitlines() if len(line) > 100]
        assert len(long) <= 1, long


class TestTheConfigurationPage:
    ROWS = table_rows("configuration.md")

    def test_has_a_row_for_every_key_and_no_other(self) -> None:
        assert set(self.ROWS) == KEYS

    @pytest.mark.parametrize("key", sorted(KEYS))
    def test_tells_the_default_of(self, key: str) -> None:
        said = self.ROWS[key][0]
        if said == "required":
            assert key in {"devices[].name", "resources[].slug", "resources[].object_type"}
        elif said in ("none", "–"):
            assert _default(key) in (None, {}, "required")
        elif said.startswith("`$"):
            assert key in {"storage.path", "sources.unix.path"}
        elif key == "redaction.keys":
            assert said.strip("`").split() == _default(key)
        else:
            assert tomllib.loads(f"x = {said.strip('`')}")["x"] == _plain(key)

    def test_tells_which_keys_need_a_restart(self) -> None:
        said = {key for key, cells in self.ROWS.items() if "needs a restart" in cells[1].lower()}
        assert said == set(FIXED)


def _plain(key: str) -> Any:
    """The default as a file would have it; durations are written as they are documented."""
    default = _default(key)
    said = TestTheConfigurationPage.ROWS[key][0].strip("`\"' ")
    from collector.config import units

    if isinstance(default, float) and key != "sources.unix.limits.rate":
        return said if units.duration(said) == default else default
    if isinstance(default, int) and not isinstance(default, bool) and said.endswith("iB"):
        return said if units.size(said) == default else default
    if key == "sources.unix.mode":
        return f"{default:04o}"
    return default


def _default(key: str) -> Any:
    """The default in the code: the attribute's value, or a field's default inside a list."""
    if "[]" in key or "NAME" in key:
        head, _, name = key.rpartition(".")
        struct = {
            "devices[]": "Device",
            "resources[]": "Resource",
            "retention.categories.NAME": "CategoryRetention",
        }[head]
        from collector.config import schema

        found = {each.name: each for each in msgspec.structs.fields(getattr(schema, struct))}[name]
        if found.required:
            return "required"
        value = found.default_factory() if found.default is msgspec.NODEFAULT else found.default
    else:
        value = Config.from_mapping({}, {"HOME": "/h"})
        for name in key.split("."):
            value = getattr(value, name)
    return list(value) if isinstance(value, tuple) else value


class TestTheEventPage:
    ROWS = table_rows("event.md")

    def test_names_every_field_of_a_draft_and_of_an_entry(self) -> None:
        fields = set(event.DRAFT_FIELDS) | set(event.ENTRY_FIELDS)
        assert fields <= set(self.ROWS)

    def test_names_every_action_of_the_daemons_own_and_no_other(self) -> None:
        actions = {name for name in self.ROWS if "." in name}
        assert actions == set(event.OWN_ACTIONS)

    def test_names_nothing_else(self) -> None:
        others = {name for name in self.ROWS if "." not in name}
        known = {*event.DRAFT_FIELDS, *event.ENTRY_FIELDS, *event.RESERVED_METADATA}
        assert others == known

    @pytest.mark.parametrize(
        ("field", "allowed"),
        [
            ("category", event.CATEGORIES),
            ("outcome", event.OUTCOMES),
            ("severity", event.SEVERITIES),
            ("source", event.SOURCES),
        ],
    )
    def test_tells_the_closed_set_of(self, field: str, allowed: tuple[str, ...]) -> None:
        said = self.ROWS[field][0].partition(", and")[0].partition("came: ")
        assert tuple(re.findall(r"`([a-z0-9]+)`", said[2] or said[0])) == allowed

    def test_tells_the_bounds(self) -> None:
        assert f"1–{event.ACTION_MAX}" in self.ROWS["action"][0]
        assert event.ACTION_PATTERN in self.ROWS["action"][0]
        assert f"≤ {event.CHANNEL_MAX}," in self.ROWS["channel"][0]
        assert f"≤ {event.MODE_MAX}:" in self.ROWS["mode"][0]
        assert f"≤ {event.OBJECT_TYPE_MAX}" in self.ROWS["object_type"][0]
        assert f"≤ {event.METADATA_MAX // 1024} KiB" in self.ROWS["metadata"][0]
        assert f"≤ {event.RECORD_MAX // 1024} KiB" in self.ROWS["record"][0]
        assert f"depth ≤ {event.DEPTH_MAX}" in self.ROWS["metadata"][0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor and found.suffix == ".md":
            assert anchor in set(anchors(found)), f"{page.name} links to {target}"


def anchors(page: Path) -> Iterator[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    for heading in re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower())
        yield words.replace(" ", "-")


def test_the_gate_runs_the_readmes_line_literally() -> None:
    readme, gate = (ROOT / "README.md").read_text(), (ROOT / ".ci/run").read_text()
    (line,) = re.findall(r"^(python3 -m venv .*pytest)$", readme, flags=re.MULTILINE)
    install, _, tests = line.rpartition(" && ")
    assert f"    {install}\n" in gate
    assert re.search(rf" {re.escape(tests)} ", gate)
