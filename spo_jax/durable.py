"""Files that are there after a machine has lost its power, not only after a process died."""

import os
from pathlib import Path


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Returns when the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: str | os.PathLike[str]) -> None:
    """Returns when all files below a folder are on disk, and their names."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with Path(parent, name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(parent)
