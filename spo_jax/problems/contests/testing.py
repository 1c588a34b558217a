"""Small files in exactly the published schemas of CodeContests and TACO, awkward rows included."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

_TESTS = pa.struct([("input", pa.list_(pa.string())), ("output", pa.list_(pa.string()))])
_PROGRAMS = pa.struct([("language", pa.list_(pa.int64())), ("solution", pa.list_(pa.string()))])
CODE_CONTESTS_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("description", pa.string()),
        ("public_tests", _TESTS),
        ("private_tests", _TESTS),
        ("generated_tests", _TESTS),
        ("source", pa.int64()),
        ("difficulty", pa.int64()),
        ("solutions", _PROGRAMS),
        ("incorrect_solutions", _PROGRAMS),
        ("cf_contest_id", pa.int64()),
        ("cf_index", pa.string()),
        ("cf_points", pa.float32()),
        ("cf_rating", pa.int32()),
        ("cf_tags", pa.list_(pa.string())),
        ("is_description_translated", pa.bool_()),
        ("untranslated_description", pa.string()),
        ("time_limit", pa.struct([("seconds", pa.int64()), ("nanos", pa.int64())])),
        ("memory_limit_bytes", pa.int64()),
        ("input_file", pa.string()),
        ("output_file", pa.string()),
    ]
)
TACO_COLUMNS = (
    *("question", "solutions", "starter_code", "input_output", "difficulty", "raw_tags", "name"),
    *("source", "tags", "skill_types", "url", "Expected Auxiliary Space", "time_limit", "date"),
    *("picture_num", "memory_limit", "Expected Time Complexity"),
)
PYTHON2, CPP, PYTHON3 = 1, 2, 3
DOUBLE = "print(2 * int(input()))\n"
TRIPLE = "print(3 * int(input()))\n"


def cases(*pairs):
    return {"input": [given for given, _ in pairs], "output": [wanted for _, wanted in pairs]}


def programs(*pairs):
    return {"language": [number for number, _ in pairs], "solution": [code for _, code in pairs]}


def code_contests_row(name, **changes):
    return {
        "name": name,
        "description": "Read n. Print 2 * n.",
        "public_tests": cases(("3\n", "6\n")),
        "private_tests": cases(("5\n", "10\n")),
        "generated_tests": cases(("7\n", "14\n")),
        "source": 2,
        "difficulty": 7,
        "solutions": programs((PYTHON3, DOUBLE), (PYTHON2, "print 2 * input()"), (CPP, "int x;")),
        "incorrect_solutions": programs((PYTHON3, TRIPLE)),
        "cf_contest_id": 1575,
        "cf_index": "A",
        "cf_points": 500.0,
        "cf_rating": 1100,
        "cf_tags": ["math", ""],
        "is_description_translated": False,
        "untranslated_description": "",
        "time_limit": {"seconds": 1, "nanos": 500000000},
        "memory_limit_bytes": 256000000,
        "input_file": "",
        "output_file": "",
    } | changes


def taco_row(question="Read n. Print 2 * n.", tests=None, solutions=(DOUBLE,), **changes):
    row = dict.fromkeys(TACO_COLUMNS)
    tests = {"inputs": ["3\n"], "outputs": ["6\n"]} if tests is None else tests
    return (
        row
        | {
            "question": question,
            "solutions": json.dumps(list(solutions)),
            "starter_code": "",
            "input_output": json.dumps(tests),
            "difficulty": "MEDIUM_HARD",
            "raw_tags": "['dp']",
            "tags": "['Dynamic programming']",
            "skill_types": "[]",
            "source": "codeforces",
            "time_limit": "2.5 seconds",
            "memory_limit": "256.0 megabytes",
        }
        | changes
    )


def write_code_contests(directory, **splits):
    """One parquet file a split, named as on the hub; bytes in texts stay what they are."""
    (directory / "data").mkdir(parents=True)
    for split, rows in splits.items():
        table = pa.Table.from_pylist(rows, schema=_bytes(CODE_CONTESTS_SCHEMA))
        path = directory / "data" / f"{split}-00000-of-00001-5e672c5751f060d3.parquet"
        pq.write_table(_reinterpreted(table, CODE_CONTESTS_SCHEMA), path)
    return str(directory)


def write_taco_arrow(directory, **splits):
    """Streams as `datasets` writes them, several batches a file."""
    schema = pa.schema([(name, pa.string()) for name in TACO_COLUMNS])
    for split, rows in splits.items():
        (directory / split).mkdir(parents=True)
        path = directory / split / "data-00000-of-00001.arrow"
        table = pa.Table.from_pylist(rows, schema=schema)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
            stream.write_table(table, max_chunksize=2)
    return str(directory)


def _bytes(schema):
    def of(kind):
        if pa.types.is_string(kind):
            return pa.binary()
        if pa.types.is_list(kind):
            return pa.list_(of(kind.value_type))
        if pa.types.is_struct(kind):
            return pa.struct([(field.name, of(field.type)) for field in kind])
        return kind

    return pa.schema([(field.name, of(field.type)) for field in schema])


def _reinterpreted(table, schema):
    """Bytes declared to be texts without a look at them, as careless writers do."""
    columns = [
        _as(column.combine_chunks(), field.type)
        for field, column in zip(schema, table.columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _as(array, kind):
    if pa.types.is_string(kind):
        return array.view(pa.string())
    if pa.types.is_list(kind):
        values = _as(array.values, kind.value_type)
        return pa.Array.from_buffers(kind, len(array), array.buffers()[:2], children=[values])
    if pa.types.is_struct(kind):
        children = [_as(array.field(i), kind.field(i).type) for i in range(kind.num_fields)]
        return pa.Array.from_buffers(kind, len(array), array.buffers()[:1], children=children)
    return array
