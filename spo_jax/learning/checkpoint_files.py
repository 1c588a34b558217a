"""The files of a checkpoint, their manifest, and what tells a whole one from a damaged one.

00000120/state/         arrays, written by Orbax: uncompressed, sharded by process
00000120/host.json      whatever the loop needs
00000120/manifest.json  written last: size and CRC-32 of all files, name and shape of all arrays
"""

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from etils import epath

from spo_jax.durable import sync_folder
from spo_jax.errors import full_disk_error, is_full_disk, writing

MANIFEST = "manifest.json"
HOST = "host.json"
STATE = "state"

_VERSION = 2
_CHUNK_BYTES = 2**24
_NO_SPACE = ("os_error_code='28'", "os_error_code='122'", "os_error_code='27'")


class CheckpointError(RuntimeError):
    """A checkpoint could not be saved; those before it stand."""


class DamagedError(Exception):
    """A checkpoint cannot be used; the message completes "it is passed over: ..."."""


def file_sizes(path: epath.Path) -> dict[str, int]:
    """Bytes of all files of a checkpoint, by name relative to its directory, sorted."""
    found = {str(file.relative_to(path)): file.stat().length for file in _files(path)}
    return dict(sorted(found.items()))


def checksums(path: epath.Path, names: Iterable[str]) -> dict[str, int]:
    """CRC-32 of files."""
    return {name: _crc32(path / name) for name in names}


def write_manifest(
    path: epath.Path,
    arrays: Mapping[str, str],
    sizes: Mapping[str, int],
    sums: Mapping[str, int],
) -> None:
    """Commits a checkpoint.

    Args:
      path: of the checkpoint.
      arrays: dtype and shape of each array, as text.
      sizes: of all files. sums: their CRC-32.
    """
    content = {
        "version": _VERSION,
        "arrays": dict(arrays),
        "files": {name: {"bytes": size, "crc32": sums[name]} for name, size in sizes.items()},
    }
    write_whole(path / MANIFEST, json.dumps(content | {"crc32": _own_crc32(content)}, indent=1))


def read_manifest(path: epath.Path) -> dict[str, Any]:
    """Raises DamagedError where a checkpoint has no manifest that can be believed."""
    try:
        content = json.loads((path / MANIFEST).read_text())
        own = content.pop("crc32")
    except FileNotFoundError:
        raise DamagedError("half-written (it has no manifest)") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        raise DamagedError("its manifest cannot be read") from None
    if own != _own_crc32(content):
        raise DamagedError("its manifest is not as it was written")
    if content["version"] != _VERSION:
        raise DamagedError(f"its format is version {content['version']}, not {_VERSION}")
    return content


def check_sizes(path: epath.Path, manifest: Mapping[str, Any]) -> None:
    """Raises DamagedError for a file that is missing or of another size."""
    for name, file in manifest["files"].items():
        if not (path / name).exists():
            raise DamagedError(f"its file {name} is missing")
        size = (path / name).stat().length
        if size != file["bytes"]:
            raise DamagedError(f"its file {name} has {size} bytes, not {file['bytes']}")


def changed_file(path: epath.Path, manifest: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """What is wrong with the first of these files whose bytes are not those written, or None."""
    for name in names:
        try:
            if _crc32(path / name) != manifest["files"][name]["crc32"]:
                return f"the bytes of its file {name} are not those written"
        except OSError as error:
            return f"its file {name} cannot be read ({error})"
    return None


def delete(path: epath.Path) -> None:
    """Deletes a checkpoint; what a process killed meanwhile leaves is no checkpoint any more."""
    (path / MANIFEST).unlink(missing_ok=True)
    remove_tree(path)


def remove_tree(path: epath.Path) -> None:
    """Removes a directory with all that is in it."""
    path.rmtree()


def write_whole(path: epath.Path, text: str) -> None:
    """Writes a file durably: whole or not at all, if the process or the machine dies meanwhile."""
    data = text.encode()
    with writing(path, len(data)):
        if "://" in str(path):  # an object appears whole
            path.write_bytes(data)
            return
        partial = Path(path.parent, f".{path.name}.partial")
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)


def saving_error(path: epath.Path, num_bytes: int, error: Exception) -> Exception:
    """What a save raises for an error within it. Tensorstore tells of a full disk in words only."""
    if is_full_disk(error) or any(code in str(error) for code in _NO_SPACE):
        return full_disk_error(str(path), num_bytes, error)
    if isinstance(error, (OSError, CheckpointError)):
        return error
    return CheckpointError(f"checkpoint {path} could not be saved: {error}")


def _files(path: epath.Path) -> Iterator[epath.Path]:
    for child in path.iterdir():
        if child.is_dir():
            yield from _files(child)
        elif child.name != MANIFEST and not child.name.endswith(".partial"):
            yield child


def _crc32(path: epath.Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value


def _own_crc32(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
