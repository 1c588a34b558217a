#!/usr/bin/env bash
# Trains on every worker of a Cloud TPU slice, from any machine with gcloud.
#
#   bash launch/run.sh --tpu=NAME --zone=ZONE [OPTIONS] --run_dir=PATH [arguments of spo train]
#
# --tpu=NAME              the slice; also the name of its queued resource
# --zone=ZONE             by default gcloud's compute/zone
# --project=PROJECT       by default gcloud's core/project
# --accelerator_type=T    for example v5p-128: creates the slice when it is not there, and again
#                         after a preemption; without it the slice must be there
# --runtime_version=V     for example v2-alpha-tpuv5; needed with --accelerator_type
# --spot, --reserved      kind of capacity to ask for
# --plain_vm              create with tpu-vm create; by default as a queued resource
# --env=NAME=VALUE        environment of the run on every worker; may be repeated
# --install_extras=E      of pyproject.toml, besides tpu
# --log_dir=DIR           logs of every worker and attempt (by default logs/NAME)
# --max_restarts=N        of a run that fails on a healthy slice (5); preemptions do not count
# --delete_when_done      delete the slice after the run
# --dry-run               print the commands and execute none
#
# The source tree (committed or not, without ignored files) is copied to every worker and installed
# there; then the same `spo train --distributed` runs on all. A run that ends by preemption or
# failure is started again and goes on from its last checkpoint. --run_dir must be a path that all
# workers share: a mounted file system.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root REMOTE=spo_jax

say() { printf '[tpu] %s\n' "$*" >&2; }
fail() {
  printf '[tpu] error: %s\n' "$*" >&2
  exit 2
}

tpu="" zone="" project="" accelerator="" runtime="" capacity=() plain=no environment=()
extras="" log_dir="" max_restarts=5 delete=no dry_run=no arguments=()

parse() {
  local argument value
  for argument in "$@"; do
    value=${argument#*=}
    case $argument in
      --tpu=*) tpu=$value ;;
      --zone=*) zone=$value ;;
      --project=*) project=$value ;;
      --accelerator_type=*) accelerator=$value ;;
      --runtime_version=*) runtime=$value ;;
      --spot | --reserved) capacity+=("$argument") ;;
      --plain_vm) plain=yes ;;
      --env=*) environment+=("$value") ;;
      --install_extras=*) extras=$value ;;
      --log_dir=*) log_dir=$value ;;
      --max_restarts=*) max_restarts=$value ;;
      --delete_when_done) delete=yes ;;
      --dry-run) dry_run=yes ;;
      -h | --help)
        sed -n '2,/^set -/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit
        ;;
      *) arguments+=("$argument") ;;
    esac
  done
}

configured() { gcloud config get-value "$1" 2>/dev/null | sed '/^(unset)$/d' || true; }

check() {
  local assignment
  [[ -n $tpu ]] || fail "--tpu=NAME names no slice"
  if [[ -n $accelerator && -z $runtime ]]; then
    fail "--accelerator_type=$accelerator needs --runtime_version=VERSION"
  fi
  [[ $max_restarts =~ ^[0-9]+$ ]] || fail "--max_restarts=$max_restarts must be a whole number"
  for assignment in "${environment[@]}"; do
    [[ $assignment =~ ^[A-Za-z_][A-Za-z0-9_]*= ]] \
      || fail "--env=$assignment must be --env=NAME=VALUE"
  done
  [[ " ${arguments[*]} " == *" --run_dir=/"* ]] \
    || fail "--run_dir=PATH must be given, an absolute path that all workers share"
  command -v gcloud >/dev/null \
    || fail "gcloud is not installed: see https://cloud.google.com/sdk/docs/install"
  [[ -n $project ]] || project=$(configured core/project)
  [[ -n $project ]] || fail "no project: give --project=PROJECT or run 'gcloud config set project'"
  [[ -n $zone ]] || zone=$(configured compute/zone)
  [[ -n $zone ]] || fail "no zone: give --zone=ZONE or run 'gcloud config set compute/zone'"
  log_dir=${log_dir:-$root/logs/$tpu}
}

# Runs a command that changes something; with --dry-run prints it.
execute() {
  if [[ $dry_run == yes ]]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

tpus() { # GROUP VERB ARGUMENT ...
  execute gcloud compute tpus "$@" "--zone=$zone" "--project=$project" --quiet
}

on_all_workers() { # COMMAND [OPTION ...]
  tpus tpu-vm ssh "$tpu" --worker=all "--command=$1" "${@:2}"
}

# READY, PREEMPTED, CREATING, ...; MISSING where there is none.
slice_state() {
  [[ $dry_run == no ]] || { echo MISSING && return; }
  gcloud compute tpus tpu-vm describe "$tpu" "--zone=$zone" "--project=$project" \
    '--format=value(state)' 2>/dev/null || echo MISSING
}

queued_state() {
  gcloud compute tpus queued-resources describe "$tpu" "--zone=$zone" "--project=$project" \
    '--format=value(state.state)' 2>/dev/null || echo MISSING
}

create_slice() {
  local wanted=("--accelerator-type=$accelerator" "${capacity[@]}")
  if [[ $plain == yes ]]; then
    tpus tpu-vm create "$tpu" "${wanted[@]}" "--version=$runtime"
    return
  fi
  tpus queued-resources create "$tpu" "--node-id=$tpu" "${wanted[@]}" "--runtime-version=$runtime"
  wait_for_capacity
}

wait_for_capacity() {
  local state
  [[ $dry_run == no ]] || return 0
  while state=$(queued_state); [[ $state != ACTIVE ]]; do
    case $state in
      FAILED | SUSPENDED | SUSPENDING | MISSING) fail "queued resource $tpu is $state" ;;
    esac
    say "queued resource $tpu is $state; waiting"
    sleep "${SPO_TPU_POLL_SECS:-30}"
  done
}

