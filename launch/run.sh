#!/usr/bin/env bash
# Installs what is missing, then trains.
#
#   bash launch/run.sh                                        the main job (configs/runs/quickstart.gin)
#   bash launch/run.sh --gin_file=FILE --run_dir=DIR [...]    any run; arguments of `spo train`
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

has_option() {
  local option=$1 argument
  shift
  for argument in "$@"; do
    [[ $argument == "$option" || $argument == "$option="* ]] && return
  done
  return 1
}

bash "$root/launch/install.sh"
defaults=()
if ! has_option --gin_file "$@"; then
  defaults+=("--gin_file=$root/configs/runs/quickstart.gin")
  has_option --run_dir "$@" || defaults+=("--run_dir=$root/runs/quickstart")
fi
exec "$root/.venv/bin/spo" train "${defaults[@]}" "$@"
