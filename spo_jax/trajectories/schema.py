"""Schema version 1 of the store's Parquet objects: what a row is, and the way there and back.

Three kinds of objects exist: trajectories, reference logprobs (one row per trajectory and
reference) and initial values (one row per problem, reference and beta). The version stands in the
file metadata under `spo_jax.schema_version`; an object of another version is refused.

Only types that pandas and `datasets` read without help are used; `metadata` is a JSON object in a
string for that reason. `prompt_length`, `completion_length` and `prompt_hash` are derived from the
tokens: an index reads them without reading a token.
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spo_jax.errors import UserError
from spo_jax.types import (
    InitialValue,
    ReferenceLogprobs,
    SamplerSettings,
    Trajectory,
    Turn,
    Verdict,
)

SCHEMA_VERSION = 1
VERSION_KEY = b"spo_jax.schema_version"
KIND_KEY = b"spo_jax.kind"
_ROWS_PER_GROUP = 256


def _list(value_type: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", value_type))


_TURN = pa.struct([("role", pa.string()), ("start", pa.int32()), ("end", pa.int32())])
_SAMPLER = pa.struct(
    [
        ("temperature", pa.float64()),
        ("top_p", pa.float64()),
        ("top_k", pa.int32()),
        ("max_completion_tokens", pa.int32()),
    ]
)


def _schema(kind: str, fields: Sequence[pa.Field]) -> pa.Schema:
    version = str(SCHEMA_VERSION).encode()
    return pa.schema(fields, metadata={VERSION_KEY: version, KIND_KEY: kind.encode()})


def _required(name: str, value_type: pa.DataType) -> pa.Field:
    return pa.field(name, value_type, nullable=False)


TRAJECTORY_SCHEMA = _schema(
    "trajectories",
    [
        _required("trajectory_id", pa.string()),
        _required("group_id", pa.string()),
        _required("problem_id", pa.string()),
        _required("source", pa.string()),
        pa.field("policy_version", pa.int64()),
        pa.field("seed", pa.int64()),
        pa.field("turns", _list(_TURN)),
        pa.field("prompt_tokens", _list(pa.int32())),
        pa.field("completion_tokens", _list(pa.int32())),
        pa.field("completion_mask", _list(pa.bool_())),
        _required("finish_reason", pa.string()),
        pa.field("behavior_logprobs", _list(pa.float32())),
        pa.field("reward", pa.float64()),
        pa.field("verdict", pa.string()),
        pa.field("sampler", _SAMPLER),
        pa.field("tokenizer_hash", pa.string()),
        pa.field("prompt_text", pa.string()),
        pa.field("completion_text", pa.string()),
        _required("metadata", pa.string()),
        pa.field("prompt_length", pa.int32()),
        pa.field("completion_length", pa.int32()),
        pa.field("prompt_hash", pa.string()),
    ],
)

REF_LOGPROBS_SCHEMA = _schema(
    "ref_logprobs",
    [
        _required("trajectory_id", pa.string()),
        _required("reference_id", pa.string()),
        _required("ref_logprobs", _list(pa.float32())),
        _required("length", pa.int32()),
    ],
)

INITIAL_VALUE_SCHEMA = _schema(
    "initial_value",
    [
        _required("problem_id", pa.string()),
        _required("reference_id", pa.string()),
        _required("beta", pa.float64()),
        _required("value", pa.float64()),
        _required("standard_error", pa.float64()),
        _required("num_samples", pa.int64()),
        _required("estimator", pa.string()),
    ],
)


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """One kind of object.

    Attributes:
      name: as in the file metadata.
      prefix: folder of the store that holds it.
      per_reference: whether a folder per reference id lies below the prefix.
      schema: of the rows.
      key: columns that identify a row; two rows with one key are the same row.
      index_columns: what the index holds; everything else is read on demand.
      to_columns: records to a dict of columns.
      from_rows: a table to records, arrays copied out of the table.
    """

    name: str
    prefix: str
    per_reference: bool
    schema: pa.Schema
    key: tuple[str, ...]
    index_columns: tuple[str, ...]
    to_columns: Callable[[Sequence[Any]], dict[str, list[Any]]]
    from_rows: Callable[[pa.Table], list[Any]]

    @property
    def index_schema(self) -> pa.Schema:
        """Schema of the index columns."""
        return pa.schema([self.schema.field(name) for name in self.index_columns])

    def to_table(self, records: Sequence[Any]) -> pa.Table:
        """Validated records as one table of this kind's schema."""
        columns = self.to_columns(records)
        arrays = [pa.array(columns[field.name], type=field.type) for field in self.schema]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def to_parquet(self, records: Sequence[Any]) -> bytes:
        """Validated records as the bytes of one object, with a checksum on every page."""
        buffer = io.BytesIO()
        pq.write_table(
            self.to_table(records),
            buffer,
            compression="zstd",
            row_group_size=_ROWS_PER_GROUP,
            write_page_checksum=True,
        )
        return buffer.getvalue()

    def keys(self, records: Sequence[Any]) -> set[tuple[Any, ...]]:
        """The key columns of records."""
        return {tuple(getattr(record, name) for name in self.key) for record in records}