delete_slice() {
  if [[ $plain == yes ]]; then
    tpus tpu-vm delete "$tpu"
  else
    tpus queued-resources delete "$tpu" --force
  fi
}

# Makes the slice be there and READY, whatever happened to the one before.
prepare_slice() {
  local state
  state=$(slice_state)
  case $state in
    READY) return ;;
    CREATING | STARTING | RESTARTING | REPAIRING)
      say "$tpu is $state; waiting"
      sleep "${SPO_TPU_POLL_SECS:-30}"
      prepare_slice
      return
      ;;
  esac
  [[ -n $accelerator ]] || fail "TPU $tpu in zone $zone of project $project is $state; give \
--accelerator_type and --runtime_version to have it created"
  if [[ $plain == yes ]]; then
    [[ $state == MISSING ]] || delete_slice
  elif [[ $dry_run == no && $(queued_state) != MISSING ]]; then
    case $(queued_state) in
      ACCEPTED | PROVISIONING | CREATING | WAITING_FOR_RESOURCES)
        wait_for_capacity
        return
        ;;
    esac
    delete_slice
  fi
  create_slice
}

copy_source() {
  local archive status=0
  archive=$(mktemp -d)/spo_jax.tgz
  if [[ $dry_run == no ]]; then
    git -C "$root" ls-files -z --cached --others --exclude-standard \
      | (cd "$root" && xargs -0 -r ls -d 2>/dev/null) \
      | tar -C "$root" -czf "$archive" -T -
  fi
  tpus tpu-vm scp "$archive" "$tpu:spo_jax.tgz" --worker=all || status=$?
  rm -rf "$(dirname "$archive")"
  [[ $status == 0 ]] || return "$status"
  on_all_workers "mkdir -p $REMOTE && tar -C $REMOTE -xzf spo_jax.tgz && \
bash $REMOTE/launch/install.sh tpu $extras"
}

train_command() {
  printf 'bash %s/launch/on_worker.sh train' "$REMOTE"
  if [[ ${#environment[@]} -gt 0 ]]; then
    printf ' --env=%q' "${environment[@]}"
  fi
  printf ' %q' "${arguments[@]}"
}

# The worst exit status that a worker reported in its log; 255 where one reported none.
attempt_status() {
  local log status worst=0 found=no
  for log in "$1"/*.log; do
    [[ -e $log ]] || continue
    found=yes
    status=$(sed -n 's/^\[worker\] exit status \([0-9]*\)$/\1/p' "$log" | tail -n 1)
    status=${status:-255}
    if [[ $status == 2 || $status == 3 ]]; then # they would only happen again
      echo "$status"
      return
    fi
    ((status <= worst)) || worst=$status
  done
  [[ $found == yes ]] && echo "$worst" || echo 255
}

stop_workers() {
  trap - INT TERM
  say "stopping: every worker saves its state first"
  on_all_workers "bash $REMOTE/launch/on_worker.sh stop" || true
  exit 130
}

attempt() {
  local logs=$1
  execute mkdir -p "$logs"
  say "running; logs of the workers: $logs/*.log"
  on_all_workers "$(train_command)" "--output-directory=$logs" &
  wait $! || true
}

main() {
  local number restarts=0 status logs
  parse "$@"
  check
  trap stop_workers INT TERM
  for ((number = 1; ; number++)); do
    prepare_slice
    logs=$(printf '%s/attempt-%03d' "$log_dir" "$number")
    while [[ -e $logs ]]; do logs+=+; done
    if copy_source; then
      attempt "$logs"
      [[ $dry_run == no ]] || break
      status=$(attempt_status "$logs")
    else
      status=255
    fi
    [[ $status != 0 ]] || break
    case $status in
      2)
        tail -n 3 "$logs"/*.log >&2
        fail "the run refused its settings; see $logs"
        ;;
      3) fail "the run's loss is not finite; see $logs" ;;
    esac
    if [[ $status == 130 ]]; then
      say "the run was told to stop and has saved; going on when the slice is there"
      sleep "${SPO_TPU_POLL_SECS:-30}"
    elif [[ $(slice_state) == READY ]]; then
      ((++restarts <= max_restarts)) \
        || fail "the run failed $restarts times (status $status); see $logs"
      say "the run failed (status $status); restart $restarts of $max_restarts"
    else
      say "the slice is $(slice_state); going on when there is one again"
    fi
  done
  [[ $delete == no ]] || delete_slice
}

main "$@"
