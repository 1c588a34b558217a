import os
import platform
import subprocess
import sys

import pytest

from spo_jax.commands.huge_pages import restart_with_huge_pages

SCRIPT = """
import os, sys
from spo_jax.commands.huge_pages import restart_with_huge_pages
print("start", flush=True)
restart_with_huge_pages()
print(os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""


def run(**environment):
    kept = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    command = [sys.executable, "-c", SCRIPT, "a", "--b=c d"]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own setting")
def test_the_same_command_starts_once_more():
    assert run() == ["start", "start", "glibc.malloc.hugetlb=1 ['a', '--b=c d']"]


@pytest.mark.parametrize("value", ["", "glibc.malloc.arena_max=1"])
def test_a_setting_of_ones_own_is_left_alone(value):
    assert run(GLIBC_TUNABLES=value) == ["start", f"{value} ['a', '--b=c d']"]


def test_nothing_happens_elsewhere(monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    restart_with_huge_pages()
    assert "GLIBC_TUNABLES" not in os.environ
