"""The preload shim: compiled once a session, and driven from inside the process that it is in."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

SOURCE: Final = Path(__file__).with_name("shim.c")
_LISTENER = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_long, ctypes.c_char_p, ctypes.c_char_p)


def compiled(gcc: str, folder: Path) -> Path:
    """The shim as a library in `folder`, made by the compiler `gcc`."""
    library = folder / "shim.so"
    command = [gcc, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wno-format-truncation"]
    subprocess.run([*command, "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Shim:
    """The shim that this process was started with. Raises `AttributeError` where it was not."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.faults_failed.restype = ctypes.c_long
        self._listener: Any = None

    def watch(self, *folders: str) -> None:
        """Count the calls that concern files and sockets below these folders."""
        for folder in folders:
            self._library.faults_watch(os.fsencode(folder))

    def fail(
        self, kind: str, first: int, last: int, error: str, name: str = "", report: int = -1
    ) -> None:
        """Fail calls `first` to `last` of a kind with an error, of files whose path ends in `name`.

        What failed is written to the descriptor `report`.
        """
        number = getattr(errno, error)
        arguments = (ctypes.c_long(first), ctypes.c_long(last), number, name.encode(), report)
        self._library.faults_arm(kind.encode(), *arguments)

    def listen(self, hears: Callable[[int, int, bytes, bytes], None]) -> None:
        """Fail nothing, and tell of each call: kind's index, number, path, SQLite's frames."""
        self._listener = _LISTENER(hears)
        self._library.faults_listen(self._listener)

    def disarm(self) -> None:
        """Count and fail no more."""
        self._library.faults_disarm()

    def failed(self) -> int:
        """How many calls have failed by now."""
        count: int = self._library.faults_failed()
        return count
