"""Sockets: `api.sock` with the kernel's word, TLS, unsafe exposure, ends and restarts."""

from __future__ import annotations

import json
import os
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from collector.errors import ConfigError
from collector.web.exposure import check, is_loopback
from tests.requirements import need_root, need_tool
from tests.web.running import Running, running


def curl(path: Path, *arguments: str, uid: int | None = None) -> tuple[int, str]:
    """Status and body as curl has them over `api.sock`."""
    command = [need_tool("curl"), "-s", "-w", "\n%{http_code}", "--unix-socket", str(path)]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, user=uid, check=False, timeout=20
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def eventually_answers(client: httpx.Client, url: str, seconds: float = 20.0) -> int:
    """The status of the first answer, under a deadline."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return client.get(url).status_code
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_on_api_sock_the_kernel_says_who_asks_and_the_host_does_not_matter(tmp_path: Path) -> None:
    with running(tmp_path) as daemon:
        socket = tmp_path / "api.sock"
        status, body = curl(socket, "http://any.name.example/api/v1/session")
        assert status == 200
        session = json.loads(body)
        assert (session["role"], session["known"]) == ("admin", True)
        assert session["actor"]["id"] == str(os.geteuid())
        data = ("-H", "Content-Type: application/json", "-d", '{"action":"a.b"}')
        status, body = curl(socket, *data, "http://x/api/v1/events")
        assert json.loads(body)["accepted"] == 1
        entry = httpx.get(f"{daemon.url}/api/v1/events?limit=1").json()["entries"][0]
        assert entry["producer"]["assurance"] == "peercred"
        assert entry["producer"]["uid"] == os.geteuid()
        assert entry["producer"]["comm"] == "curl"
        assert stat.S_IMODE(os.stat(socket).st_mode) == 0o660
        daemon.stop()
        assert not socket.exists()


def test_another_user_on_api_sock_is_a_viewer(tmp_path: Path) -> None:
    need_root()
    with running(tmp_path) as daemon:
        socket = tmp_path / "api.sock"
        for part in (socket.parent, *socket.parent.parents):
            if part != Path("/") and part.stat().st_uid == os.geteuid():
                part.chmod(part.stat().st_mode | 0o001 | 0o010)
        socket.chmod(0o666)
        assert curl(socket, "http://x/api/v1/events", uid=65534)[0] == 200
        assert (
            curl(socket, "-X", "DELETE", "http://x/api/v1/events?confirm=clear", uid=65534)[0]
            == 403
        )
        denied = httpx.get(f"{daemon.url}/api/v1/events?action=auth.denied").json()["entries"]
        assert denied[0]["actor"]["id"] == "65534"


def test_listening_beyond_loopback_without_a_key_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="collector keys add"):
        check("0.0.0.0", 0)
    check("0.0.0.0", 1)
    check("127.0.0.1", 0)
    assert is_loopback("::1")
    assert not is_loopback("log.example")
    daemon = Running(tmp_path, extra='host = "0.0.0.0"\n')
    with pytest.raises(AssertionError, match="keys add"):
        daemon.start()
    assert daemon.process is not None
    assert daemon.process.wait(10) == 78


def test_a_port_that_is_taken_stops_the_page_and_not_the_recorder(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with running(tmp_path / "one") as first:
        second = Running(tmp_path / "two", port=first.port)
        second.start()  # the first one answers on the port they share
        try:
            assert second.process is not None
            deadline = time.monotonic() + 20
            while not (second.path / "c.sock").exists():
                assert second.process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            sent = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "collector",
                    "emit",
                    "a.b",
                    "--socket",
                    f"{second.path}/c.sock",
                ],
                capture_output=True,
                check=False,
                timeout=20,
            )
            assert sent.returncode == 0, sent.stderr
        finally:
            assert second.stop()[0] == 0


def test_tls_where_a_certificate_is_configured_and_none_on_the_unix_socket(tmp_path: Path) -> None:
    openssl = need_tool("openssl")
    made = subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", f"{tmp_path}/key.pem", "-out", f"{tmp_path}/cert.pem"),
        ],
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    extra = f'tls_cert = "{tmp_path}/cert.pem"\ntls_key = "{tmp_path}/key.pem"\n'
    daemon = Running(tmp_path, extra=extra)
    with pytest.raises(AssertionError):
        daemon.start(0.5)  # it speaks TLS: the plain probe never gets its answer
    try:
        context = ssl.create_default_context(cafile=f"{tmp_path}/cert.pem")
        with httpx.Client(verify=context) as client:
            assert eventually_answers(client, f"https://localhost:{daemon.port}/healthz") == 200
        assert curl(tmp_path / "api.sock", "http://x/healthz")[0] == 200
    finally:
        daemon.kill()


def test_a_request_that_is_no_http_ends_its_connection_and_nothing_else(tmp_path: Path) -> None:
    import socket

    with running(tmp_path) as daemon:
        for nonsense in (b"\x00\xff\x16\x03\x01\n\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 100_000):
            with socket.create_connection(("127.0.0.1", daemon.port), timeout=5) as raw:
                raw.sendall(nonsense)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(4096):
                    pass
        assert httpx.get(f"{daemon.url}/healthz").status_code == 200


def test_head_is_get_without_its_body(tmp_path: Path) -> None:
    with running(tmp_path) as daemon, httpx.Client(base_url=daemon.url) as client:
        for path in ("/healthz", "/api/v1/events", "/metrics", "/openapi.json", "/"):
            head, whole = client.head(path), client.get(path)
            assert head.status_code == 200, path
            assert head.content == b""
            assert head.headers["content-type"] == whole.headers["content-type"]
            assert int(head.headers["content-length"]) > 0
        assert client.head("/api/v1/keys").status_code == 401
        assert client.head("/api/v1/events/1").status_code == 200, "the connection goes on"


def started_with(daemon: Running, before: str) -> subprocess.Popen[bytes]:
    """The daemon in a process where `before` runs first, once it records."""
    arguments = ["run", "--config", f"{daemon.path}/config.toml"]
    code = f"{before}\nfrom collector.cli import main\nsys.exit(main({arguments!r}))"
    with open(daemon.path / "log", "ab") as log:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log)
    deadline = time.monotonic() + 20
    while not (daemon.path / "c.sock").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


def emitted(daemon: Running) -> int:
    command = [sys.executable, "-m", "collector", "emit", "a.b", "--socket"]
    done = subprocess.run([*command, f"{daemon.path}/c.sock"], check=False, timeout=20)
    return done.returncode


def test_without_the_extra_one_line_says_how_to_add_it_and_recording_goes_on(
    tmp_path: Path,
) -> None:
    daemon = Running(tmp_path)
    missing = "import sys; sys.modules.update(dict.fromkeys(['litestar', 'prometheus_client']))"
    daemon.process = started_with(daemon, missing)
    try:
        assert emitted(daemon) == 0
    finally:
        assert daemon.stop()[0] == 0
    log = (tmp_path / "log").read_text()
    assert log.count("pip install 'collector[web]'") == 1
    assert log.count("litestar and prometheus_client not installed") == 1
    assert "Traceback" not in log


def test_where_the_page_is_off_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    daemon = Running(tmp_path, extra="enabled = false\n")
    told = (
        "import atexit, sys; names = ('litestar', 'uvicorn', 'prometheus_client');"
        "atexit.register(lambda: print('loaded', [n for n in names if n in sys.modules]))"
    )
    daemon.process = started_with(daemon, told)
    try:
        assert emitted(daemon) == 0
    finally:
        assert daemon.stop()[0] == 0
    assert "loaded []" in (tmp_path / "log").read_text()


def test_the_page_loads_nothing_that_only_happens_to_be_installed(tmp_path: Path) -> None:
    """Litestar would serve models of pydantic and attrs as well, and load both for that."""
    daemon = Running(tmp_path)
    told = (
        "import atexit, sys; names = ('pydantic', 'attrs', 'jinja2', 'litestar');"
        "atexit.register(lambda: print('loaded', [n for n in names if n in sys.modules]))"
    )
    daemon.process = started_with(daemon, told)
    try:
        with httpx.Client(base_url=daemon.url) as client:
            assert eventually_answers(client, "/api/v1/events") == 200
    finally:
        assert daemon.stop()[0] == 0
    assert "loaded ['litestar']" in (tmp_path / "log").read_text()


def test_every_path_answers_alike_on_tcp_and_on_api_sock(tmp_path: Path) -> None:
    """All that reads: with an admin's key on the one way in, by the kernel's word on the other."""
    extra = '[[devices]]\nname = "Router"\naddress = "127.0.0.1"\n'
    with running(tmp_path, extra=extra) as daemon, daemon.api() as local:
        new_key = {"label": "ada", "role": "admin"}
        key = local.post("/api/v1/keys", json=new_key).json()["secret"]
        device = local.get("/api/v1/devices").json()["devices"][0]["id"]
        change = local.get("/api/v1/devices-activity").json()["items"][0]["id"]
        found = {"key": change, "device_id": device}
        paths = local.get("/openapi.json").json()["paths"]
        asked = [path.format(**found) for path in paths if "get" in paths[path]]
        assert len(asked) >= 15
        with httpx.Client(
            base_url=daemon.url, headers={"Authorization": f"Bearer {key}"}, timeout=20
        ) as remote:
            for path in asked:
                answers = []
                for client in (remote, local):
                    with client.stream("GET", path) as answer:
                        answers.append((answer.status_code, answer.headers["content-type"]))
                assert answers[0] == answers[1], path
                assert answers[0][0] == 200, path


def test_a_key_is_nowhere_on_the_disk(tmp_path: Path) -> None:
    with running(tmp_path) as daemon, daemon.api() as client:
        made = client.post("/api/v1/keys", json={"label": "ada", "role": "admin"}).json()
        secret = made["secret"]
        bearer = {"Authorization": f"Bearer {secret}"}
        assert httpx.get(f"{daemon.url}/api/v1/keys", headers=bearer).status_code == 200
        wrong = {"Authorization": f"Bearer {secret[:-1]}"}
        assert httpx.get(f"{daemon.url}/api/v1/keys", headers=wrong).status_code == 401
        assert secret not in client.get("/api/v1/keys").text
        assert secret not in client.get("/api/v1/status").text
        for stopped in (False, True):
            if stopped:
                daemon.stop()
            kept = b"".join(each.read_bytes() for each in tmp_path.iterdir() if each.is_file())
            assert secret.encode() not in kept
            assert secret[3:40].encode() not in kept
