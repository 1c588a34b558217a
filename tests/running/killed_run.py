"""Kills a training run by SIGKILL at random moments, resumes it, and compares the end.

    python tests/running/killed_run.py --kills=50 --seed=0

A tiny run (seconds) is done once undisturbed. Then it is started again in new directories, and
every attempt is killed at a random moment until so many attempts were killed: one in ten while it
starts, the others uniformly over the time from restoring to the end, saves and deletions included.
An attempt that gets to the end before its moment finishes its directory: what it holds must equal
the undisturbed run bit for bit (parameters, optimizer, the host's state, metrics but for the clock,
trajectories, annotations, evaluations). Attempts are forked from one process that has imported
everything, and share one cache of compiled programs.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorflow_datasets  # noqa: F401  read late by the problem sets; here so that it is forked
import transformers  # noqa: F401  likewise by the tokenizers

import spo_jax.problems.tasks
from spo_jax.acting.evaluator import EvaluationSettings
from spo_jax.commands import gin_config
from spo_jax.learning import CheckpointSettings
from spo_jax.models.testing import save_uniform_model
from spo_jax.objectives import SoftPolicyOptimization
from spo_jax.problems.letters import ALPHABET
from spo_jax.reporting.metrics import read_metrics
from spo_jax.running.configurables import CONFIGURABLES
from spo_jax.running.session import Session
from spo_jax.running.settings import BatchSettings, MeshShape, ModelSource
from spo_jax.train import train
from spo_jax.trajectories import ReplayConfig, TrajectoryStore

TINY_TASK = Path(spo_jax.__file__).parents[1] / "configs" / "runs" / "tiny_task.gin"
NUM_UPDATES = 12


STARTING_FRACTION = 0.1


def train_tiny(run_dir: Path, model: Path, restoring: int) -> None:
    """A run that keeps something of every kind: running values, references, best checkpoints.

    Writes a byte to the file descriptor `restoring` when everything is imported and built.
    """
    restore = Session.restore

    def telling(self: Session, seed: int) -> int:
        os.write(restoring, b"r")
        return restore(self, seed)

    Session.restore = telling  # type: ignore[method-assign]
    settings = gin_config.configured_arguments(train, CONFIGURABLES, [str(TINY_TASK)], [])
    settings |= {
        "policy": ModelSource(path=str(model)),
        "objective": SoftPolicyOptimization(beta=0.2, link="squared", baseline="running"),
        "replay": ReplayConfig(offline_fraction=0.5),
        "batch": BatchSettings(
            problems_per_update=4,
            completions_per_problem=4,
            row_lengths=(48,),
            tokens_per_micro_batch=192,
        ),
        "evaluation": EvaluationSettings(
            num_problems=4, num_samples=4, ks=(1,), max_completion_tokens=6
        ),
        "mesh": MeshShape(data=1),
        "num_updates": NUM_UPDATES,
        "policy_sync_every": 2,
        "reference_update_every": 5,
        "evaluate_every": 4,
        "checkpoint_every": 1,
        "checkpoints": CheckpointSettings(keep=2, keep_best=1, keep_every=6),
    }
    train(str(run_dir), **settings)


class Harness:
    """Attempts at runs below one folder. They are forked: a harness never computes itself."""

    def __init__(self, folder: Path, seed: int):
        self.folder = folder
        self._model = folder / "model"
        self._log = folder / "log"
        self._rng = random.Random(seed)

    def fork(self, work: Callable[[], Any]) -> int:
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            jax.config.update("jax_disable_most_optimizations", True)
            jax.config.update("jax_compilation_cache_dir", str(self.folder / "compiled"))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
            jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def finish(self, child: int, what: str) -> None:
        """Waits for a child. Raises AssertionError with its output where it failed."""
        _, status = os.waitpid(child, 0)
        assert status == 0, f"{what}: status {status}\n{self._log.read_text()[-6000:]}"

    def run_whole(self) -> tuple[Path, float, float]:
        """The undisturbed run, done twice: cold, and for its times warm.

        Returns its directory, the seconds until it restores and the seconds from then on.
        """
        self.finish(self.fork(lambda: save_uniform_model(self._model, ALPHABET)), "the model")
        for name in ("cold", "whole"):
            run_dir = self.folder / name / "run"  # the directory's name is part of every id
            start = time.monotonic()
            child, restoring = self._start(run_dir)
            os.read(restoring, 1)
            middle = time.monotonic()
            os.close(restoring)
            self.finish(child, name)
        return run_dir, middle - start, time.monotonic() - middle

    def attempt(self, run_dir: Path, starting: float, running: float) -> str | None:
        """Starts or resumes a run; returns when it was killed, None if it finished."""
        child, restoring = self._start(run_dir)
        if self._rng.random() < STARTING_FRACTION:
            moment, what = self._rng.uniform(0.0, starting), "start"
        else:
            os.read(restoring, 1)
            moment, what = self._rng.uniform(0.0, running), "run"
        os.close(restoring)
        deadline = time.monotonic() + moment
        while time.monotonic() < deadline:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                self.finish(child, f"an attempt at {run_dir}")
                return None
            time.sleep(min(0.002, max(0.0, deadline - time.monotonic())))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert status == 0, f"{run_dir}: status {status}\n{self._log.read_text()[-6000:]}"
            return None
        return f"{what}+{moment:.3f}"

    def _start(self, run_dir: Path) -> tuple[int, int]:
        """A child that trains, and the descriptor to read a byte from when it restores."""
        read_end, write_end = os.pipe()
        child = self.fork(lambda: train_tiny(run_dir, self._model, write_end))
        os.close(write_end)
        return child, read_end

    def digest(self, run_dir: Path) -> dict[str, Any]:
        target = self.folder / "digest.json"
        self.finish(
            self.fork(lambda: target.write_text(json.dumps(digest(run_dir)))),
            f"digest of {run_dir}",
        )
        return json.loads(target.read_text())

    def kill_and_compare(self, num_kills: int) -> int:
        """Returns the number of runs that were brought to their end."""
        whole, starting, running = self.run_whole()
        print(f"undisturbed: {starting:.1f} s until it restores, {running:.1f} s from then on")
        wanted, killed, num_runs = self.digest(whole), 0, 0
        while killed < num_kills:
            run_dir = self.folder / f"killed{num_runs}" / "run"
            moments: list[str] = []
            while (moment := self.attempt(run_dir, starting, running)) is not None:
                moments.append(moment)
            killed += len(moments)
            found = self.digest(run_dir)
            differing = [name for name in wanted if found[name] != wanted[name]]
            shown = ", ".join(moments)
            print(f"killed {killed}: run {num_runs} at {shown} s", flush=True)
            assert not differing, f"run {num_runs}, killed at {shown} s, differs in {differing}"
            shutil.rmtree(run_dir.parent)
            num_runs += 1
        return num_runs


def digest(run_dir: Path) -> dict[str, Any]:
    """What a finished run must have in common with every other."""
    last = run_dir / "checkpoints" / f"{NUM_UPDATES:08d}"
    arrays = ocp.PyTreeCheckpointer().restore(last / "state")
    store = TrajectoryStore(str(run_dir))
    evaluations = sorted((run_dir / "evaluations").iterdir())
    return {
        "steps": sorted(path.name for path in last.parent.iterdir()),
        "best": json.loads((last.parent / "best.json").read_text()),
        "arrays": {name: _sha(np.asarray(array).tobytes()) for name, array in arrays.items()},
        "host": json.loads((last / "host.json").read_text()),
        "policy": _sha(
            (run_dir / "policies" / str(NUM_UPDATES) / "model.safetensors").read_bytes()
        ),
        "metrics": [
            {name: value for name, value in record.items() if not name.startswith("time")}
            for record in read_metrics(run_dir)
        ],
        "trajectories": sorted(repr(item) for item in store.read()),
        "ref_logprobs": {
            reference: _sha(
                repr(store.ref_logprobs(reference, sorted(store.index().ids()))).encode()
            )
            for reference in store.reference_ids()
        },
        "damaged": store.verify(),
        "evaluations": {path.name: _sha(path.read_bytes()) for path in evaluations},
    }


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        num_runs = Harness(Path(folder), args.seed).kill_and_compare(args.kills)
    print(f"{args.kills} kills or more: {num_runs} runs ended in the same bits")


if __name__ == "__main__":
    main()
