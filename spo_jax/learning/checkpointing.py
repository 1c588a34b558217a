"""Checkpoints of the learner's state and of the host's, committed together, beside the training.

A checkpoint is a directory named by its step; `checkpoint_files` says what lies in it. `save`
returns when the state is copied to the host, so that the next update may destroy it; a thread
writes the files, and the manifest when all of them are durable. The manifest is the commit, so
nothing has to be renamed and a bucket serves as well as a disk. A directory without one is what a
killed process left behind: it is reported by name and passed over. So is one whose bytes are not
those that were written.

Several processes make the same calls in the same order. Each writes and checks its own part of the
arrays; process 0 writes the rest, deletes, and decides what is usable.
"""

import json
import logging
import os
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
from etils import epath

from spo_jax.errors import UserError, writing
from spo_jax.learning import checkpoint_files as files
from spo_jax.learning.agreement import Agreement
from spo_jax.learning.checkpoint_arrays import (
    ArrayFiles,
    check_arrays,
    describe,
    saved_dtypes,
    stored_arrays,
    with_dtypes,
)
from spo_jax.learning.checkpoint_files import CheckpointError, DamagedError, saving_error
from spo_jax.learning.retention import BestSteps, CheckpointSettings, recorded_steps

BEST = "best.json"

_log = logging.getLogger(__name__)


class Restored(NamedTuple):
    """What `Checkpointer.restore_latest` found.

    Attributes:
      state: in the structure and with the shardings of the template.
      host_state: as given to `save`.
      step: of the checkpoint.
      passed_over: one line for each newer checkpoint that could not be used.
    """

    state: Any
    host_state: dict[str, Any]
    step: int
    passed_over: tuple[str, ...]


