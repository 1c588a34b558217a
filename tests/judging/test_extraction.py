import pytest

from spo_jax.judging import extract_program


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("Sure:\n```python\nprint(1)\n```\nDone.", "print(1)\n"),
        ("```\nprint(1)\n```", "print(1)\n"),
        ("```py\nprint(1)\n```\n```py\nprint(2)\n```", "print(1)\n"),
        ("```python\nprint(1)\n", "print(1)\n"),  # never closed
        ("```python\nprint(1)```", "print(1)"),
        ("Here: ```python\nprint(1)\n```", "print(1)\n"),
        ("````python\ns = '```'\n````", "s = '```'\n"),
        ("```python\r\nprint(1)\r\n```", "print(1)\r\n"),
        ("def f(x):\n    return x\n", "def f(x):\n    return x\n"),  # no fence: all of it
        ("use `print`", "use `print`"),
        ("", None),
        (" \n", None),
        ("```python\n```", None),
        ("```python", None),
    ],
)
def test_extraction(text, program):
    assert extract_program(text) == program


@pytest.mark.parametrize(
    ("prefix", "completion", "program"),
    [
        ("```python\n", "print(1)\n```\nIt prints 1.", "print(1)\n"),
        ("```python\n", "print(1)", "print(1)"),
        ("```python\ndef f(x):", "\n    return x\n```", "def f(x):\n    return x\n"),
        ("```python\n", "print(1)\n```\n```python\nprint(2)\n```", "print(1)\n"),
        ("```python\n", "", None),
        ("```python\n", "\n```", None),
        ("Answer:\n", "```python\nprint(1)\n```", "print(1)\n"),
    ],
)
def test_answer_that_starts_inside_the_prefix(prefix, completion, program):
    assert extract_program(completion, answer_prefix=prefix) == program