def check_object_schema(name: str, found: pa.Schema, kind: Kind) -> str | None:
    """Says what is wrong with an object's schema, or None when it is this kind's version 1.

    Raises:
      UserError: the object has another schema version, or none at all: reading the rest without
        it would silently change the data set.
    """
    metadata = found.metadata or {}
    version = metadata.get(VERSION_KEY)
    if version is None:
        raise UserError(
            f"{name}: not an object of a trajectory store: its metadata lacks the key "
            f"'{VERSION_KEY.decode()}'; move the file out of the store"
        )
    if version != str(SCHEMA_VERSION).encode():
        raise UserError(
            f"{name}: schema version {version.decode(errors='replace')}, but this release reads "
            f"version {SCHEMA_VERSION}; use the release that wrote it, or a newer one"
        )
    if metadata.get(KIND_KEY) != kind.name.encode():
        return f"holds {metadata.get(KIND_KEY, b'?').decode(errors='replace')}, not {kind.name}"
    if not found.equals(kind.schema):
        return f"columns differ from schema version {SCHEMA_VERSION} of {kind.name}"
    return None


def prompt_hash(tokens: np.ndarray | Sequence[int]) -> str:
    """16 hexadecimal digits that name a prompt: groups are formed of rows with one prompt."""
    data = np.ascontiguousarray(tokens, dtype="<i4").tobytes()
    return hashlib.blake2b(data, digest_size=8).hexdigest()


# --- trajectories ---


def _array(values: Any, dtype: Any) -> np.ndarray | None:
    return None if values is None else np.asarray(values, dtype=dtype)


def _length(values: Any) -> int | None:
    return None if values is None else len(values)


def _trajectory_row(item: Trajectory) -> dict[str, Any]:
    return {
        "trajectory_id": item.trajectory_id,
        "group_id": item.group_id,
        "problem_id": item.problem_id,
        "source": item.source,
        "policy_version": item.policy_version,
        "seed": item.seed,
        "turns": [{"role": t.role, "start": t.start, "end": t.end} for t in item.turns],
        "prompt_tokens": _array(item.prompt_tokens, np.int32),
        "completion_tokens": _array(item.completion_tokens, np.int32),
        "completion_mask": _array(item.completion_mask, np.bool_),
        "finish_reason": item.finish_reason,
        "behavior_logprobs": _array(item.behavior_logprobs, np.float32),
        "reward": None if item.reward is None else float(item.reward),
        "verdict": None if item.verdict is None else str(item.verdict),
        "sampler": None if item.sampler is None else dataclasses.asdict(item.sampler),
        "tokenizer_hash": item.tokenizer_hash,
        "prompt_text": item.prompt_text,
        "completion_text": item.completion_text,
        "metadata": _dump_metadata(item.metadata),
        "prompt_length": _length(item.prompt_tokens),
        "completion_length": _length(item.completion_tokens),
        "prompt_hash": None if item.prompt_tokens is None else prompt_hash(item.prompt_tokens),
    }


def _dump_metadata(metadata: Mapping[str, str]) -> str:
    return json.dumps(dict(metadata), sort_keys=True, ensure_ascii=False)


