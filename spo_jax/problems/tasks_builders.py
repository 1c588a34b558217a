"""TFDS builders of CodeContests and TACO: every published column, from a directory or from the hub.

A builder streams the published files into its own records once, in a cache directory named by the
files' names, sizes and times of change; later starts read these. Texts stay bytes.
"""

import abc
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spo_jax.errors import UserError
from spo_jax.problems import records
from spo_jax.problems.contests import code_contests
from spo_jax.problems.contests.files import files_by_split, fingerprint, local_files, read_rows
from spo_jax.problems.quiet import quiet_stderr

with quiet_stderr():
    import huggingface_hub
    import tensorflow_datasets as tfds

_TEXT = tfds.features.Text()
_INT = tfds.features.Scalar(np.int64)


def _list(feature: Any) -> Any:
    return tfds.features.Sequence(feature)


class _PublishedFiles(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """What both sets share.

    Args:
      source_dir: directory with the published files; None downloads them from the hub.
      data_dir: where the prepared records go; default: `cache_directory()`.
    """

    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # no checksums beside the code; the default needs `importlib_resources`
    REPOSITORY = ""
    CITATION = ""
    LICENSE = ""

    def __init__(
        self, *, source_dir: str | None = None, data_dir: str | None = None, **kwargs: Any
    ):
        self._files = local_files(source_dir) if source_dir else None
        key = fingerprint(self._files) if self._files else "hub"
        super().__init__(data_dir=data_dir or str(cache_directory() / key), **kwargs)

    @abc.abstractmethod
    def features(self) -> Any:
        """The columns, as TFDS features."""

    @abc.abstractmethod
    def example(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A published row in the form of `features`."""

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=self.features(),
            homepage=f"https://huggingface.co/datasets/{self.REPOSITORY}",
            citation=self.CITATION,
            license=self.LICENSE,
            disable_shuffling=True,  # the order of the files
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        files = self._files or self._download(dl_manager)
        return {split: self._generate_examples(paths) for split, paths in files.items()}

    def _download(self, dl_manager: tfds.download.DownloadManager) -> dict[str, list[str]]:
        names = huggingface_hub.HfApi().list_repo_files(self.REPOSITORY, repo_type="dataset")
        urls = {
            split: [
                huggingface_hub.hf_hub_url(self.REPOSITORY, name, repo_type="dataset")
                for name in chosen
            ]
            for split, chosen in files_by_split(names).items()
        }
        paths = dl_manager.download(urls)
        return {split: [str(path) for path in each] for split, each in paths.items()}

    def _generate_examples(self, paths: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        number = 0
        for path in paths:
            kind = None if self._files else Path(path).suffix or ".parquet"
            for row in read_rows(path, kind):
                try:
                    yield number, self.example(row)
                except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
                    raise UserError(
                        f"{path}, row {number}: not in the schema of {self.REPOSITORY}: {error!r}"
                    ) from error
                number += 1


class CodeContests(_PublishedFiles, skip_registration=True):  # type: ignore[call-arg]
    """DeepMind CodeContests, with the numbers of the published parquet files for enums."""

    REPOSITORY = "deepmind/code_contests"
    CITATION = "https://arxiv.org/abs/2203.07814"
    LICENSE = "CC BY 4.0"

    def features(self) -> Any:
        tests = {"input": _list(_TEXT), "output": _list(_TEXT)}
        language = tfds.features.ClassLabel(names=records.LANGUAGES)
        programs = {"language": _list(language), "solution": _list(_TEXT)}
        return tfds.features.FeaturesDict(
            {
                "name": _TEXT,
                "description": _TEXT,
                "public_tests": tests,
                "private_tests": tests,
                "generated_tests": tests,
                "source": tfds.features.ClassLabel(names=records.SOURCES),
                "difficulty": tfds.features.ClassLabel(names=code_contests.DIFFICULTIES),
                "solutions": programs,
                "incorrect_solutions": programs,
                "cf_contest_id": _INT,
                "cf_index": _TEXT,
                "cf_points": tfds.features.Scalar(np.float32),
                "cf_rating": _INT,
                "cf_tags": _list(_TEXT),
                "is_description_translated": tfds.features.Scalar(np.bool_),
                "untranslated_description": _TEXT,
                "time_limit": {"seconds": _list(_INT), "nanos": _list(_INT)},  # none for null
                "memory_limit_bytes": _INT,
                "input_file": _TEXT,
                "output_file": _TEXT,
            }
        )

    def example(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Nulls become the values that the protocol buffers have where a field is not set."""
        row = {"public_tests": None, **row}
        limit = row["time_limit"]
        filled: dict[str, Any] = {
            name: _filled(row[name], default) for name, default in _CODE_CONTESTS_DEFAULTS.items()
        }
        for name in ("public_tests", "private_tests", "generated_tests"):
            filled[name] = _struct(row[name], "input", "output")
        for name in ("solutions", "incorrect_solutions"):
            filled[name] = _struct(row[name], "language", "solution")
        filled["time_limit"] = {
            unit: [] if limit is None else [limit[unit] or 0] for unit in ("seconds", "nanos")
        }
        return filled


_CODE_CONTESTS_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("name", "description", "cf_index", "untranslated_description"), b""),
    **dict.fromkeys(("input_file", "output_file"), b""),
    **dict.fromkeys(("source", "difficulty", "cf_contest_id", "cf_rating"), 0),
    "memory_limit_bytes": 0,
    "cf_points": 0.0,
    "cf_tags": [],
    "is_description_translated": False,
}

