"""launch/run.sh and what it starts, with a `gcloud` that notes its arguments and plays a slice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch"
# Files beside it are the world: `state` of the slice, `queued` of its request, `attempts` (one
# line an attempt: what the workers' logs end with, and the state that the slice is left in).
GCLOUD = """#!/usr/bin/env bash
cd "$(dirname "$0")" || exit 1
printf '%s\\n' "$*" >>calls
case "$*" in
  "config get-value core/project") echo "${FAKE_PROJECT-(unset)}" ;;
  "config get-value compute/zone") echo "${FAKE_ZONE-(unset)}" ;;
  *queued-resources\\ describe*) cat queued || exit 1 ;;
  *queued-resources\\ create*) echo ACTIVE >queued; echo READY >state ;;
  *queued-resources\\ delete*) rm -f queued state ;;
  *tpu-vm\\ create*) echo READY >state ;;
  *tpu-vm\\ describe*) cat state || exit 1 ;;
  *on_worker.sh\\ stop*) echo stopped >stopped ;;
  *on_worker.sh\\ train*)
    read -r line left <attempts
    sed -i 1d attempts
    for word in "$@"; do
      if [[ $word == --output-directory=* ]]; then
        for worker in 0 1; do
          printf 'loss 1.0\\n[worker] exit status %s\\n' "$line" >"${word#*=}/$worker.log"
        done
      fi
    done
    [[ $line != hang ]] || while [[ ! -e stopped ]]; do sleep 0.05; done
    [[ $left == READY ]] || { rm -f state; echo SUSPENDED >queued; }
    ;;
