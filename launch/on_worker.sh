#!/usr/bin/env bash
# What launch/tpu.sh runs on each worker of a slice; not for use by hand.
#
#   bash launch/on_worker.sh train [--env=NAME=VALUE ...] [arguments of spo train]
#   bash launch/on_worker.sh stop
#
# The last line of `train` says how it ended: "[worker] exit status N".
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root PID_FILE="${TMPDIR:-/tmp}/spo_worker.pid" GRACE_SECS="${SPO_GRACE_SECS:-300}"

# Ends what an earlier attempt left behind: it holds the chips. It gets time to save.
stop_earlier() {
  local pid second
  pid=$(cat "$PID_FILE" 2>/dev/null) || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  for ((second = 0; second < GRACE_SECS; second++)); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 1
  done
  kill -KILL "$pid" 2>/dev/null || true
}

verb=${1:-}
shift || true
case $verb in
  stop)
    stop_earlier
    exit 0
    ;;
  train) ;;
  *)
    printf 'usage: on_worker.sh train|stop\n' >&2
    exit 2
    ;;
esac

while [[ ${1:-} == --env=* ]]; do
  export "${1#--env=}"
  shift
done
stop_earlier
"$root/.venv/bin/spo" train --distributed "$@" </dev/null 2>&1 &
child=$!
printf '%s\n' "$child" >"$PID_FILE"
trap 'kill -TERM "$child" 2>/dev/null' INT TERM HUP
status=0
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do # a signal ended the wait, not the child
  wait "$child"
  status=$?
done
rm -f "$PID_FILE"
printf '[worker] exit status %s\n' "$status"
exit "$status"