class Checkpointer:
    """Saves and restores under one directory.

    Args:
      directory: local, mounted or a bucket URL; created when first saved to.
      settings: which checkpoints stay; whether `save` waits for the files.
    """

    def __init__(self, directory: str, settings: CheckpointSettings = CheckpointSettings()):
        is_url = "://" in directory
        self.directory = epath.Path(directory if is_url else os.path.abspath(directory))
        self._settings = settings
        self._arrays = ArrayFiles()
        self._agreement = Agreement(f"checkpoints {self.directory}")
        self._agreement_on_best = Agreement(f"best of {self.directory}")  # beside the saving thread
        self._best = self._recorded_best()
        self._lock = threading.Lock()  # of what the saving thread changes
        self._kept: set[int] = set()
        self._damaged: set[int] = set()  # only their bytes tell
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._uncommitted: int | None = None  # the step being written

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return [step for step in self._found() if self._problem(step) is None]

    def kept(self) -> set[int]:
        """Steps that a resumed run may go back to: those on disk and the one being written."""
        with self._lock:
            return set(self._kept)

    def host_state(self, step: int) -> dict[str, Any]:
        """What was saved as `host_state` with a complete checkpoint."""
        return json.loads((self._path(step) / files.HOST).read_text())

    def save(self, step: int, state: Any, host_state: Mapping[str, Any]) -> epath.Path:
        """Starts to save a checkpoint, after the one before is done. Returns its directory.

        When it is committed, what `CheckpointSettings` does not keep is deleted. A step that is
        already committed stays as it is.

        Args:
          step: names the checkpoint.
          state: a pytree of arrays; typed PRNG keys are fine. May be donated after the call.
          host_state: what `json` can hold; floats keep every bit. Encoded before the call returns.

        Raises:
          FullDiskError, CheckpointError: this or the checkpoint before could not be saved.
        """
        self.wait()
        path = self._path(step)
        encoded_host = json.dumps(dict(host_state), indent=1)
        arrays = stored_arrays(state)
        if not self._agreement.first(self._make_room(step) if _is_first_process() else None):
            return path
        num_bytes = sum(array.nbytes for array in arrays.values())
        with self._lock:
            self._kept.add(step)
            self._uncommitted = step
        try:
            self._arrays.save(path / files.STATE, arrays)
        except Exception as error:
            told = saving_error(path, num_bytes, error)
            self._give_up(step)
            raise told from error
        self._thread = threading.Thread(
            target=self._finish,
            args=(step, describe(arrays), encoded_host, num_bytes),
            name=f"checkpoint {step}",
            daemon=True,
        )
        self._thread.start()
        if not self._settings.asynchronous:
            self.wait()
        return path

    def wait(self) -> None:
        """Waits until the last checkpoint is committed. One process may do so without the others.

        Raises:
          FullDiskError, CheckpointError: it could not be saved.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            self._best = self._recorded_best()  # without what was to be committed
            raise error

    def finish(self) -> None:
        """Waits as `wait` does, and deletes what a best since the last save made superfluous."""
        self.wait()
        if kept := self.kept():
            self._leave_only(max(kept))

    def is_best(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Whether an evaluation of a step is among the best so far.

        Raises:
          UserError: it does not have the metric.
        """
        if not self._settings.keep_best:
            return False
        is_best = self._best.would_take(step, self._settings.value(metrics))
        return self._agreement_on_best.first(is_best)

    def record_best(self, step: int, metrics: Mapping[str, float]) -> None:
        """Notes that a saved step is among the best; in `best.json` when it is committed."""
        with self._lock:
            self._best.add(step, self._settings.value(metrics))
            if _is_first_process() and self._uncommitted != step:
                self._best.write()

    def best_steps(self) -> list[int]:
        """Steps of the best checkpoints, best first."""
        with self._lock:
            return self._best.steps

    def recorded_best(self) -> list[int]:
        """Steps in `best.json`, best first, by whatever metric the run compared them."""
        return recorded_steps(self.directory / BEST)

    def restore_latest(self, template: Any) -> Restored | None:
        """Restores the newest usable checkpoint, or returns None where none was ever committed.

        Args:
          template: the state as `jax.ShapeDtypeStruct`s with shardings (`Learner.abstract_state`).

        Raises:
          UserError: the checkpoint is of another model or optimizer; or checkpoints were committed
            and all are damaged, so that starting over would lose a run in silence.
        """
        self.wait()
        found = [[step, self._problem(step)] for step in self._found()]
        found = self._agreement.first(found)
        passed_over: list[str] = []
        for step, problem in reversed(found):
            try:
                if problem is not None:
                    raise DamagedError(problem)
                state = self._restore(self._path(step), template)
            except DamagedError as damage:
                self._damaged.add(step)
                passed_over.append(f"checkpoint {self._path(step)} is passed over: {damage}")
                _log.warning(passed_over[-1])
                continue
            self._take_up(step)
            return Restored(state, self.host_state(step), step, tuple(passed_over))
        if any((self._path(step) / files.MANIFEST).exists() for step, _ in found):
            raise UserError(
                "no checkpoint can be restored; move the directory away to start over. "
                + "; ".join(passed_over)
            )
        return None

    def restore_params(self, step: int, template: Any) -> Any:
        """Restores the policy's parameters of a checkpoint without the rest of its state.

        Args:
          step: of a complete checkpoint.
          template: parameter tree of `jax.ShapeDtypeStruct`s with shardings; their dtypes do not
            matter: parameters come as they were saved.

        Raises:
          UserError: the checkpoint is damaged, or of another model.
        """
        path = self._path(step)
        try:
            dtypes = saved_dtypes(files.read_manifest(path)["arrays"])
            wanted = with_dtypes({"params": template}, dtypes)
            return self._restore(path, wanted, prefix="params.")["params"]
        except DamagedError as damage:
            raise UserError(f"checkpoint {path} cannot be used: {damage}") from None

    def _restore(self, path: epath.Path, template: Any, prefix: str = "") -> Any:
        """What the template asks for, of the arrays whose names begin with a prefix.

        Raises:
          DamagedError: on all processes, or on none.
          UserError: it is of another state.
        """
        self._raise_together(self._changed_file(path, template, prefix))
        state, problem = None, None
        try:
            state = self._arrays.restore(path / files.STATE, template)
        except (ValueError, OSError, KeyError) as error:
            problem = f"its files cannot be read ({type(error).__name__}: {str(error)[:200]})"
        self._raise_together(problem)
        return state

    def _changed_file(self, path: epath.Path, template: Any, prefix: str) -> str | None:
        """What is wrong with this process's share of the files."""
        try:
            manifest = files.read_manifest(path)
            files.check_sizes(path, manifest)
        except DamagedError as damage:
            return str(damage)
        check_arrays(path, manifest["arrays"], template, prefix)
        return files.changed_file(path, manifest, _share(list(manifest["files"])))

    def _raise_together(self, problem: str | None) -> None:
        """Raises DamagedError on every process if one has a problem."""
        for told in self._agreement.gather(problem):
            if told is not None:
                raise DamagedError(told)

    def _take_up(self, step: int) -> None:
        """Goes on from a restored step; ends the deleting that a killed process began."""
        if _is_first_process():
            usable = [there for there in self.steps() if there <= step]
            with self._lock:
                self._kept = set(usable)
                self._best.keep_only(usable)
        self._leave_only(step)

    def _leave_only(self, newest: int) -> None:
        """Deletes what is not to stay up to the newest, on all processes together."""
        kept = self._agreement.first(self._delete_old(newest) if _is_first_process() else None)
        with self._lock:
            self._kept = set(kept)

    def _make_room(self, step: int) -> bool:
        """Clears the way for a step; False if it is committed already."""
        path = self._path(step)
        if path.exists():
            if self._problem(step) is None:
                return False
            files.delete(path)
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        self._damaged.discard(step)
        return True

    def _finish(
        self, step: int, described: Mapping[str, str], encoded_host: str, num_bytes: int
    ) -> None:
        """Waits for the arrays and commits; runs in a thread."""
        path = self._path(step)
        try:
            sums = self._checksums_of_arrays(path, num_bytes)
            failure, kept = None, None
            if _is_first_process():
                try:
                    kept = self._commit(step, described, encoded_host, sums)
                except Exception as error:
                    failure = error
            said, kept = self._agreement.first([failure and str(failure), kept])
            if said is not None:
                raise failure if failure is not None else CheckpointError(said)
            with self._lock:
                self._kept = set(kept)
        except Exception as error:
            self._error = saving_error(path, num_bytes, error)
            self._give_up(step)

    def _checksums_of_arrays(self, path: epath.Path, num_bytes: int) -> dict[str, int]:
        """Waits until all processes have written; each reads its share back."""
        failure = None
        sums: dict[str, int] = {}
        try:
            self._arrays.wait()
            sums = files.checksums(path, _share(list(files.file_sizes(path))))
        except Exception as error:
            failure = error
        replies = self._agreement.gather([None if failure is None else str(failure), sums])
        for process, (problem, _) in enumerate(replies):
            if problem is not None:
                if failure is not None:
                    raise failure
                raise CheckpointError(f"process {process}: {problem}")
        return {name: value for _, found in replies for name, value in found.items()}

    def _commit(
        self, step: int, described: Mapping[str, str], encoded_host: str, sums: dict[str, int]
    ) -> list[int]:
        """Makes the checkpoint usable. Returns the steps there are after it."""
        path = self._path(step)
        files.write_whole(path / files.HOST, encoded_host)
        sums |= files.checksums(path, [files.HOST])
        files.write_manifest(path, described, files.file_sizes(path), sums)
        return self._delete_old(step)

    def _delete_old(self, newest: int) -> list[int]:
        """Deletes what is not to stay of the checkpoints up to the newest. Returns the others.

        The newest is committed: nothing that goes wrong here is an error (buckets have their own).
        """
        try:
            self._write_best(newest)
            steps = [step for step in self._found() if step <= newest]
            usable = [step for step in steps if self._problem(step) is None]
        except Exception as error:
            _log.warning("old checkpoints in %s stay for now: %s", self.directory, error)
            return sorted(self.kept() | {newest})
        stay = self._settings.stay(usable, self.best_steps())
        for step in steps:
            if step not in stay:
                try:
                    files.delete(self._path(step))
                except Exception as error:
                    _log.warning("cannot delete checkpoint %s: %s", self._path(step), error)
        return sorted(stay)

    def _write_best(self, committed: int) -> None:
        """Names the committed step in `best.json`, before what was the best is deleted."""
        with self._lock:
            if self._uncommitted == committed:
                self._uncommitted = None
            if committed in self._best.steps:
                self._best.write()

    def _recorded_best(self) -> BestSteps:
        return BestSteps(self._settings, self.directory / BEST)

    def _give_up(self, step: int) -> None:
        """Removes the remains of a save that failed: they may be what fills the disk."""
        with self._lock:
            self._kept.discard(step)
        try:
            if _is_first_process() and self._path(step).exists():
                files.delete(self._path(step))
        except OSError as error:
            _log.warning("cannot remove the remains in %s: %s", self._path(step), error)

    def _path(self, step: int) -> epath.Path:
        return self.directory / f"{step:08d}"

    def _found(self) -> list[int]:
        """Steps of all checkpoint directories, complete or not, oldest first."""
        if not self.directory.exists():
            return []
        names = (path.name for path in self.directory.iterdir())
        return sorted(int(name) for name in names if name.isdecimal())

    def _problem(self, step: int) -> str | None:
        """Why a checkpoint cannot be used, judged without reading its arrays, or None."""
        if step in self._damaged:
            return "it is damaged"
        try:
            files.check_sizes(self._path(step), files.read_manifest(self._path(step)))
        except DamagedError as damage:
            return str(damage)
        return None


def _is_first_process() -> bool:
    return jax.process_index() == 0


def _share(names: list[str]) -> list[str]:
    """This process's part of what all of them do together."""
    return names[jax.process_index() :: jax.process_count()]
