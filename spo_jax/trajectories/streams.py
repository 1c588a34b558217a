"""Names in the store: a stream is one writer's numbered commits of one kind of object.

    trajectories/<writer_id>/00000012.parquet
    annotations/ref_logprobs/<reference_id>/<writer_id>/00000012.parquet
    annotations/initial_value/<reference_id>/<writer_id>/00000012.parquet

A commit whose object is damaged may be written again as `00000012.repair1.parquet`.
"""

import dataclasses
import re
from collections.abc import Iterable

from spo_jax.errors import UserError
from spo_jax.trajectories.schema import KINDS, Kind

_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+-]{0,127}")
_OBJECT = re.compile(r"(\d{8})(?:\.repair(\d+))?\.parquet")


def check_word(value: str, name: str) -> None:
    """Raises UserError unless `value` can be a folder's name on every file system."""
    if not isinstance(value, str) or not _WORD.fullmatch(value):
        raise UserError(
            f"{name}={value!r} must be 1 to 128 letters, digits or '_.=+-', not starting with a dot"
        )


@dataclasses.dataclass(frozen=True)
class Stream:
    """One writer's commits of one kind, and for annotations of one reference."""

    kind: Kind
    writer_id: str
    reference_id: str | None = None

    @property
    def path(self) -> str:
        """Folder below the store's root; also the stream's name in a watermark."""
        reference = () if self.reference_id is None else (self.reference_id,)
        return "/".join((self.kind.prefix, *reference, self.writer_id))

    def object_name(self, commit: int, repair: int = 0) -> str:
        """Name of the object of a commit."""
        suffix = f".repair{repair}" if repair else ""
        return f"{self.path}/{commit:08d}{suffix}.parquet"


class Listing:
    """The objects found in a store, by stream and commit.

    Attributes:
      streams: path to stream.
      strangers: Parquet files whose names are none of the store's.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.streams: dict[str, Stream] = {}
        self.strangers: list[str] = []
        self._commits: dict[str, dict[int, dict[int, str]]] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Takes up one more object."""
        found = _parse(name)
        if found is None:
            self.strangers.append(name)
            return
        stream, commit, repair = found
        self.streams[stream.path] = stream
        self._commits.setdefault(stream.path, {}).setdefault(commit, {})[repair] = name

    def count(self, path: str) -> int:
        """Number of commits of a stream: one more than the highest."""
        return max(self._commits.get(path, ()), default=-1) + 1

    def objects(self, path: str, commit: int) -> list[str]:
        """Names of the objects of a commit, the original first; empty if there is none."""
        repairs = self._commits.get(path, {}).get(commit, {})
        return [repairs[repair] for repair in sorted(repairs)]

    def names(self) -> list[str]:
        """Names of all objects, by stream and commit."""
        return [
            name
            for path in sorted(self._commits)
            for commit in sorted(self._commits[path])
            for name in self.objects(path, commit)
        ]


def parse_stream(path: str) -> Stream:
    """The inverse of `Stream.path`. Raises UserError for a path that is no stream's."""
    for kind in KINDS:
        folders = path.removeprefix(kind.prefix + "/").split("/")
        if path.startswith(kind.prefix + "/") and len(folders) == 1 + kind.per_reference:
            return Stream(kind, folders[-1], folders[0] if kind.per_reference else None)
    raise UserError(f"'{path}' is not a stream of a trajectory store")


def kind_of(name: str) -> Kind:
    """The kind of an object, by its name."""
    return parse_stream(name.rpartition("/")[0]).kind


def commit_number(name: str) -> int:
    """The number of the commit that an object belongs to, by its name."""
    return int(name.rpartition("/")[2].partition(".")[0])


def _parse(name: str) -> tuple[Stream, int, int] | None:
    folder, _, file = name.rpartition("/")
    match = _OBJECT.fullmatch(file)
    if match is None:
        return None
    try:
        return parse_stream(folder), int(match[1]), int(match[2] or 0)
    except UserError:
        return None