def _trajectory_columns(items: Sequence[Trajectory]) -> dict[str, list[Any]]:
    rows = [_trajectory_row(item) for item in items]
    return {name: [row[name] for row in rows] for name in TRAJECTORY_SCHEMA.names}


def _numpy(scalar: pa.ListScalar, dtype: Any) -> np.ndarray | None:
    if not scalar.is_valid:
        return None
    return np.array(scalar.values.to_numpy(zero_copy_only=False), dtype=dtype)


_ARRAYS = {
    "prompt_tokens": np.int32,
    "completion_tokens": np.int32,
    "completion_mask": np.bool_,
    "behavior_logprobs": np.float32,
}
_DERIVED = ("prompt_length", "completion_length", "prompt_hash")


def _trajectories(table: pa.Table) -> list[Trajectory]:
    plain = table.drop_columns([*_ARRAYS, *_DERIVED]).to_pylist()
    for row_number, row in enumerate(plain):
        for name, dtype in _ARRAYS.items():
            row[name] = _numpy(table[name][row_number], dtype)
        row["turns"] = tuple(Turn(**turn) for turn in row["turns"] or ())
        row["verdict"] = None if row["verdict"] is None else Verdict(row["verdict"])
        row["sampler"] = None if row["sampler"] is None else SamplerSettings(**row["sampler"])
        row["metadata"] = json.loads(row["metadata"])
    return [Trajectory(**row) for row in plain]


# --- annotations ---


def _ref_logprobs_columns(items: Sequence[ReferenceLogprobs]) -> dict[str, list[Any]]:
    return {
        "trajectory_id": [item.trajectory_id for item in items],
        "reference_id": [item.reference_id for item in items],
        "ref_logprobs": [np.asarray(item.ref_logprobs, np.float32) for item in items],
        "length": [len(item.ref_logprobs) for item in items],
    }


def _ref_logprobs(table: pa.Table) -> list[ReferenceLogprobs]:
    values = table["ref_logprobs"]
    return [
        ReferenceLogprobs(
            trajectory_id=row["trajectory_id"],
            reference_id=row["reference_id"],
            ref_logprobs=np.array(values[number].values.to_numpy(zero_copy_only=False)),
        )
        for number, row in enumerate(table.select(["trajectory_id", "reference_id"]).to_pylist())
    ]


def _initial_value_columns(items: Sequence[InitialValue]) -> dict[str, list[Any]]:
    rows = [dataclasses.asdict(item) for item in items]
    return {name: [row[name] for row in rows] for name in INITIAL_VALUE_SCHEMA.names}


def _initial_values(table: pa.Table) -> list[InitialValue]:
    return [InitialValue(**row) for row in table.to_pylist()]


TRAJECTORIES = Kind(
    name="trajectories",
    prefix="trajectories",
    per_reference=False,
    schema=TRAJECTORY_SCHEMA,
    key=("trajectory_id",),
    index_columns=(
        "trajectory_id",
        "group_id",
        "problem_id",
        "source",
        "policy_version",
        "reward",
        "verdict",
        "finish_reason",
        "tokenizer_hash",
        "prompt_length",
        "completion_length",
        "prompt_hash",
    ),
    to_columns=_trajectory_columns,
    from_rows=_trajectories,
)
REF_LOGPROBS = Kind(
    name="ref_logprobs",
    prefix="annotations/ref_logprobs",
    per_reference=True,
    schema=REF_LOGPROBS_SCHEMA,
    key=("trajectory_id",),
    index_columns=("trajectory_id", "length"),
    to_columns=_ref_logprobs_columns,
    from_rows=_ref_logprobs,
)
INITIAL_VALUES = Kind(
    name="initial_value",
    prefix="annotations/initial_value",
    per_reference=True,
    schema=INITIAL_VALUE_SCHEMA,
    key=("problem_id", "beta", "num_samples"),
    index_columns=tuple(INITIAL_VALUE_SCHEMA.names),
    to_columns=_initial_value_columns,
    from_rows=_initial_values,
)
KINDS = (TRAJECTORIES, REF_LOGPROBS, INITIAL_VALUES)
