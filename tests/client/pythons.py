"""The interpreters that the library runs on, beside the one that runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from shutil import which

import pytest

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
VERSIONS = ("3.11", "3.12", "3.13")


def python(version: str) -> str:
    """The path of a Python of this `version` that has msgspec; skips where the machine has none.

    Looked for among `$COLLECTOR_PYTHONS` (paths, as in `$PATH`), on `$PATH`, and in pyenv.
    """
    if version == RUNNING:
        return sys.executable
    found = next((path for path in _candidates(version) if _serves(path, version)), None)
    if found is None:
        pytest.skip(f"needs a Python {version} with msgspec; name it in COLLECTOR_PYTHONS")
    return found


def _candidates(version: str) -> Iterator[str]:
    yield from filter(None, os.environ.get("COLLECTOR_PYTHONS", "").split(os.pathsep))
    on_path = which(f"python{version}")
    if on_path:
        yield on_path
    for place in sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
        yield str(place)


@cache
def _serves(path: str, version: str) -> bool:
    asked = "import msgspec, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([path, "-c", asked], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.stdout.strip() == version