TACO_COLUMNS = (
    *("question", "solutions", "starter_code", "input_output", "difficulty", "raw_tags", "name"),
    *("source", "tags", "skill_types", "url", "Expected Auxiliary Space", "time_limit", "date"),
    *("picture_num", "memory_limit", "Expected Time Complexity"),
)


class Taco(_PublishedFiles, skip_registration=True):  # type: ignore[call-arg]
    """BAAI TACO; all columns are texts, empty where the row has null."""

    REPOSITORY = "BAAI/TACO"
    CITATION = "https://arxiv.org/abs/2312.14852"
    LICENSE = "Apache-2.0; licences of the sources apply"

    def features(self) -> Any:
        return tfds.features.FeaturesDict(dict.fromkeys(map(_feature_name, TACO_COLUMNS), _TEXT))

    def example(self, row: Mapping[str, Any]) -> dict[str, Any]:
        for name in ("question", "input_output"):
            if name not in row:
                raise KeyError(name)
        return {_feature_name(name): _as_text(row.get(name)) for name in TACO_COLUMNS}


def cache_directory() -> Path:
    """Where prepared sets are kept: `$XDG_CACHE_HOME/spo_jax` or `~/.cache/spo_jax`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spo_jax"


def prepared(builder: tfds.core.DatasetBuilder) -> tfds.core.DatasetBuilder:
    """The builder, with its records written."""
    with contextlib.redirect_stdout(sys.stderr):  # standard output is for results
        builder.download_and_prepare()
    return builder


def examples(builder: tfds.core.DatasetBuilder, split: str) -> Iterator[dict[str, Any]]:
    """The rows of a split in the order of the files, one in memory at a time."""
    if split not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise UserError(f"'{builder.name}' has no files of split '{split}' here (it has: {known})")
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    return iter(tfds.as_numpy(builder.as_dataset(split=split, read_config=config)))


def _feature_name(column: str) -> str:
    return column.lower().replace(" ", "_")


def _filled(value: Any, default: Any) -> Any:
    return default if value is None else value


def _struct(value: Mapping[str, Any] | None, *names: str) -> dict[str, list]:
    value = value or {}
    return {name: [_filled(item, b"") for item in value.get(name) or []] for name in names}


def _as_text(value: Any) -> bytes:
    if value is None:
        return b""
    return value if isinstance(value, bytes) else str(value).encode()
