"""What a child of the fork server does to show what the shim does to it."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Final

THREADS, LINES = 4, 20
_FLAGS: Final = os.O_WRONLY | os.O_CREAT


def write_in_threads(folder: str) -> int:
    """Each thread writes lines to files of its own in `watched` and `elsewhere`; `seen` tells more."""
    errors: list[str] = []

    def write(number: int) -> None:
        files = [
            os.open(f"{folder}/{where}/{number}", _FLAGS) for where in ("watched", "elsewhere")
        ]
        for _ in range(LINES):
            for file in files:
                try:
                    os.write(file, b"line\n")
                except OSError as error:
                    errors.append(errno.errorcode[error.errno or 0])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = {
        where: sum(file.read_text().count("\n") for file in Path(folder, where).iterdir())
        for where in ("watched", "elsewhere")
    }
    seen = {"errors": errors, "lines": lines["watched"], "elsewhere": lines["elsewhere"]}
    Path(folder, "seen").write_text(json.dumps(seen))
    return 0
