"""How answers lead on: the OpenAPI links of the document, from what one operation returns to the next.

They tell a generator, a person with the document, and the tests, which value of an answer is which
parameter of another request.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]


def _link(operation: str, description: str, **parameters: str) -> Json:
    return {
        "operationId": operation,
        "parameters": {name: f"$response.body#/{at}" for name, at in parameters.items()},
        "description": description,
    }


LINKS: Final[dict[str, dict[str, Json]]] = {
    "recordEvents": {
        "entry": _link("getEvent", "The first entry that was stored.", key="replies/0/seq"),
    },
    "listEvents": {
        "newest": _link("getEvent", "The page's first entry.", key="entries/0/seq"),
        "older": _link(
            "listEvents", "What is older than the page's first entry.", before_seq="entries/0/seq"
        ),
    },
    "getEvent": {
        "effects": _link("listEvents", "What the event caused.", causation_id="id"),
        "after": _link("listEvents", "What was recorded after it.", after_seq="seq"),
    },
    "listDevices": {
        "first": _link("getDevice", "The first device.", device_id="devices/0/id"),
        "change": _link("patchDevice", "Rename the first device.", device_id="devices/0/id"),
    },
    "getDevice": {
        "events": _link("listEvents", "All of the device's entries.", object_id="device/id"),
        "changes": _link("listDevicesActivity", "The device's changesets.", object_id="device/id"),
    },
    "listDevicesActivity": {
        "newest": _link("getDevicesActivity", "The newest changeset.", key="items/0/id"),
    },
    "getDevicesActivity": {
        "entry": _link("getEvent", "The entry that made the changeset.", key="seq"),
    },
    "addKey": {
        "revoke": _link("revokeKey", "Take the key back.", label="key/label"),
    },
}
"""The links of each operation's good answer, by operation and name."""
