"""What `RELIABILITY` asks of a configuration, seen from outside: the real command, its exit codes."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from collector.errors import EXIT_CONFIG, EXIT_OK

CANARY = "canary-4f1d2c"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user with an empty home, and no network."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        # A home may be long, and a socket's path may not.
        "XDG_RUNTIME_DIR": "/nonexistent",
        "COLLECTOR__SOURCES__MDNS__ENABLED": "false",
        "COLLECTOR__WEB__ENABLED": "false",
    }


def collector(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "collector", *arguments],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def config(tmp_path: Path, content: str | bytes) -> str:
    file = tmp_path / "c.toml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


WRONG = [
    ("[retention]\nmax_day = 5\n", 'did you mean "retention.max_days"?'),
    ("[retention]\nmax_days = 5000\n", "from 0 to 3650"),
    ("[retention\n", "line 1"),
    (b"a = '\xff'\n", "not UTF-8"),
    ("[health]\ntimeout = '5m'\n", "health.interval"),
]


@pytest.mark.parametrize("verb", ["check", "run"])
@pytest.mark.parametrize(("content", "says"), WRONG)
def test_a_wrong_configuration_ends_check_and_run_with_78(
    environ: dict[str, str], tmp_path: Path, verb: str, content: str | bytes, says: str
) -> None:
    result = collector(environ, verb, "--config", config(tmp_path, content))
    assert result.returncode == EXIT_CONFIG
    assert result.stdout == ""
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("verb", ["check", "run"])
def test_every_mistake_has_a_line_of_its_own(
    environ: dict[str, str], tmp_path: Path, verb: str
) -> None:
    file = config(tmp_path, "[retention]\nmax_day = 5\nmax_entries = -1\n[helth]\n")
    result = collector(environ, verb, "--config", file)
    assert result.returncode == EXIT_CONFIG
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    for line, key in zip(
        lines, ("retention.max_day", "retention.max_entries", "helth"), strict=True
    ):
        assert f"{file}: {key}: " in line


def test_check_tells_all_that_a_start_would_miss_on_this_machine(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = config(
        tmp_path,
        "[sources.unix]\ngroup = 'no-such-group'\n"
        "[web]\nenabled = true\nhost = '192.0.2.1'\ntls_cert = '/no/c.pem'\ntls_key = '/no/k.pem'\n",
    )
    environ = {name: value for name, value in environ.items() if "WEB" not in name}
    result = collector(environ, "check", "--config", file)
    assert result.returncode == EXIT_CONFIG
    told = result.stderr.splitlines()
    for line, key in zip(
        told, ("sources.unix.group", "web.tls_cert", "web.tls_key", "web.host"), strict=True
    ):
        assert f"{key}: " in line


def test_a_wrong_configuration_leaves_no_trace_on_the_disk(
    environ: dict[str, str], tmp_path: Path
) -> None:
    collector(environ, "run", "--config", config(tmp_path, "x = 1"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["c.toml"]


def test_a_wrong_override_ends_with_78_and_names_its_variable(environ: dict[str, str]) -> None:
    result = collector(environ | {"COLLECTOR__RETENTION__MAX_DAYS": "many"}, "check")
    assert result.returncode == EXIT_CONFIG
    assert "COLLECTOR__RETENTION__MAX_DAYS: retention.max_days" in result.stderr


def test_the_configuration_that_is_shown_reads_back_as_itself(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = config(tmp_path, "[retention]\nmax_days = 5\n[[devices]]\nname='n'\naddress='a'\n")
    shown = collector(environ, "check", "--show", "--config", file)
    assert shown.returncode == EXIT_OK
    assert tomllib.loads(shown.stdout)["retention"]["max_days"] == 5
    again = collector(environ, "check", "--show", "--config", config(tmp_path, shown.stdout))
    assert again.stdout == shown.stdout


def test_secrets_of_the_configuration_are_never_shown(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = config(
        tmp_path,
        f"[forward.nats]\nurl = 'nats://ada:{CANARY}@h:4222'\n"
        f"[sources.queue.options.meter]\npassword = '{CANARY}'\n",
    )
    shown = collector(environ, "check", "--show", "--config", file)
    assert shown.returncode == EXIT_OK
    assert CANARY not in shown.stdout + shown.stderr


@pytest.mark.parametrize(
    "line",
    [
        f"[forward.nats]\nurl = 'http://ada:{CANARY}@h'",
        f"[[devices]]\nname = 'x'\ncheck = 'http://ada:{CANARY}@h'",
        f"[web]\nhost = '{CANARY}/'",
    ],
)
def test_a_refused_value_that_may_hold_a_secret_is_not_repeated(
    environ: dict[str, str], tmp_path: Path, line: str
) -> None:
    result = collector(environ, "check", "--config", config(tmp_path, line))
    assert result.returncode == EXIT_CONFIG
    assert CANARY not in result.stdout + result.stderr


def test_control_characters_of_a_configuration_never_reach_the_terminal(
    environ: dict[str, str], tmp_path: Path
) -> None:
    result = collector(environ, "check", "--config", config(tmp_path, '"\\u001b[2J\\u202e" = 1'))
    assert result.returncode == EXIT_CONFIG
    assert "\x1b" not in result.stderr
    assert "\u202e" not in result.stderr
