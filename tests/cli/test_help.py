"""Every verb explains itself with examples, is loaded alone, and stands in `docs/cli.md` whole."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from collector.cli.group import SECTIONS, verbs
from tests.cli.harness import COMMAND, Result, run
from tests.requirements import need

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
CONTEXT = click.Context(verbs, info_name="collector")
NAMES = verbs.list_commands(CONTEXT)


def verb(name: str) -> click.Command:
    found = verbs.get_command(CONTEXT, name)
    assert found is not None
    return found


def commands(name: str) -> list[tuple[str, click.Command]]:
    """The verb, and what it has below it: `keys`, `keys add`, …"""
    found = verb(name)
    below = getattr(found, "commands", {})
    return [(name, found), *((f"{name} {each}", command) for each, command in below.items())]


def section(name: str) -> str:
    found = re.search(rf"^## `?{name}`?$(.*?)(?=^## |\Z)", DOCS.read_text(), re.M | re.S)
    assert found, f"docs/cli.md has no section ## `{name}`"
    return found[1]


def flags(command: click.Command) -> set[str]:
    return {
        flag
        for param in command.params
        if isinstance(param, click.Option)
        for flag in (*param.opts, *param.secondary_opts)
    }


def test_the_verbs_are_those_of_the_specification() -> None:
    wanted = (
        "run check emit query tail stats export devices prune reload status backup restore verify "
        "reindex completion keys"
    )
    assert {name for _, names in SECTIONS for name in names} == set(wanted.split())


@pytest.mark.parametrize("name", NAMES)
def test_help_reads_well_and_shows_examples(cli: Callable[..., Result], name: str) -> None:
    done = cli(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert "Examples:" in done.out
    assert f"collector {name}" in done.out.split("Examples:")[1]
    assert max(map(len, done.lines)) <= 120
    assert verb(name).get_short_help_str(200).endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_understood(name: str) -> None:
    """The options of each example exist; a typo in a help text is found here."""
    for line in (verb(name).epilog or "").splitlines():
        for part in re.split(r"\||&&|;|<|>", line):
            words = shlex.split(part.replace("…", ""), comments=True)
            if words[:1] != ["collector"]:
                continue
            known = {flag for label, command in commands(words[1]) for flag in flags(command)}
            for word in words[2:]:
                if re.fullmatch(r"--?[a-z][a-z-]*", word):
                    assert word in known or word == "-", line


EVERYWHERE = {"-h", "--help", "--config", "--db", "--socket"}
"""Told once, under "What all verbs share"."""


@pytest.mark.parametrize("name", NAMES)
def test_the_manual_has_every_option_and_no_other(name: str) -> None:
    text = section(name)
    if "#filters" in text:
        text += section("filters")
    known = set(EVERYWHERE)
    for label, command in commands(name):
        assert " " not in label or f"`{label}" in text
        known |= flags(command)
        for flag in flags(command) - EVERYWHERE:
            assert re.search(rf"(?<=[`\[ ]){re.escape(flag)}(?![\w-])", text), flag
    named = set(re.findall(r"`(--?[a-z][a-z-]*)", text))
    assert named <= known, f"{name}: no such option"


def test_the_manual_tells_once_what_all_verbs_share() -> None:
    shared = DOCS.read_text().split("## What all verbs share")[1].split("### Exit codes")[0]
    for flag in EVERYWHERE - {"-h", "--help"}:
        assert f"`{flag}" in shared


def test_the_manual_has_every_exit_code() -> None:
    text = DOCS.read_text()
    for code in (0, 1, 2, 65, 69, 73, 74, 75, 77, 78):
        assert f"| {code} |" in text


def test_the_group_lists_its_verbs(cli: Callable[..., Result]) -> None:
    done = cli("--help")
    assert done.code == 0
    for name in NAMES:
        assert re.search(rf"^  {name} ", done.out, re.M)
    assert cli("-h").out == done.out
    assert "Examples:" in done.out


def test_without_a_verb_there_is_help_and_an_error(cli: Callable[..., Result]) -> None:
    done = cli()
    assert done.code == 2
    assert "Usage: collector" in done.out + done.err


@pytest.mark.parametrize(("typo", "meant"), [("qeury", "query"), ("statu", "status")])
def test_a_mistyped_verb_names_the_nearest(
    cli: Callable[..., Result], typo: str, meant: str
) -> None:
    done = cli(typo)
    assert (done.code, done.out) == (2, "")
    assert meant in done.err


def test_the_version_is_the_packages(cli: Callable[..., Result]) -> None:
    done = cli("--version")
    assert done.out == f"collector {importlib.metadata.version('collector')}\n"


def test_a_verb_loads_no_other_and_nothing_heavy() -> None:
    code = (
        "import sys; from collector.cli import main; main(['status', '--socket', '/nonexistent']); "
        "print(sorted(m for m in sys.modules if m.startswith('collector.cli.')), "
        "{'rich', 'asyncio', 'sqlite3', 'zeroconf'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "collector.cli.query" not in done.stdout
    assert done.stdout.strip().endswith("set()")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(
    cli: Callable[..., Result], shell: str, tmp_path: Path
) -> None:
    done = cli("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert "_COLLECTOR_COMPLETE" in done.out
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(done.out)
        assert subprocess.run([shell, "-n", str(script)], check=False).returncode == 0


def test_bash_completes_verbs_options_and_values(
    env: dict[str, str], cli: Callable[..., Result], tmp_path: Path
) -> None:
    bash = shutil.which("bash")
    need(bash is not None, "needs bash")
    assert bash is not None
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "collector").write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    (bin_ / "collector").chmod(0o755)

    def completed(*words: str) -> list[str]:
        line = " ".join(map(shlex.quote, words))
        script = (
            f"{cli('completion', 'bash').out}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; "
            '_collector_completion collector; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        path = f"{bin_}:{env['PATH']}"
        done = subprocess.run(
            [bash, "--norc", "-c", script], env={**env, "PATH": path}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        return done.stdout.split()

    assert completed("collector", "que") == ["query"]
    assert set(completed("collector", "re")) == {"reload", "restore", "reindex"}
    assert "--outcome" in completed("collector", "emit", "--ou")
    assert set(completed("collector", "query", "--outcome", "")) >= {"success", "denied"}


def test_python_m_is_the_command(env: dict[str, str]) -> None:
    assert run("--version", env=env).code == 0
