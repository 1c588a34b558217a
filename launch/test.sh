#!/usr/bin/env bash
# Installs what is missing, then runs the tests in two processes; arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash launch/install.sh test
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
