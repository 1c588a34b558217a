"""Problem sets, prompts for them, and their records. Nothing here imports TensorFlow but tasks."""

from spo_jax.problems.prompts import PROMPT_TEMPLATES, PromptTemplate, TextTemplate
from spo_jax.problems.records import (
    problem_from_record,
    read_problem_file,
    record_from_problem,
)
from spo_jax.problems.sets import find_problem, load_problems, problem_sets

__all__ = [
    "PROMPT_TEMPLATES",
    "PromptTemplate",
    "TextTemplate",
    "find_problem",
    "load_problems",
    "problem_from_record",
    "problem_sets",
    "read_problem_file",
    "record_from_problem",
]
