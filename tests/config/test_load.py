"""Which file counts, what overrides it, and what happens to a file that cannot be used."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from collector.config import Config, load
from collector.errors import EXIT_CONFIG, ConfigError
from tests.requirements import need


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of the machine that runs the tests is found."""
    return {"HOME": "/home/ada", "XDG_CONFIG_HOME": str(tmp_path / "xdg")}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_without_any_file_the_defaults_serve(environ: dict[str, str]) -> None:
    config = load(None, environ)
    assert config.file is None
    assert config.storage.path == "/home/ada/.local/state/collector/events.db"
    assert config.sources.unix.path == "/home/ada/.local/state/collector/collector.sock"
    assert config.retention.max_days == 90


def test_files_are_looked_for_in_their_order(environ: dict[str, str], tmp_path: Path) -> None:
    places = {
        "argument": write(tmp_path / "argument.toml", "retention.max_days = 1"),
        "variable": write(tmp_path / "variable.toml", "retention.max_days = 2"),
        "unit": write(tmp_path / "unit/config.toml", "retention.max_days = 3"),
        "xdg": write(tmp_path / "xdg/collector/config.toml", "retention.max_days = 4"),
    }
    environ |= {
        "COLLECTOR_CONFIG": str(places["variable"]),
        "CONFIGURATION_DIRECTORY": str(tmp_path / "unit"),
    }
    assert load(str(places["argument"]), environ).file == places["argument"]
    assert load(None, environ).retention.max_days == 2
    del environ["COLLECTOR_CONFIG"]
    assert load(None, environ).retention.max_days == 3
    del environ["CONFIGURATION_DIRECTORY"]
    assert load(None, environ).retention.max_days == 4
    places["xdg"].unlink()
    assert load(None, environ).file is None


