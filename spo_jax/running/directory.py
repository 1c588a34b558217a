"""One directory holds a run: configuration, metrics, data, evaluations, checkpoints, report.

A run is named by its directory. Starting it again goes on with it; starting another
configuration in it is refused, so that nothing is overwritten and no curve is a mixture.
"""

import fcntl
import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import spo_jax
from spo_jax.errors import UserError, writing

# May change from one attempt to the next: they do not change what an update computes.
_OPERATIONAL = re.compile(
    r"train\.(num_updates|checkpoint_every|evaluate_every)\b|train\.checkpoints = @"
    r"|JudgeSettings\.|CheckpointSettings\.(?!directory)"
    r"|ActorSettings\.(max_queued|max_pending_rounds|wait_limit_secs|when_alone"
    r"|heartbeat_secs|dead_after_secs|poll_secs)\b|MeshShape\.|train\.mesh = @"
    r"|EngineSettings\.(base_urls|api_key_file|policies_dir|max_concurrent|num_tries|\w+_secs)\b"
)
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "transformers")


class RunDirectory:
    """Paths of a run, its lock and its records.

    Attributes:
      path: of the directory.
      shared_url: where actors find what they need and put what they make; by default here.
    """

    def __init__(self, path: str, shared_url: str = ""):
        self.path = Path(path)
        self.shared_url = shared_url or str(self.path)
        self._lock: IO[str] | None = None

    @property
    def store_url(self) -> str:
        """Of the trajectory store."""
        return self.shared_url

    @property
    def policies(self) -> Path:
        return self.path / "policies"

    @property
    def references(self) -> Path:
        return self.path / "references"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def verdicts(self, host: int = 0) -> Path:
        """Verdicts of the judge of one of the run's processes."""
        return self.path / (f"verdicts-{host}.jsonl" if host else "verdicts.jsonl")

    def other_verdicts(self, host: int = 0) -> list[Path]:
        """Verdicts of the run's other processes, of this attempt or an earlier one."""
        return sorted({*self.path.glob("verdicts*.jsonl")} - {self.verdicts(host)})

    def evaluation(self, step: int) -> Path:
        """Samples and verdicts of the evaluation after `step` updates."""
        return self.path / "evaluations" / f"step_{step:08d}.jsonl"

    def remove_evaluations_after(self, step: int) -> None:
        """Removes evaluations of later updates than one."""
        for path in (self.path / "evaluations").glob("step_*.jsonl"):
            number = path.stem.removeprefix("step_")
            if number.isdigit() and int(number) > step:
                path.unlink()

    def open(self, config: str) -> None:
        """Claims the directory for this process and records its configuration.

        Args:
          config: text of `name = value` lines.

        Raises:
          UserError: another process runs in it, or it holds a run of another configuration.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"run_dir '{self.path}' is a file; it must be a directory")
        self.path.mkdir(parents=True, exist_ok=True)
        self._claim()
        saved = self.path / "config.gin"
        if saved.exists():
            _check_same_config(self.path, saved.read_text(encoding="utf-8"), config)
        _write_whole(saved, config)
        with (self.path / "attempts.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(_attempt()) + "\n")

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Writes a file of the run, whole or not at all."""
        _write_whole(self.path / name, json.dumps(values, indent=1) + "\n")

    def _claim(self) -> None:
        lock = (self.path / ".lock").open("w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise UserError(
                f"run_dir '{self.path}' is in use by another process; stop it or name another one"
            ) from None
        self._lock = lock


def _bindings(config: str) -> set[str]:
    lines = (line.strip() for line in config.replace("\\\n", " ").splitlines())
    return {" ".join(line.split()) for line in lines if line and not line.startswith("#")}


def _check_same_config(path: Path, saved: str, config: str) -> None:
    before, now = _bindings(saved), _bindings(config)
    gone = sorted(line for line in before - now if not _OPERATIONAL.match(line))
    new = sorted(line for line in now - before if not _OPERATIONAL.match(line))
    if gone or new:
        was = gone[0] if gone else "(not there)"
        wanted = new[0] if new else "(not there)"
        raise UserError(
            f"run_dir '{path}' holds a run of another configuration: it has '{was}', this command "
            f"'{wanted}' ({max(len(gone), len(new))} differ); name another run_dir"
        )


def _attempt() -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "spo_jax": spo_jax.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions,
    }


def _commit() -> str | None:
    """The checkout's commit, with '+' when files differ from it; None outside a checkout."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _write_whole(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with writing(path, len(text)):
        partial.write_text(text, encoding="utf-8")
    partial.replace(path)
