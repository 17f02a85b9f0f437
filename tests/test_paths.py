"""Clients find the daemon's places, and the daemon its own, in the documented order."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from collector import paths
from collector.config import load


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A user with a home and nothing else, on a machine where no daemon was ever installed."""
    for name in ("SYSTEM_SOCKET", "SYSTEM_DATABASE", "SYSTEM_CONFIG"):
        place = tmp_path / "system" / Path(getattr(paths, name)).name
        monkeypatch.setattr(paths, name, str(place))
    return {"HOME": str(tmp_path / "home")}


def touch(path: str | Path, text: str = "") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
    return str(path)


class TestTheDaemon:
    def test_uses_the_directories_that_systemd_hands_it(self) -> None:
        unit = {"STATE_DIRECTORY": "/var/lib/collector", "RUNTIME_DIRECTORY": "/run/collector"}
        assert paths.default_database(unit) == "/var/lib/collector/events.db"
        assert paths.default_socket(unit) == "/run/collector/collector.sock"

    def test_uses_the_first_of_several_unit_directories(self) -> None:
        assert paths.default_database({"STATE_DIRECTORY": "/a:/b"}) == "/a/events.db"

    def test_uses_the_xdg_directories_of_a_session(self) -> None:
        session = {"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}
        assert paths.default_database(session) == "/s/collector/events.db"
        assert paths.default_socket(session) == "/r/collector/collector.sock"

    def test_works_with_a_home_and_nothing_else(self) -> None:
        assert paths.default_database({"HOME": "/h"}) == "/h/.local/state/collector/events.db"
        assert paths.default_socket({"HOME": "/h"}) == "/h/.local/state/collector/collector.sock"

    def test_works_with_no_environment_at_all(self) -> None:
        assert paths.default_database({}).endswith("/collector/events.db")
        assert paths.default_socket({}).endswith("/collector/collector.sock")

    def test_puts_its_socket_beside_the_journal_it_was_given(self) -> None:
        assert paths.default_socket({"HOME": "/h"}, "/srv/x.db") == "/srv/collector.sock"

    def test_ignores_relative_xdg_directories(self) -> None:
        session = {"HOME": "/h", "XDG_STATE_HOME": "s", "XDG_RUNTIME_DIR": "r"}
        assert paths.default_database(session) == "/h/.local/state/collector/events.db"
        assert paths.default_socket(session) == "/h/.local/state/collector/collector.sock"

    def test_falls_back_to_the_system_for_a_user_without_a_home(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("os.path.expanduser", lambda path: path)
        assert paths.default_database({}) == paths.SYSTEM_DATABASE


class TestTheConfigurationFile:
    def test_that_was_named_counts_even_where_it_is_missing(self, environ: dict[str, str]) -> None:
        assert paths.config_file("/missing.toml", environ) == "/missing.toml"
        environ["COLLECTOR_CONFIG"] = "/named.toml"
        assert paths.config_file(None, environ) == "/named.toml"
        assert paths.config_file("/missing.toml", environ) == "/missing.toml"

    def test_is_none_where_there_is_none(self, environ: dict[str, str]) -> None:
        assert paths.config_file(None, environ) is None

    def test_of_the_unit_then_the_user_then_the_system_counts(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        system = touch(paths.SYSTEM_CONFIG)
        assert paths.config_file(None, environ) == system
        user = touch(tmp_path / "home/.config/collector/config.toml")
        assert paths.config_file(None, environ) == user
        environ["CONFIGURATION_DIRECTORY"] = str(tmp_path / "unit")
        assert paths.config_file(None, environ) == user
        unit = touch(tmp_path / "unit/config.toml")
        assert paths.config_file(None, environ) == unit

    def test_of_another_programs_unit_is_nothing_to_a_client(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        environ["CONFIGURATION_DIRECTORY"] = str(tmp_path / "other")
        touch(tmp_path / "other/config.toml", 'storage.path = "/other.db"')
        assert paths.config_file(None, environ, client=True) is None
        assert paths.database_path(None, None, environ) != "/other.db"


class TestAClientsSocket:
    def test_is_what_the_flag_says_before_all_else(self, environ: dict[str, str]) -> None:
        environ["COLLECTOR_SOCKET"] = "/variable.sock"
        assert paths.socket_path("/flag.sock", None, environ) == "/flag.sock"
        assert paths.socket_path(None, None, environ) == "/variable.sock"

    def test_comes_from_the_configuration_before_any_default(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        touch(paths.SYSTEM_SOCKET)
        file = touch(tmp_path / "c.toml", '[sources.unix]\npath = "run/my.sock"')
        assert paths.socket_path(None, file, environ) == f"{tmp_path}/run/my.sock"
        environ["COLLECTOR_CONFIG"] = file
        assert paths.socket_path(None, None, environ) == f"{tmp_path}/run/my.sock"
        environ["COLLECTOR__SOURCES__UNIX__PATH"] = "/override.sock"
        assert paths.socket_path(None, None, environ) == "/override.sock"

    def test_is_the_systems_then_the_sessions_then_the_one_beside_the_journal(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        beside = touch(tmp_path / "home/.local/state/collector/collector.sock")
        assert paths.socket_path(None, None, environ) == beside
        environ["XDG_RUNTIME_DIR"] = str(tmp_path / "run")
        session = touch(tmp_path / "run/collector/collector.sock")
        assert paths.socket_path(None, None, environ) == session
        system = touch(paths.SYSTEM_SOCKET)
        assert paths.socket_path(None, None, environ) == system

    def test_is_where_a_daemon_of_this_user_would_put_it_when_none_runs(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        assert paths.socket_path(None, None, environ) == paths.default_socket(environ)
        environ["XDG_RUNTIME_DIR"] = str(tmp_path / "run")
        assert paths.socket_path(None, None, environ) == paths.default_socket(environ)

    def test_is_ones_own_for_whoever_names_a_configuration_of_their_own(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        touch(paths.SYSTEM_SOCKET)
        beside = touch(tmp_path / "srv/collector.sock")
        file = touch(tmp_path / "c.toml", 'storage.path = "srv/events.db"')
        assert paths.socket_path(None, file, environ) == beside

    def test_is_the_systems_for_whoever_names_the_systems_configuration(
        self, environ: dict[str, str]
    ) -> None:
        system = touch(paths.SYSTEM_SOCKET)
        touch(paths.default_socket(environ))
        config = touch(paths.SYSTEM_CONFIG)
        assert paths.socket_path(None, config, environ) == system

    def test_ignores_the_directories_of_the_unit_it_runs_in(self, environ: dict[str, str]) -> None:
        environ["RUNTIME_DIRECTORY"] = "/run/some-web-application"
        assert "some-web-application" not in paths.socket_path(None, None, environ)

    @pytest.mark.parametrize("content", ["[broken", "sources = 5", "[sources.unix]\npath = 5"])
    def test_is_a_default_where_the_file_that_was_found_is_of_no_use(
        self, environ: dict[str, str], content: str
    ) -> None:
        touch(paths.SYSTEM_CONFIG, content)
        assert paths.socket_path(None, None, environ) == paths.default_socket(environ)

    def test_raises_where_the_file_that_was_named_is_of_no_use(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        with pytest.raises(FileNotFoundError):
            paths.socket_path(None, str(tmp_path / "missing.toml"), environ)
        with pytest.raises(ValueError, match="end of document"):
            paths.socket_path(None, touch(tmp_path / "c.toml", "[broken"), environ)


class TestAReadersJournal:
    def test_is_flag_then_variable_then_configuration(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        touch(paths.SYSTEM_DATABASE)
        file = touch(tmp_path / "c.toml", 'storage.path = "~/my.db"')
        expected = str(Path("~/my.db").expanduser())
        assert paths.database_path(None, file, environ) == expected
        environ["COLLECTOR_DB"] = "/variable.db"
        assert paths.database_path(None, file, environ) == "/variable.db"
        assert paths.database_path("/flag.db", file, environ) == "/flag.db"

    def test_is_the_systems_before_the_users(self, environ: dict[str, str]) -> None:
        own = touch(paths.default_database(environ))
        assert paths.database_path(None, None, environ) == own
        system = touch(paths.SYSTEM_DATABASE)
        assert paths.database_path(None, None, environ) == system

    def test_is_the_users_where_there_is_none_yet(self, environ: dict[str, str]) -> None:
        assert paths.database_path(None, None, environ) == paths.default_database(environ)


def test_a_client_and_a_daemon_with_the_same_configuration_meet(environ: dict[str, str]) -> None:
    # A socket's path has a limit that pytest's directories may exceed.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        environ["HOME"] = directory
        _meet(environ, Path(directory))


def _meet(environ: dict[str, str], tmp_path: Path) -> None:
    for text in ("", 'storage.path = "x/e.db"', 'sources.unix.path = "s.sock"'):
        for more in ({}, {"XDG_RUNTIME_DIR": str(tmp_path / "run")}):
            file = touch(tmp_path / "c.toml", text)
            config = load(file, environ | more)
            touch(config.sources.unix.path)
            assert paths.socket_path(None, file, environ | more) == config.sources.unix.path
            assert paths.database_path(None, file, environ | more) == config.storage.path
            Path(config.sources.unix.path).unlink()


def test_the_leaf_imports_nothing_but_what_python_starts_with() -> None:
    script = (
        "import sys; before = set(sys.modules); import collector.paths as p; "
        "p.socket_path(None, None, {'HOME': '/nowhere'}); "
        "sys.exit(' '.join(m for m in set(sys.modules) - before if not m.startswith('collector')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    new = set(result.stderr.split())
    assert new <= {"__future__", "typing", "collections", "collections.abc"} | _of_typing(), new


def _of_typing() -> set[str]:
    """What `typing` itself brings, which every program has loaded that imports anything typed."""
    script = "import sys; b = set(sys.modules); import typing; print(*(set(sys.modules) - b))"
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return set(output.stdout.split())
