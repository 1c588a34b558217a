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


def sync_files(folder: str | os.PathLike[str]) -> None:
    """Returns when a folder's files are on disk, and their names."""
    for path in Path(folder).iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(folder)
