#!/usr/bin/env bash
# Installs what is missing, then trains: on this machine, in several local processes, or on every
# worker of a TPU slice.
#
#   bash launch/run.sh                                        the main job (configs/runs/quickstart.gin)
#   bash launch/run.sh --gin_file=FILE --run_dir=DIR [...]    any run; arguments of `spo train`
#   bash launch/run.sh --local_processes=2 [--devices_per_process=4] [...]
#                                                             that many processes on this machine
#   bash launch/run.sh --tpu=NAME [...]                       a slice: see launch/tpu.sh --help
#
# --dry-run prints what would be executed, and executes nothing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root

fail() {
  printf '[run] error: %s\n' "$*" >&2
  exit 2
}

# Prints a command as the shell would read it; with --dry-run that is all.
execute() {
  if [[ $dry_run == yes ]]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

has_option() {
  local option=$1 argument
  shift
  for argument in "$@"; do
    [[ $argument == "$option" || $argument == "$option="* ]] && return
  done
  return 1
}

whole_number() { [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "$1=$2 must be a whole number of at least 1"; }

dry_run=no processes="" devices=1 arguments=()
for argument in "$@"; do
  case $argument in
    --tpu=* | --tpu) exec bash "$root/launch/tpu.sh" "$@" ;;
    -h | --help)
      sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit
      ;;
    --dry-run) dry_run=yes ;;
    --local_processes=*) processes=${argument#*=} ;;
    --devices_per_process=*) devices=${argument#*=} ;;
    *) arguments+=("$argument") ;;
  esac
done
[[ -z $processes ]] || whole_number --local_processes "$processes"
whole_number --devices_per_process "$devices"

defaults=()
if ! has_option --gin_file "${arguments[@]}"; then
  defaults+=("--gin_file=$root/configs/runs/quickstart.gin")
  has_option --run_dir "${arguments[@]}" || defaults+=("--run_dir=$root/runs/quickstart")
fi
command=("$root/.venv/bin/spo" train "${defaults[@]}" "${arguments[@]}")

execute bash "$root/launch/install.sh"
if [[ -z $processes ]]; then
  [[ $dry_run == yes ]] || exec "${command[@]}"
  execute "${command[@]}"
else
  execute "$root/.venv/bin/python" "$root/launch/local_processes.py" \
    "--processes=$processes" "--devices=$devices" -- "${command[@]}" --distributed
fi
