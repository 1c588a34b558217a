"""Imports point downwards only: the layers of the design, read from the source."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import spo_jax

ROOT = Path(spo_jax.__file__).parent

# Layer of each unit: a module or package directly below spo_jax.
LAYERS = {
    "": 0,  # spo_jax/__init__.py
    "types": 0,
    "errors": 0,
    "durable": 0,
    "objectives": 1,
    "models": 1,
    "tokenizers": 1,
    "packing": 1,
    "scoring": 1,
    "sampling": 1,
    "sharding": 1,
    "placement": 1,
    "problems": 2,
    "judging": 2,
    "trajectories": 2,
    "learning": 2,
    "evaluation": 2,
    "acting": 3,
    "reporting": 3,
    "planning": 3,
    "running": 4,  # parts and state of a run: what train.py's story is told with
    "train": 4,
    "evaluate": 4,
    "act": 4,
    "ray_actors": 4,
    "sweep": 4,
    "commands": 5,
    "main": 5,
}

# Units of one layer that may import each other: (importer, imported).
SIBLINGS = {
    ("models", "sharding"),  # tensors are placed while they are read
    ("models", "tokenizers"),  # export writes the tokenizer beside the weights
    ("tokenizers", "models"),  # GGUF metadata, and the path of SmolLM2
    ("scoring", "models"),
    ("scoring", "packing"),
    ("scoring", "sharding"),  # where a mesh splits tokens, the vocabulary goes block by block
    ("sampling", "models"),
    ("sampling", "sharding"),
    ("sharding", "models"),
    ("placement", "sharding"),
    ("models", "placement"),
    ("planning", "acting"),  # the annotation step is compiled as it is run
    ("train", "running"),
    ("evaluate", "running"),
    ("ray_actors", "act"),
    ("ray_actors", "running"),
    ("act", "running"),
    ("sweep", "train"),
    ("main", "commands"),
}

# Units that see host records only.
NARROW = {
    "objectives": {"errors"},
    "packing": {"types", "errors"},
    "judging": {"types", "errors"},
    "trajectories": {"types", "errors", "durable"},
    "evaluation": {"types", "errors"},
    "problems": {"types", "errors", "tokenizers", "judging"},  # written solutions are verified
    "learning": {
        "types",
        "errors",
        "durable",
        "objectives",
        "models",
        "packing",
        "placement",
        "scoring",
        "sharding",
    },
}

# Libraries that only some files may import (prefixes of paths below spo_jax).
CONFINED = {
    "gin": ("main.py", "commands/"),
    "seqio": ("problems/tasks", "problems/vocabulary.py"),
    "tensorflow_datasets": ("problems/tasks",),
    "tensorflow": ("problems/tasks", "problems/vocabulary.py"),
    "ray": ("ray_actors.py",),
    "torch": (),
}
ACCELERATED = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}
HOST_ONLY = ("types.py", "errors.py", "judging/", "trajectories/", "problems/", "evaluation/")

# Heavy or optional libraries that may be imported inside a function of a library module.
LATE_IMPORTS = {
    ("tokenizers.py", "transformers"),
    ("models/pretrained.py", "huggingface_hub"),
    ("models/attention.py", "spo_jax"),  # splash.py: Pallas for TPUs, which only they need
    ("ray_actors.py", "ray"),
    ("judging/scoring_program.py", "math_verify"),
    ("judging/scoring_program.py", "reasoning_gym"),
    ("judging/program.py", "json"),  # stays out of programs that read standard input
}

FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def imported(node: ast.AST, file: str) -> list[str]:
    """Absolute names of the modules that an import statement reaches for."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{file}:{node.lineno}: a relative import"
        if node.module == "spo_jax":  # from spo_jax import models
            return [f"spo_jax.{alias.name}" for alias in node.names]
        return [node.module or ""]
    return []


def imports(file: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        for name in imported(node, file):
            yield node.lineno, name


def unit_of_file(file: str) -> str:
    head = file.split("/")[0].removesuffix(".py")
    return "" if head == "__init__" else head


def unit_of_module(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def may_import(importer: str, target: str) -> bool:
    if target in (importer, ""):
        return True
    if importer in NARROW:
        return target in NARROW[importer]
    below = LAYERS[target] < LAYERS[importer] or LAYERS[importer] == LAYERS[target] == 0
    return below or (importer, target) in SIBLINGS


def test_every_unit_has_a_layer():
    assert {unit_of_file(file) for file in FILES} <= set(LAYERS)


@pytest.mark.parametrize("file", FILES)
def test_imports_point_downwards(file):
    for line, name in imports(file):
        if name.split(".")[0] != "spo_jax":
            continue
        importer, target = unit_of_file(file), unit_of_module(name)
        assert target in LAYERS, f"{file}:{line}: {name} has no layer"
        assert may_import(importer, target), f"{file}:{line}: {importer} must not import {name}"


@pytest.mark.parametrize("file", FILES)
def test_libraries_stay_where_they_belong(file):
    for line, name in imports(file):
        library = name.split(".")[0]
        if library in CONFINED:
            assert file.startswith(CONFINED[library]), f"{file}:{line}: imports {library}"
        if file.startswith(HOST_ONLY):
            assert library not in ACCELERATED, f"{file}:{line}: host code imports {library}"


@pytest.mark.parametrize("file", FILES)
def test_imports_stand_at_the_head_of_the_file(file):
    """A function may import only what is heavy or optional; commands start quickly that way."""
    if file.startswith("commands/"):
        return
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for function in ast.walk(ast.parse((ROOT / file).read_text())):
        if not isinstance(function, functions):
            continue
        for node in ast.walk(function):
            for name in imported(node, file):
                place = f"{file}:{node.lineno}: {name} imported inside {function.name}"
                assert (file, name.split(".")[0]) in LATE_IMPORTS, place


def test_no_import_cycles_between_siblings_at_run_time():
    """Every module can be the first one to be imported."""
    pairs = {(a, b) for a, b in SIBLINGS if (b, a) in SIBLINGS}
    modules = sorted({f"spo_jax.{unit}" for pair in pairs for unit in pair})
    for module in modules:
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, timeout=120)


@pytest.mark.parametrize("arguments", [["--help"], ["judge", "--help"], ["score", "--help"]])
def test_help_needs_neither_tensorflow_nor_jax(arguments):
    code = f"""
import sys
from spo_jax.main import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"tensorflow", "jax", "transformers", "seqio"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "usage: spo" in done.stdout
