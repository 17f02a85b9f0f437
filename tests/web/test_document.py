"""The OpenAPI document: valid, complete, and true of what the server does (schemathesis)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from collector.event import DRAFT_FIELDS
from collector.web.document import stored
from collector.web.generate import generate
from collector.web.links import LINKS
from tests.web.conftest import House, house_at
from tests.web.running import running

pytestmark = pytest.mark.anyio
DOCS = Path(__file__).parents[2] / "docs"


def test_the_stored_document_is_the_one_that_the_code_makes() -> None:
    """After a change: python -m collector.web.generate > collector/web/openapi.json"""
    assert json.loads(stored()) == json.loads(json.dumps(generate()))


async def test_resources_and_categories_of_the_configuration_are_in_it(tmp_path: Path) -> None:
    resource = {"slug": "price-lists", "object_type": "price", "audit": True}
    made = house_at(tmp_path, resources=[resource], categories=["invoices"])
    async with made as house, house.client() as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/api/v1/price-lists-activity"]["get"]
    assert operation["operationId"] == "listPriceListsActivity"
    assert operation["x-audit"]["object_type"] == "price"
    newest = operation["responses"]["200"]["links"]["newest"]
    assert newest["operationId"] == "getPriceListsActivity"
    assert "/api/v1/devices-activity/{key}" in document["paths"]
    schemas = document["components"]["schemas"]
    assert "invoices" in schemas["Draft"]["properties"]["category"]["enum"]
    assert "invoices" in schemas["RetentionChange"]["properties"]["categories"]["properties"]


async def test_every_operation_is_described_and_every_error_has_one_shape(house: House) -> None:
    async with house.client() as client:
        document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    names = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            names.append(operation["operationId"])
            assert operation.get("description"), f"{method} {path}"
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"]
    assert len(names) == len(set(names))
    for reference in re.findall(r'"#/components/schemas/(\w+)"', str(document).replace("'", '"')):
        assert reference in document["components"]["schemas"]


async def test_every_link_leads_from_a_value_of_the_answer_to_a_parameter(house: House) -> None:
    async with house.client() as client:
        document = (await client.get("/openapi.json")).json()
    operations = {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }
    assert set(LINKS) <= set(operations)
    for operation in operations.values():
        links = [
            link
            for each in operation["responses"].values()
            for link in each.get("links", {}).values()
        ]
        assert bool(links) == (operation["operationId"] in LINKS)
        for link in links:
            known = {each["name"] for each in operations[link["operationId"]]["parameters"]}
            assert set(link["parameters"]) <= known, link


async def test_every_link_can_be_followed(tmp_path: Path) -> None:
    table = [{"name": "Router", "address": "192.0.2.1"}]
    async with house_at(tmp_path, devices=table) as house, house.admin() as client:
        document = (await client.get("/openapi.json")).json()
        places = {
            operation["operationId"]: (method, path)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }
        made = house.record("a.b")
        asked: dict[str, Any] = {
            "recordEvents": {"json": {"action": "a.b", "causation_id": made.id}},
            "patchDevice": {"json": {"name": "Edge"}},
            "addKey": {"json": {"label": "linked", "role": "viewer"}},
        }
        values: dict[str, dict[str, str]] = {"getEvent": {"key": str(made.seq)}}
        for source in LINKS:
            method, path = places[source]
            answer = await client.request(
                method, path.format(**values.get(source, {})), **asked.get(source, {})
            )
            assert answer.status_code in (200, 201), (source, answer.text)
            for link in LINKS[source].values():
                target, found = link["operationId"], _resolved(link, answer.json())
                values[target] = {**found, **values.get(target, {})}
                method, path = places[target]
                query = {name: value for name, value in found.items() if f"{{{name}}}" not in path}
                followed = await client.request(
                    method, path.format(**found), params=query, **asked.get(target, {})
                )
                assert followed.status_code in (200, 204), (source, link, followed.text)


def _resolved(link: dict[str, Any], body: Any) -> dict[str, str]:
    """The link's parameters with the values that the answer has for them."""
    found = {}
    for name, expression in link["parameters"].items():
        value = body
        for part in expression.removeprefix("$response.body#/").split("/"):
            value = value[int(part) if part.isdigit() else part]
        found[name] = str(value)
    return found


