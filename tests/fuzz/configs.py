"""Mutated configurations: each is taken whole, or refused with a message that says where and why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from collector.config import Config
from collector.config.load import load
from collector.errors import ConfigError
from tests.fuzz.mutation import Mutator

EXAMPLE: Final = Path(__file__).resolve().parents[2] / "config.example.toml"
SECONDS: Final = 5.0
"""A configuration that takes longer to read than this hangs a start."""
TOKENS: Final = tuple(
    b'" \' = [ ] [[ ]] { } # true false 0 -1 1e999 nan inf 0x7fffffffffffffff 1_000 "" [] {} 1979-05-27'
    b' "1h" "-1s" "1GiB" "99999999999999999999d" "\\u0000" \xff \x00 [storage] [web] [sources.unix]'
    b' [[devices]] [[resources]] path= port= enabled=false mode="9999" types=[[]] "*" "\xe2\x80\xae"'
    b" redaction.patterns=['(a+)+$']".split(b" ")
) + (b"\n", b"\r\n", b"\n[x]\n", b"a." * 200, b"[" * 200, b'"""')


def corpus() -> list[bytes]:
    """The example with every key in force, whole and in its sections."""
    lines = EXAMPLE.read_text("utf-8").splitlines()
    live = [line[1:] if line[:1] == "#" and line[1:2] not in ("", " ") else line for line in lines]
    whole = "\n".join(live)
    sections = [f"[{part}" for part in whole.split("\n[")[1:]]
    return [EXAMPLE.read_bytes(), whole.encode(), *(part.encode() for part in sections)]


def fuzz(count: int, seed: int, folder: Path) -> tuple[int, int]:
    """Try `count` configurations; how many were taken and how many refused.

    Raises AssertionError for one that ends otherwise, with the file left at `folder / "config.toml"`.
    """
    file = folder / "config.toml"
    mutator = Mutator(seed, corpus(), TOKENS, spare=20)
    environ = {"HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    taken = refused = 0
    for _ in range(count):
        file.write_bytes(mutator.sample())
        began = time.monotonic()
        try:
            config = load(str(file), environ)
        except ConfigError as error:
            refused += 1
            if not all(one.message.strip() for one in error.mistakes):
                raise AssertionError(f"{file}: a mistake without a message") from error
        else:
            taken += 1
            again = Config.from_mapping(config.to_mapping(), environ)
            assert again.to_mapping() == config.to_mapping(), (
                f"{file}: dumped, it reads differently"
            )
        assert time.monotonic() - began < SECONDS, f"{file}: took {time.monotonic() - began:.1f} s"
    return taken, refused
