import pytest

from spo_jax.errors import UserError
from spo_jax.judging import Judge, extract_program
from spo_jax.problems import PROMPT_TEMPLATES, PromptTemplate, TextTemplate, load_problems
from spo_jax.problems.prompts import _CALL_EXAMPLES, _STDIN_EXAMPLES
from spo_jax.types import Problem, TestCase, Verdict

CALL = Problem(
    id="x/add",
    name="add",
    description="Write a function `add(a, b=0)` that returns a + b.",
    public_tests=(TestCase('[1, "x"]', "null"), TestCase("[1, 2]", "3")),
    fn_name="add",
)
STDIN = Problem(
    id="x/echo",
    name="echo",
    description="Read a line. Print it.",
    public_tests=(TestCase("hi\n", "hi\n"),),
)
CODE = "def add(a, b=0):\n    return a + b\n"


def test_zero_shot_is_the_statement_and_the_instruction():
    template = PromptTemplate(call_instruction="Use Python.", opening="none")
    assert template.messages(CALL) == [
        {"role": "user", "content": f"{CALL.description}\nUse Python."}
    ]
    assert template.answer_prefix(CALL) == ""


def test_worked_examples_are_earlier_turns_of_the_same_style():
    template = PromptTemplate(system="Be brief.", num_examples=3)
    for problem, word in ((CALL, "def "), (STDIN, "input()")):
        messages = template.messages(problem)
        roles = [message["role"] for message in messages]
        assert roles == ["system", *3 * ["user", "assistant"], "user"]
        for answer in messages[2:-1:2]:
            assert word in answer["content"]
            assert answer["content"].startswith("```python\n")
            assert answer["content"].endswith("\n```")


def test_public_tests_are_shown():
    template = PromptTemplate(num_public_tests=2, call_instruction="", stdin_instruction="")
    assert template.messages(CALL)[-1]["content"].split("\n")[1:] == [
        "add(1, 'x') returns None",
        "add(1, 2) returns 3",
    ]
    assert template.messages(STDIN)[-1]["content"].endswith("Input:\nhi\nOutput:\nhi")


def test_openings():
    assert PromptTemplate(opening="fence").answer_prefix(CALL) == "```python\n"
    header = PromptTemplate(opening="header")
    assert header.answer_prefix(CALL) == "```python\ndef add(a, b=0):"
    assert header.answer_prefix(STDIN) == "```python\n"


@pytest.mark.parametrize("opening", ["none", "fence", "header"])
def test_the_judge_gets_a_written_program_back(opening):
    template = PromptTemplate(opening=opening)
    completion = template.written_completion(CALL, "\n" + CODE)
    assert completion is not None
    assert template.answer_prefix(CALL) + completion == f"```python\n{CODE}```"
    assert extract_program(completion, template.answer_prefix(CALL)) == CODE


def test_programs_the_opened_answer_excludes_are_not_written():
    header = PromptTemplate(opening="header")
    assert header.written_completion(CALL, "def add(x, y):\n    return x + y\n") is None
    assert header.written_completion(CALL, "import math\n" + CODE) is None
    assert PromptTemplate().written_completion(CALL, 'print("""\n```\n""")') is None


@pytest.mark.parametrize("name", PROMPT_TEMPLATES)
def test_most_starter_programs_can_be_written(name):
    template = PROMPT_TEMPLATES[name]
    problems = load_problems("starter", "train")
    completions = [
        template.written_completion(problem, solution.code)
        for problem in problems
        for solution in (*problem.solutions, *problem.incorrect_solutions)
    ]
    skipped = completions.count(None)
    assert skipped == 0 or (template.opening == "header" and skipped < 0.05 * len(completions))


def test_worked_examples_are_right_and_in_no_set():
    statements = {p.description for split in ("train", "test") for p in load_problems(split=split)}
    with Judge(num_workers=1) as judge:
        for example in (*_STDIN_EXAMPLES, *_CALL_EXAMPLES):
            problem = Problem(
                id="x/example",
                name="example",
                description=example.description,
                private_tests=(example.test,),
                fn_name=example.fn_name,
            )
            assert judge.judge(problem, example.code).verdict is Verdict.AC
            assert example.description not in statements


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_examples": 4}, "num_examples=4 must be 0 to 3"),
        ({"num_public_tests": -1}, "num_public_tests=-1 must not be negative"),
        ({"opening": "def"}, "opening='def' must be 'none', 'fence' or 'header'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        PromptTemplate(**arguments)


def test_text_is_asked_for_and_taken_as_it_is():
    template = TextTemplate(system="Be brief.", instruction="One word.")
    assert template.messages(STDIN) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Read a line. Print it.\nOne word."},
    ]
    assert TextTemplate().messages(STDIN) == [{"role": "user", "content": STDIN.description}]
    assert template.answer_prefix(STDIN) == ""
    fenced = "```python\nx\n``` "
    assert template.written_completion(STDIN, fenced) == template.answer(STDIN, fenced) == fenced


def test_a_template_says_which_solutions_it_can_show():
    assert PromptTemplate().languages == ("python3",)
    assert TextTemplate().languages == ("text",)