async def test_the_draft_of_the_document_is_the_draft_of_the_code(house: House) -> None:
    async with house.client() as client:
        schemas = (await client.get("/openapi.json")).json()["components"]["schemas"]
    assert tuple(schemas["Draft"]["properties"]) == DRAFT_FIELDS


async def test_every_path_is_in_the_documentation(house: House) -> None:
    text = (DOCS / "http.md").read_text()
    async with house.client() as client:
        document = (await client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        short = path.removeprefix("/api/v1").replace("devices-activity", "{slug}-activity")
        for method in methods:
            line = f"`{method.upper()} {short}"
            assert line in text or line.replace("{key}", "{id}") in text, line


async def test_there_is_no_documentation_that_needs_another_host(house: House) -> None:
    async with house.client() as client:
        for path in ("/schema", "/none", "/none/redoc", "/docs", "/none/swagger"):
            answer = await client.get(path)
            assert answer.status_code == 404, path


@pytest.mark.slow
@pytest.mark.parametrize(
    "phases",
    [
        ("--phases", "examples,coverage,fuzzing", "-n", "10"),
        # No schema can say that a maintenance ends in the future, and here devices are found.
        ("--phases", "stateful", "-n", "60", "--exclude-checks", "positive_data_acceptance"),
    ],
    ids=["single", "stateful"],
)
def test_schemathesis_finds_nothing(tmp_path: Path, phases: tuple[str, ...]) -> None:
    """All checks on every operation but the endless one; then requests that follow the links."""
    extra = '[[devices]]\nname = "Router"\naddress = "127.0.0.1"\n'
    with running(tmp_path, extra=extra) as daemon:
        with daemon.api() as client:
            made = client.post("/api/v1/keys", json={"label": "tester", "role": "admin"}).json()
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{daemon.url}/openapi.json"),
            *("-H", f"Authorization: Bearer {made['secret']}", "--exclude-path-regex", "stream"),
            *(*phases, "--checks", "all"),
            *("--exclude-operation-id", "revokeKey", "--seed", "1", "--no-color"),
        ]
        result = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False
        )
        log = (daemon.path / "log").read_text()
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_generated_client_works(tmp_path: Path) -> None:
    """A generator makes all of the document into a client, which records, finds and is refused."""
    client = tmp_path / "made" / "collector_api"
    client.parent.mkdir()
    (tmp_path / "generator.yml").write_text("post_hooks: []\n")
    made_from = Path(str(resources.files("collector.web"))) / "openapi.json"
    command = [
        *(sys.executable, "-m", "openapi_python_client", "generate", "--path", str(made_from)),
        *("--output-path", str(client), "--meta", "none"),
        *("--config", str(tmp_path / "generator.yml")),
    ]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = made.stdout + made.stderr
    assert made.returncode == 0, said
    # It sends JSON, which is all it knows; everything else is in the client.
    assert said.count("WARNING") == said.count("Unsupported content type application/x-ndjson") == 1
    with running(tmp_path) as daemon:
        with daemon.api() as admin:
            asked = {"label": "generated", "role": "admin"}
            key = admin.post("/api/v1/keys", json=asked).json()["secret"]
        environment = {**os.environ, "PYTHONPATH": str(client.parent), "PYTHONWARNINGS": "default"}
        done = subprocess.run(
            [sys.executable, "-c", USE_OF_THE_CLIENT, daemon.url, key],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
        )
    assert done.returncode == 0, done.stdout + done.stderr


USE_OF_THE_CLIENT = """
import importlib, pkgutil, sys
import collector_api
for found in pkgutil.walk_packages(collector_api.__path__, "collector_api."):
    importlib.import_module(found.name)
from collector_api import AuthenticatedClient, Client
from collector_api.api.events import get_event, list_events, record_events
from collector_api.api.keys import list_keys
from collector_api.models import Draft, Entry, Problem
url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key)
recorded = record_events.sync(client=client, body=Draft(action="client.generated", actor="user:7"))
assert recorded.accepted == 1, recorded
entry = get_event.sync(str(recorded.replies[0].seq), client=client)
assert isinstance(entry, Entry) and entry.actor.id == "7", entry
page = list_events.sync(client=client, action=["client.*"], limit=5)
assert [each.id for each in page.entries] == [entry.id], page
refused = list_keys.sync(client=Client(base_url=url))
assert isinstance(refused, Problem) and refused.status == 401, refused
"""
