"""A disk that can be filled: a small ext4 image on a loop mount. Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.requirements import need, need_root, need_tool


@contextmanager
def mounted(folder: Path, name: str, size: int, *options: str) -> Iterator[Path]:
    """`folder/name`, an ext4 file system of `size` bytes of its own, until the block ends.

    `options` are further ones for mkfs: a small file system has blocks of 1 KiB, unless they say so.
    Skips the test where it may not be mounted.
    """
    need_root()
    mkfs, mount = need_tool("mkfs.ext4", "e2fsprogs"), need_tool("mount")
    image, point = folder / f"{name}.image", folder / name
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([mkfs, "-q", "-F", "-m", "0", *options, image], check=True)
    done = subprocess.run([mount, "-o", "loop", image, point], capture_output=True, text=True)
    need(done.returncode == 0, f"may not mount a loop device: {done.stderr}")
    try:
        yield point
    finally:
        subprocess.run(["umount", "-l", point], check=False)


def fill(folder: Path, leave: int) -> Path:
    """Take all space of the file system but so many bytes; removing the file gives it back."""
    stat = os.statvfs(folder)
    file = folder / "ballast"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        os.posix_fallocate(descriptor, 0, stat.f_bavail * stat.f_frsize - leave)
    finally:
        os.close(descriptor)
    return file
