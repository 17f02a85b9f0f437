"""The OpenAPI document: valid, complete, and true of what the server does (schemathesis)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from collector.event import DRAFT_FIELDS
from collector.web.document import stored
from collector.web.generate import generate
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
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    """All checks on every operation but the endless one."""
    extra = '[[devices]]\nname = "Router"\naddress = "127.0.0.1"\n'
    with running(tmp_path, extra=extra) as daemon:
        with daemon.api() as client:
            made = client.post("/api/v1/keys", json={"label": "tester", "role": "admin"}).json()
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{daemon.url}/openapi.json"),
            *("-H", f"Authorization: Bearer {made['secret']}", "--exclude-path-regex", "stream"),
            *("--phases", "examples,coverage,fuzzing", "-n", "20", "--checks", "all"),
            *("--exclude-operation-id", "revokeKey", "--seed", "1", "--no-color"),
        ]
        result = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, timeout=240, check=False
        )
        log = (daemon.path / "log").read_text()
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert "Traceback" not in log
