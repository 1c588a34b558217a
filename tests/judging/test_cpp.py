"""C++17: compiled once, run many times, on both backends."""

import shutil

import pytest

from spo_jax.errors import UserError
from spo_jax.judging import compilation

ADD = "#include <iostream>\nint main() { long long a, b; std::cin >> a >> b; std::cout << a + b; }"
SUM = ("3 4\n", "7\n")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")


@pytest.fixture
def run_cpp(judge, make_problem):
    def run_cpp(code: str, *tests: tuple[str, str], **fields):
        return judge.judge(make_problem(*(tests or [("", "")]), **fields), code, "cpp")

    return run_cpp


@needs_compiler
def test_one_binary_passes_many_tests(run_cpp):
    judgement = run_cpp(ADD, SUM, ("1 1", "2"), (f"{10**18} 1", f"{10**18 + 1}"))
    assert [test.verdict for test in judgement.tests] == ["AC"] * 3, judgement.message
    assert all(test.peak_bytes > 0 for test in judgement.tests)


ENDINGS = {
    "exit status": ("int main() { return 3; }", "RE", "exit status 3"),
    "abort": ("#include <cstdlib>\nint main() { abort(); }", "RE", "killed by SIGABRT"),
    "loop": ("int main() { for (volatile int i = 0;;) ++i; }", "TLE", "limit 0.3 s"),
    "memory": (
        "#include <vector>\nint main() { std::vector<int> v; for (;;) v.push_back(1); }",
        "MLE",
        "limit 128 MiB",
    ),
    "refused memory": (
        "#include <vector>\nint main() { std::vector<char> v(1L << 40); return v[5]; }",
        "MLE",
        "limit 128 MiB",
    ),
    "output": ('#include <cstdio>\nint main() { for (;;) puts("x"); }', "OLE", "4194304 bytes"),
    "endless recursion": (
        "int f(int n) { volatile char b[1000]; b[0] = n; return f(n + 1) + b[0]; }\n"
        "int main() { return f(0); }",
        "MLE",  # the stack is allowed more than the 128 MiB of this judge
        "limit 128 MiB",
    ),
}


@needs_compiler
@pytest.mark.parametrize("name", ENDINGS)
def test_how_programs_end(run_cpp, processes_left, name):
    code, verdict, message = ENDINGS[name]
    judgement = run_cpp(code, ("", ""), time_limit_secs=0.3)
    if name == "output":  # may meet the time limit before four megabytes are there
        assert judgement.verdict in (verdict, "TLE")
    else:
        assert judgement.verdict == verdict, judgement.message
        assert message in judgement.message
    assert processes_left() == {}


BOMBS = {
    "no C++": "def f():",
    "includes of itself": '#include __FILE__\n#include "/dev/stdin"\n',
    "an endless file": '#include "/dev/zero"\n',
    "templates": (
        "template <int N> struct A : A<N - 1>, A<N - 2> {};\n"
        "template <int N, int M> struct B { B<N, M - 1> x; B<N - 1, M> y; };\nB<900, 900> b;\n"
    ),
    "a huge binary": "char x[1L << 30] = {1};\nint main() { return x[5]; }",
    "host files": '#include "/etc/passwd"\nint main() {}',
}


@needs_compiler
@pytest.mark.parametrize("name", BOMBS)
def test_compile_bombs_are_compile_errors(run_cpp, processes_left, name):
    judgement = run_cpp(BOMBS[name])
    assert (judgement.verdict, judgement.tests) == ("CE", ()), judgement.message
    assert "root:" not in judgement.message
    assert processes_left() == {}
    assert run_cpp(ADD, SUM).verdict == "AC"


CONTAINED = {
    "fork": "return fork() == -1 ? 7 : 0;",
    "exec": 'execl("/bin/sh", "sh", "-c", "true", (char *)0); return 7;',
    "exec of itself by the descriptor that started it": (
        "char *none[] = {0}; syscall(322, 200, \"\", none, none, 0x1000); return 7;"
    ),
    "descriptors": "for (int n = 3; n < 999; ++n) if (fcntl(n, F_GETFD) != -1) return n; return 7;",
    "signals": "return kill(getppid(), 9) == -1 && kill(-1, 9) == -1 ? 7 : 0;",
    "network": "return socket(AF_INET, SOCK_STREAM, 0) == -1 ? 7 : 0;",
    "files": 'return open("/etc/passwd", O_RDONLY) == -1 ? 7 : 0;',
    "compiler": 'return access("/usr/bin/as", F_OK) == -1 ? 7 : 0;',
    "tracing": "return ptrace(PTRACE_ATTACH, getppid(), 0, 0) == -1 ? 7 : 0;",
}  # fmt: skip
_HEADERS = "fcntl.h signal.h sys/ptrace.h sys/socket.h sys/syscall.h unistd.h"


@needs_compiler
@pytest.mark.parametrize("name", CONTAINED)
def test_contained(run_cpp, name):
    headers = "\n".join(f"#include <{header}>" for header in _HEADERS.split())
    judgement = run_cpp(f"{headers}\nint main() {{ {CONTAINED[name]} }}")
    assert judgement.message == "exit status 7"


@needs_compiler
def test_threads_run(run_cpp):
    code = (
        "#include <iostream>\n#include <thread>\nint main() { int a, b; std::cin >> a >> b;\n"
        "std::thread t([&] { std::cout << a + b; }); t.join(); }"
    )
    assert run_cpp(code, SUM).verdict == "AC"


def test_call_style_is_refused(judge, make_problem):
    with pytest.raises(UserError, match=r"calls the function 'f'.*'cpp' works for .* input only"):
        judge.submit(make_problem(("[]", "7"), fn_name="f"), ADD, "cpp")


def test_without_a_compiler_the_refusal_says_what_to_install(judge, make_problem, monkeypatch):
    monkeypatch.setattr(compilation.shutil, "which", lambda *_, **__: None)
    with pytest.raises(UserError, match=r"no C\+\+ compiler is installed.*apt-get install g\+\+"):
        judge.submit(make_problem(SUM), ADD, "cpp")
