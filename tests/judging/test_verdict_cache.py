import concurrent.futures

from spo_jax.judging import Judge, Limits, OutputComparison
from spo_jax.judging.cache import CachedJudge
from spo_jax.types import Judgement, Problem, TestCase, TestResult, Verdict

PROBLEM = Problem(id="set/p", name="p", description="", public_tests=(TestCase("1", "2"),))


class CountingJudge:
    def __init__(self, verdict=Verdict.WA):
        self.verdict = verdict
        self.programs = []

    def submit(self, problem, code, language="python3"):
        self.programs.append(code)
        future = concurrent.futures.Future()
        tests = (TestResult(verdict=self.verdict, cpu_secs=0.25, message="why"),)
        future.set_result(
            Judgement(verdict=self.verdict, tests=tests, num_tests=1, backend="b", layers=("x",))
        )
        return future


def test_same_program_is_judged_once_also_by_the_next_process(tmp_path):
    judge = CountingJudge()
    first = CachedJudge(judge, tmp_path / "verdicts.jsonl")
    expected = first.submit(PROBLEM, "code").result()
    assert first.submit(PROBLEM, "code").result() == expected
    first.close()
    second = CachedJudge(judge, tmp_path / "verdicts.jsonl")
    assert second.submit(PROBLEM, "code").result() == expected
    assert judge.programs == ["code"]
    assert (first.num_hits, second.num_hits) == (1, 1)


def test_other_program_tests_or_language_are_judged_anew(tmp_path):
    judge = CountingJudge()
    cache = CachedJudge(judge, tmp_path / "verdicts.jsonl")
    harder = Problem(id="set/q", name="q", description="", public_tests=(TestCase("1", "3"),))
    cache.submit(PROBLEM, "code").result()
    cache.submit(PROBLEM, "code ").result()
    cache.submit(harder, "code").result()
    cache.submit(PROBLEM, "code", "cpp").result()
    assert len(judge.programs) == 4


def test_judge_failures_are_not_remembered(tmp_path):
    judge = CountingJudge(Verdict.IE)
    cache = CachedJudge(judge, tmp_path / "verdicts.jsonl")
    cache.submit(PROBLEM, "code").result()
    cache.submit(PROBLEM, "code").result()
    assert len(judge.programs) == 2


def test_line_torn_by_a_crash_is_dropped_and_the_file_goes_on(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    judge = CountingJudge()
    cache = CachedJudge(judge, path)
    cache.submit(PROBLEM, "one").result()
    cache.submit(PROBLEM, "two").result()
    cache.close()
    text = path.read_text()
    path.write_text(text[: len(text) - 20])
    reopened = CachedJudge(judge, path)
    reopened.submit(PROBLEM, "one").result()
    reopened.submit(PROBLEM, "two").result()
    reopened.close()
    assert judge.programs == ["one", "two", "two"]
    third = CachedJudge(judge, path)
    third.submit(PROBLEM, "two").result()
    assert third.num_hits == 1


def test_another_judge_does_not_believe_what_the_first_one_said(tmp_path):
    judge = CountingJudge()
    for identity in ("limits 1 s", "limits 2 s", "limits 1 s"):
        judge.identity = identity
        cache = CachedJudge(judge, tmp_path / "verdicts.jsonl")
        cache.submit(PROBLEM, "code").result()
        cache.close()
    assert len(judge.programs) == 2


def test_identity_of_a_judge_names_what_verdicts_depend_on():
    def identity(**changes) -> str:
        with Judge(num_workers=1, **changes) as judge:
            return judge.identity

    identities = [
        identity(),
        identity(limits=Limits(cpu_secs=1)),
        identity(comparison=OutputComparison(ignore_case=True)),
        identity(backend="exec"),
        identity(stop_at_first_failure=False),
    ]
    assert len(set(identities)) == len(identities)
    assert identity() == identities[0]


def test_verdicts_of_others_of_the_run_are_known_and_their_torn_lines_left_alone(tmp_path):
    ours, theirs = tmp_path / "verdicts.jsonl", tmp_path / "verdicts-1.jsonl"
    judge = CountingJudge()
    first = CachedJudge(judge, theirs)
    expected = first.submit(PROBLEM, "code").result()
    first.close()
    with theirs.open("ab") as file:
        file.write(b'{"format": 2, "key": "being writ')
    before = theirs.read_bytes()
    second = CachedJudge(judge, ours, also=[theirs])
    assert second.submit(PROBLEM, "code").result() == expected
    second.close()
    assert judge.programs == ["code"]
    assert theirs.read_bytes() == before
    assert ours.read_bytes() == b""