esac
"""


@pytest.fixture
def cloud(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "gcloud").write_text(GCLOUD)
    (folder / "gcloud").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("SPO_TPU_POLL_SECS", "0")
    return folder


def run(*options, **kwargs):
    command = ["bash", str(LAUNCH / "run.sh"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **kwargs)


def on_slice(tmp_path, *options):
    return run(*SLICE, f"--log_dir={tmp_path}/logs", *options)


def calls(cloud, containing):
    return [line for line in (cloud / "calls").read_text().splitlines() if containing in line]


def play(cloud, *attempts, state="READY"):
    (cloud / "attempts").write_text("".join(f"{attempt}\n" for attempt in attempts))
    if state:
        (cloud / "state").write_text(f"{state}\n")
        (cloud / "queued").write_text("ACTIVE\n")


SLICE = ("--tpu=pod", "--zone=z", "--project=p", "--run_dir=/mnt/run")
CREATE = ("--accelerator_type=v5p-128", "--runtime_version=v2-alpha-tpuv5", "--spot")


def test_a_dry_run_of_this_machine_prints_the_command():
    done = run("--dry-run", "--gin_file=a file.gin", "--run_dir=/r")
    assert done.returncode == 0
    install, train = done.stdout.splitlines()
    assert install.strip().endswith("launch/install.sh")
    assert train.strip().endswith(r"bin/spo train --gin_file=a\ file.gin --run_dir=/r")


def test_a_dry_run_of_local_processes_names_both():
    done = run("--dry-run", "--local_processes=2", "--devices_per_process=4")
    assert "--processes=2 --devices=4 --" in done.stdout
    assert done.stdout.strip().endswith("--distributed")


@pytest.mark.parametrize("option", ["--local_processes=0", "--devices_per_process=x"])
def test_what_is_no_number_of_processes_is_refused(option):
    done = run("--dry-run", option)
    assert done.returncode == 2 and f"{option} must be a whole number" in done.stderr


def test_a_dry_run_of_a_slice_executes_nothing(cloud, tmp_path):
    done = on_slice(tmp_path, "--dry-run", *CREATE, "--env=A=b c", "--gin.train.num_updates=5")
    assert done.returncode == 0, done.stderr
    create, copy, install, _, train = done.stdout.splitlines()
    assert "queued-resources create pod --node-id=pod --accelerator-type=v5p-128 --spot" in create
    assert "tpu-vm scp" in copy and "--worker=all" in copy
    assert "launch/install.sh" in install
    assert "on_worker.sh" in train and "num_updates=5" in train and "--worker=all" in train
    assert not (cloud / "calls").exists()
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--tpu=pod"], "--run_dir=PATH must be given"),
        (["--tpu=pod", "--run_dir=relative"], "an absolute path"),
        (["--tpu=pod", "--run_dir=/r"], "no project: give --project"),
        (["--tpu=pod", "--run_dir=/r", "--project=p"], "no zone: give --zone"),
        (["--tpu=pod", "--run_dir=/r", "--accelerator_type=v5p-8"], "needs --runtime_version"),
        (["--tpu=pod", "--run_dir=/r", "--env=1=2"], "must be --env=NAME=VALUE"),
        (["--tpu=pod", "--run_dir=/r", "--max_restarts=x"], "must be a whole number"),
    ],
)
def test_settings_of_a_slice_that_cannot_be_are_refused(cloud, options, complaint):
    done = run(*options)
    assert done.returncode == 2 and complaint in done.stderr


def test_a_machine_without_gcloud_is_told_so(tmp_path):
    for name in ("bash", "dirname", "sed"):
        (tmp_path / name).symlink_to(shutil.which(name))
    done = run("--tpu=pod", "--run_dir=/r", env={"PATH": str(tmp_path)})
    assert done.returncode == 2 and "gcloud is not installed" in done.stderr


def test_zone_and_project_come_from_the_configuration_of_gcloud(cloud, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_PROJECT", "configured-project")
    monkeypatch.setenv("FAKE_ZONE", "configured-zone")
    done = run("--tpu=pod", "--run_dir=/r", "--dry-run", f"--log_dir={tmp_path}/logs", *CREATE)
    assert "--zone=configured-zone --project=configured-project" in done.stdout


def test_a_run_on_a_ready_slice_collects_the_logs_of_its_workers(cloud, tmp_path):
    play(cloud, "0 READY")
    done = on_slice(tmp_path, "--gin_file=x.gin")
    assert done.returncode == 0, done.stderr
    logs = sorted(path.name for path in (tmp_path / "logs" / "attempt-001").iterdir())
    assert logs == ["0.log", "1.log"]
    assert not calls(cloud, "create")
    assert len(calls(cloud, "on_worker.sh train --run_dir=/mnt/run --gin_file=x.gin")) == 1


def test_the_copied_source_is_the_tree_without_ignored_files(cloud, tmp_path):
    play(cloud, "0 READY")
    (cloud / "gcloud").write_text(
        GCLOUD.replace("case ", 'if [[ $* == *scp* ]]; then cp "$5" copied; fi\ncase ', 1)
    )
    assert on_slice(tmp_path).returncode == 0
    listed = subprocess.run(
        ["tar", "-tzf", str(cloud / "copied")], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "launch/on_worker.sh" in listed and "spo_jax/train.py" in listed
    assert not any(name.startswith((".venv", ".git/", "runs/")) for name in listed)


def test_a_preempted_slice_is_created_again_and_the_run_goes_on(cloud, tmp_path):
    play(cloud, "143 PREEMPTED", "255 PREEMPTED", "0 READY", state=None)
    done = on_slice(tmp_path, *CREATE, "--max_restarts=0", "--delete_when_done")
    assert done.returncode == 0, done.stderr
    assert len(calls(cloud, "queued-resources create")) == 3
    assert len(calls(cloud, "queued-resources delete")) == 3  # two spoiled, and at the end
    assert len(calls(cloud, "on_worker.sh train")) == 3


def test_a_slice_that_is_gone_and_may_not_be_created_is_named(cloud, tmp_path):
    done = on_slice(tmp_path)
    assert done.returncode == 2
    assert "TPU pod in zone z of project p is MISSING; give --accelerator_type" in done.stderr


def test_a_failing_run_is_restarted_so_often_and_no_more(cloud, tmp_path):
    play(cloud, "1 READY", "1 READY", "1 READY", "0 READY")
    done = on_slice(tmp_path, "--max_restarts=2")
    assert done.returncode == 2 and "failed 3 times" in done.stderr
    assert len(calls(cloud, "on_worker.sh train")) == 3


def test_refused_settings_are_not_tried_again(cloud, tmp_path):
    play(cloud, "2 READY", "0 READY")
    done = on_slice(tmp_path)
    assert done.returncode == 2 and "refused its settings" in done.stderr
    assert len(calls(cloud, "on_worker.sh train")) == 1


def test_a_loss_that_is_not_finite_is_not_tried_again(cloud, tmp_path):
    play(cloud, "3 READY", "0 READY")
    done = on_slice(tmp_path)
    assert done.returncode == 2 and "loss is not finite" in done.stderr
    assert len(calls(cloud, "on_worker.sh train")) == 1


def test_a_run_that_was_told_to_stop_goes_on_and_is_no_failure(cloud, tmp_path):
    play(cloud, "130 READY", "0 READY")
    done = on_slice(tmp_path, "--max_restarts=0")
    assert done.returncode == 0, done.stderr
    assert len(calls(cloud, "on_worker.sh train")) == 2


def test_stopping_stops_every_worker(cloud, tmp_path):
    play(cloud, "hang READY")
    process = subprocess.Popen(
        ["bash", str(LAUNCH / "run.sh"), *SLICE, f"--log_dir={tmp_path}/logs"],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("logs/*/1.log")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    assert len(calls(cloud, "on_worker.sh stop")) == 1


@pytest.fixture
def worker(tmp_path):
    """A checkout whose `spo` is a script of ours; returns its launch folder and that script."""
    (tmp_path / "launch").mkdir()
    shutil.copy(LAUNCH / "on_worker.sh", tmp_path / "launch")
    spo = tmp_path / ".venv" / "bin" / "spo"
    spo.parent.mkdir(parents=True)
    spo.write_text("#!/usr/bin/env bash\n")
    spo.chmod(0o755)
    return tmp_path / "launch" / "on_worker.sh", spo


def start_worker(script, *words):
    env = {**os.environ, "TMPDIR": str(script.parent)}
    return subprocess.Popen(
        ["bash", str(script), *words], stdout=subprocess.PIPE, text=True, env=env
    )


def test_a_worker_reports_how_its_run_ended(worker):
    script, spo = worker
    spo.write_text('#!/usr/bin/env bash\necho "$A / $*"\nexit 7\n')
    process = start_worker(script, "train", "--env=A=b c", "--gin_file=x y")
    out, _ = process.communicate(timeout=30)
    assert out.splitlines() == [
        "b c / train --distributed --gin_file=x y",
        "[worker] exit status 7",
    ]
    assert process.returncode == 7


def test_what_an_earlier_attempt_left_behind_may_save_before_the_next_begins(worker):
    script, spo = worker
    spo.write_text(
        "#!/usr/bin/env bash\ntrap 'sleep 0.3; echo saved; exit 130' TERM\n"
        "echo running\nwhile :; do sleep 0.05; done\n"
    )
    first = start_worker(script, "train")
    assert first.stdout.readline() == "running\n"
    spo.write_text("#!/usr/bin/env bash\necho second\n")
    second = start_worker(script, "train")
    out, _ = first.communicate(timeout=30)
    assert out.splitlines() == ["saved", "[worker] exit status 130"]
    assert second.communicate(timeout=30)[0].startswith("second")


def start_local(program, *options):
    script = [sys.executable, str(LAUNCH / "local_processes.py"), *options, "--"]
    return subprocess.Popen(
        [*script, "bash", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_local_processes_know_who_they_are():
    process = start_local(
        "echo $JAX_PROCESS_ID of $JAX_NUM_PROCESSES at ${JAX_COORDINATOR_ADDRESS%:*} $XLA_FLAGS",
        "--processes=2",
        "--devices=4",
    )
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.startswith("0 of 2 at 127.0.0.1") and "device_count=4" in out
    assert "[1] 1 of 2 at 127.0.0.1" in errors


def test_a_failed_local_process_ends_the_others():
    process = start_local(
        'if [ "$JAX_PROCESS_ID" = 1 ]; then exit 3; fi; exec sleep 60', "--processes=3"
    )
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3 and "process 1 failed (3)" in errors


def test_a_local_process_that_does_not_end_is_killed():
    process = start_local(
        'if [ "$JAX_PROCESS_ID" = 1 ]; then sleep 0.5; exit 3; fi; trap "" TERM; '
        "while :; do sleep 0.1; done",
        "--processes=2",
        "--grace_secs=0.5",
    )
    process.communicate(timeout=30)
    assert process.returncode == 3


def test_a_signal_reaches_all_local_processes():
    process = start_local(
        'trap "exit 9" TERM; echo up; while :; do sleep 0.1; done', "--processes=2"
    )
    assert process.stdout.readline() == "up\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 9
