"""The completion scripts in the shells they are for; bash's is tested with the other help."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.harness import DEADLINE, run
from tests.requirements import need_tool


@pytest.fixture
def shell_env(env: dict[str, str]) -> dict[str, str]:
    """Where `collector` is the command that these sources are."""
    return {**env, "PATH": f"{Path(sys.executable).parent}:{env['PATH']}"}


@pytest.fixture
def script(request: pytest.FixtureRequest, shell_env: dict[str, str], tmp_path: Path) -> Path:
    """The completion script of the shell that is asked for."""
    done = run("completion", request.param, env=shell_env)
    assert (done.code, done.err) == (0, "")
    file = tmp_path / "script"
    file.write_text(done.out)
    return file


CASES = [
    (["collector", "que"], {"query"}),
    (["collector", "re"], {"reload", "restore", "reindex"}),
    (["collector", "emit", "a.b", "--sev"], {"--severity"}),
    (["collector", "query", "--outcome", "d"], {"denied"}),
]
IDS = ["a verb", "several verbs", "an option", "a value"]


@pytest.mark.parametrize("script", ["fish"], indirect=True)
@pytest.mark.parametrize(("words", "offered"), CASES, ids=IDS)
def test_fish_completes(
    script: Path, words: list[str], offered: set[str], shell_env: dict[str, str]
) -> None:
    fish = need_tool("fish")
    typed = f"source {script}; complete -C '{' '.join(words)}'"
    lines = _said([fish, "--no-config", "-c", typed], shell_env)
    assert {line.split("\t")[0] for line in lines} == offered


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
@pytest.mark.parametrize(("words", "offered"), CASES, ids=IDS)
def test_zsh_completes(
    script: Path, words: list[str], offered: set[str], shell_env: dict[str, str], tmp_path: Path
) -> None:
    """zsh completes only where somebody types, so somebody does."""
    zsh = need_tool("zsh")
    functions = tmp_path / "functions"
    functions.mkdir()
    script.rename(functions / "_collector")
    setup = f"fpath=({functions} $fpath); autoload -Uz compinit; compinit -D; PS1='rea''dy> '"
    with Typist([zsh, "-f", "-i"], {**shell_env, "TERM": "dumb"}) as typist:
        typist.type(f"{setup}\n", b"ready> ")
        # What is ambiguous is listed on the second touch of the key.
        keys = " ".join(words) + "\t" * min(len(offered), 2)
        shown = typist.type(keys, *(one.encode() for one in offered))
    for one in offered:
        assert one in shown


class Typist:
    """Somebody at a terminal in which `command` runs."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._main, side = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=side, stdout=side, stderr=side, env=env, start_new_session=True
        )
        os.close(side)

    def __enter__(self) -> Typist:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._main)

    def type(self, keys: str, *awaited: bytes) -> str:
        """Type keys, and what is shown until every awaited pattern is."""
        os.write(self._main, keys.encode())
        shown, deadline = b"", time.monotonic() + DEADLINE
        while not all(re.search(each, shown) for each in awaited):
            assert time.monotonic() < deadline, shown
            if select.select([self._main], [], [], 0.1)[0]:
                shown += os.read(self._main, 65536)
        return shown.decode(errors="replace")


def _said(command: list[str], env: dict[str, str]) -> list[str]:
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]