def test_an_override_from_the_environment_stands_above_the_file(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = write(tmp_path / "c.toml", "[retention]\nmax_days = 1\nmax_entries = 7\n")
    config = load(str(file), environ | {"COLLECTOR__RETENTION__MAX_DAYS": "2"})
    assert config.retention.max_days == 2
    assert config.retention.max_entries == 7


@pytest.mark.parametrize(
    ("variable", "text", "found"),
    [
        ("WEB__ENABLED", "off", lambda c: c.web.enabled is False),
        ("WEB__ENABLED", "True", lambda c: c.web.enabled is True),
        ("WEB__PORT", "0", lambda c: c.web.port == 0),
        ("WEB__HOSTS", "a.example, b.example", lambda c: c.web.hosts == ("a.example", "b.example")),
        ("WEB__HOSTS", '["a.example"]', lambda c: c.web.hosts == ("a.example",)),
        ("WEB__HOSTS", "", lambda c: c.web.hosts == ()),
        ("WEB__TLS_CERT", "", lambda c: c.web.tls_cert is None),
        ("HEALTH__INTERVAL", "2m", lambda c: c.health.interval == 120.0),
        ("RETENTION__MAX_BYTES", "2GiB", lambda c: c.retention.max_bytes == 2 << 30),
        ("SOURCES__UNIX__LIMITS__RATE", "12.5", lambda c: c.sources.unix.limits.rate == 12.5),
        ("SOURCES__UNIX__MODE", "0600", lambda c: c.sources.unix.mode == 0o600),
        ("RETENTION__CATEGORIES__AUTH__MAX_DAYS", "9",
         lambda c: c.retention.categories["auth"].max_days == 9),
        ("DEVICES", '[{"name": "nas", "check": "tcp://nas:445"}]',
         lambda c: c.devices[0].check == "tcp://nas:445"),
        ("DEVICES", '[{name = "nas", address = "10.0.0.2"}]',
         lambda c: c.devices[0].address == "10.0.0.2"),
        ("LOG", '{"level": "debug"}', lambda c: c.log.level == "debug"),
    ],
)  # fmt: skip
def test_text_from_the_environment_is_read_as_its_key_wants_it(
    environ: dict[str, str], variable: str, text: str, found: object
) -> None:
    config = load(None, environ | {f"COLLECTOR__{variable}": text})
    assert callable(found)
    assert found(config)


@pytest.mark.parametrize(
    ("variable", "text", "path"),
    [
        ("RETENTION__MAX_DAY", "1", "retention.max_day"),
        ("RETENTION__MAX_DAYS", "many", "retention.max_days"),
        ("WEB__ENABLED", "perhaps", "web.enabled"),
        ("WEB", "on", "web"),
        ("DEVICES", "[", "devices"),
        ("", "x", ""),
        ("RETENTION__", "1", "retention."),
    ],
)
def test_a_wrong_override_is_told_by_its_variable(
    environ: dict[str, str], variable: str, text: str, path: str
) -> None:
    name = f"COLLECTOR__{variable}"
    with pytest.raises(ConfigError) as caught:
        load(None, environ | {name: text})
    assert caught.value.source == name
    assert caught.value.path == path


def test_mistakes_of_file_and_variables_are_told_together(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = write(tmp_path / "c.toml", "[log]\nlevel = 'loud'\n")
    wrong = {"COLLECTOR__WEB__PORT": "many", "COLLECTOR__WEB__PORTS": "1"}
    with pytest.raises(ConfigError) as caught:
        load(str(file), environ | wrong)
    assert {(mistake.source, mistake.path) for mistake in caught.value.mistakes} == {
        (str(file), "log.level"),
        ("COLLECTOR__WEB__PORT", "web.port"),
        ("COLLECTOR__WEB__PORTS", "web.ports"),
    }


def test_two_overrides_of_the_same_table_are_refused(environ: dict[str, str]) -> None:
    both = {"COLLECTOR__LOG": '{"level": "debug"}', "COLLECTOR__LOG__LEVEL": "info"}
    with pytest.raises(ConfigError, match="COLLECTOR__LOG sets all of this already"):
        load(None, environ | both)


def test_relative_paths_start_from_their_file_and_from_the_working_directory(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "etc/c.toml", 'storage.path = "log/events.db"')
    environ["XDG_RUNTIME_DIR"] = "/run/user/1"
    assert load(str(file), environ).storage.path == f"{tmp_path}/etc/log/events.db"
    monkeypatch.chdir(tmp_path)
    override = environ | {"COLLECTOR__STORAGE__PATH": "here.db"}
    assert load(str(file), override).storage.path == f"{tmp_path}/here.db"


def test_the_socket_stands_beside_the_configured_journal(environ: dict[str, str]) -> None:
    config = Config.from_mapping({"storage": {"path": "/srv/log/events.db"}}, environ)
    assert config.sources.unix.path == "/srv/log/collector.sock"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[storage\n", "line 1, column 9"),
        (b"a = 1\nb = = 2\n", "line 2, column 5"),
        (b'a = """', "line 1, column 8"),
        (b"a = 1\na = 2\n", "line 2"),
        (b"a = 1\nb = '\xff'\n", "not UTF-8 text (at line 2)"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"\0" * 100, "line 1"),
    ],
)
def test_a_broken_file_is_told_by_file_line_and_column(
    environ: dict[str, str], tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(str(file), environ)
    assert caught.value.source == str(file)
    assert says in str(caught.value)
    assert caught.value.exit_code == EXIT_CONFIG


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(
    environ: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(b"\xef\xbb\xbf[retention]\r\nmax_days = 5\r\n")
    assert load(str(file), environ).retention.max_days == 5


def test_a_named_file_that_is_missing_is_an_error(environ: dict[str, str], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="no such file"):
        load(missing, environ)
    with pytest.raises(ConfigError, match="no such file"):
        load(None, environ | {"COLLECTOR_CONFIG": missing})


def test_a_directory_in_place_of_the_file_is_an_error(
    environ: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="directory"):
        load(str(tmp_path), environ)


def test_a_dangling_link_where_a_file_is_looked_for_is_an_error_and_no_default(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "xdg/collector").mkdir(parents=True)
    (tmp_path / "xdg/collector/config.toml").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match="no such file"):
        load(None, environ)


def test_a_file_without_permission_is_an_error_and_no_default(
    environ: dict[str, str], tmp_path: Path
) -> None:
    need(
        os.geteuid() != 0 or os.path.exists("/usr/bin/setpriv"), "needs setpriv to stop being root"
    )
    file = write(tmp_path / "c.toml", "")
    file.chmod(0)
    script = f"from collector.config import load; load({str(file)!r}, {{}})"
    command = [sys.executable, "-c", script]
    if os.geteuid() == 0:
        # Root without its capabilities is refused like everybody, and still reaches this Python.
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
        file.parent.chmod(0o755)
        os.chown(file, 65_534, 65_534)
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "cannot be read by uid" in result.stderr


def test_an_enormous_file_is_refused_and_not_read_into_memory(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="larger than"):
        load("/dev/zero", environ)


def test_loading_the_defaults_imports_neither_tomllib_nor_difflib() -> None:
    script = (
        "import sys; from collector.config import load; load(None, {'HOME': '/nowhere'}); "
        "sys.exit(','.join({'tomllib', 'difflib', 'asyncio', 'json.encoder'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stderr.strip() == ""
