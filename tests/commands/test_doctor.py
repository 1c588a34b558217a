import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from spo_jax import main
from spo_jax.commands import doctor
from spo_jax.judging import SandboxReport

WORKING = SandboxReport(is_working=True, backend="zygote", layers=("seccomp",), python="/p")


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A machine where everything works; each test breaks one thing."""
    monkeypatch.setattr(doctor, "probe_sandbox", lambda **_: WORKING)
    monkeypatch.setattr(doctor, "available_memory_bytes", lambda: int(16e9))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: doctor_usage(50e9))
    monkeypatch.setattr(doctor.subprocess, "run", answer('[["cpu", "cpu"]]\n'))
    monkeypatch.setenv("SPO_CACHE", str(tmp_path))


def doctor_usage(free):
    return type("Usage", (), {"free": free})()


def answer(stdout, returncode=0, stderr=""):
    done = subprocess.CompletedProcess([], returncode, stdout, stderr)
    return lambda *args, **kwargs: done


def diagnose(capsys):
    """Exit status and the checks by name."""
    status = main.run(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] == (status == 0)
    return status, {check["name"]: check for check in report["checks"]}


def test_a_complete_machine_is_ready(capsys):
    status, checks = diagnose(capsys)
    assert status == 0
    assert {"python", "packages", "devices", "sandbox", "smollm2", "disk", "memory"} <= set(checks)
    assert f"jax {importlib.metadata.version('jax')}" in checks["packages"]["detail"]
    assert checks["devices"]["detail"] == "1 x cpu (cpu)"
    assert checks["sandbox"]["detail"].startswith("zygote (seccomp)")
    assert checks["sandbox exec"]["detail"] == "works too"
    assert checks["C++"]["status"] in ("ok", "optional")


def test_text_says_what_to_do(capsys, monkeypatch):
    broken = SandboxReport(is_working=False, problem="bwrap not found", advice="apt install it")
    monkeypatch.setattr(doctor, "probe_sandbox", lambda **_: broken)
    assert main.run(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "missing  sandbox          bwrap not found\n" in text
    assert "-> apt install it\n" in text
    assert "cannot run yet" in text


def test_no_devices_are_reported_with_jaxs_reason(capsys, monkeypatch):
    failed = answer("", returncode=1, stderr="Traceback\nRuntimeError: no TPU for you\n")
    monkeypatch.setattr(doctor.subprocess, "run", failed)
    status, checks = diagnose(capsys)
    assert status == 1
    assert checks["devices"]["status"] == "missing"
    assert "no TPU for you" in checks["devices"]["detail"]


def test_hanging_devices_are_reported(capsys, monkeypatch):
    def hang(*args, **kwargs):
        raise subprocess.TimeoutExpired("python", 120)

    monkeypatch.setattr(doctor.subprocess, "run", hang)
    status, checks = diagnose(capsys)
    assert status == 1
    assert "did not answer" in checks["devices"]["detail"]


def test_unused_gpu_names_the_extra(capsys, monkeypatch):
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    status, checks = diagnose(capsys)
    assert status == 0
    assert checks["devices"]["status"] == "warning"
    assert "install.sh gpu" in checks["devices"]["advice"]


def test_many_devices_are_counted_by_kind(capsys, monkeypatch):
    devices = [["tpu", "TPU v5e"]] * 4
    monkeypatch.setattr(doctor.subprocess, "run", answer(f"a warning\n{json.dumps(devices)}\n"))
    assert diagnose(capsys)[1]["devices"]["detail"] == "4 x tpu (TPU v5e)"


def test_packages_absent_or_outside_the_tested_range(capsys, monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "optax":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.1.0" if name == "flax" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(doctor, "_extras", lambda: iter(()))
    status = main.run(["doctor", "--json"])
    rows = json.loads(capsys.readouterr().out)["checks"]
    packages = {row["status"]: row["detail"] for row in rows if row["name"] == "packages"}
    assert status == 1
    assert packages["missing"] == "not installed: optax"
    assert "flax 0.1.0 (wanted" in packages["warning"]


def test_little_disk_is_missing_and_little_memory_a_warning(capsys, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: doctor_usage(1e9))
    monkeypatch.setattr(doctor, "available_memory_bytes", lambda: int(6e9))
    status, checks = diagnose(capsys)
    assert status == 1
    assert (checks["disk"]["status"], checks["disk"]["detail"]) == ("missing", "1.0 GB free here")
    assert (checks["memory"]["status"], checks["memory"]["detail"]) == (
        "warning",
        "6.0 GB available",
    )


def test_extras_are_optional_and_named_by_what_is_absent(capsys):
    checks = diagnose(capsys)[1]
    assert checks["extra [test]"]["status"] == "ok"
    assert checks["extra [tpu]"]["status"] == "optional"
    assert checks["extra [tpu]"]["detail"] == "not installed: libtpu"


@pytest.mark.parametrize(
    "files, expected",
    [
        ({}, 8000 * 1024),
        ({"memory.max": "max\n", "memory.current": "5\n"}, 8000 * 1024),
        ({"memory.max": "5000\n", "memory.current": "1000\n"}, 4000),
        ({"memory.limit_in_bytes": "700\n", "memory.usage_in_bytes": "300\n"}, 400),
    ],
)
def test_available_memory_respects_the_cgroup(monkeypatch, files, expected):
    monkeypatch.undo()

    def read(path: Path) -> str:
        if path.name == "meminfo":
            return "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"
        if path.name not in files:
            raise FileNotFoundError(path)
        return files[path.name]

    assert doctor.available_memory_bytes(read) == expected


def test_the_device_question_is_answered_by_jax():
    code = doctor._LIST_DEVICES
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert json.loads(done.stdout)[0][0] == "cpu"
