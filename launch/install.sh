#!/usr/bin/env bash
# Installs spo_jax on Debian or Ubuntu: system packages with apt, everything else into .venv.
#
#   bash launch/install.sh [EXTRA ...]      extras of pyproject.toml, for example: test dev gpu
#
# Safe to repeat: a second run changes nothing and takes a moment. Outside the checkout only apt
# packages are touched (bubblewrap, git, ca-certificates and Python with venv, when missing; for
# the tests also g++).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV="$PWD/.venv"
readonly STAMP="$VENV/.spo_installed"

say() { printf '[install] %s\n' "$*" >&2; }
fail() { printf '[install] error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "'$*' needs root: run it as root, or install sudo, then start again"
  fi
}

apt_install() {
  command -v apt-get >/dev/null || fail "no apt-get here; install by other means: $*"
  say "installing system packages: $*"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  as_root "${apt[@]}" update || say "apt-get update failed; trying with the lists at hand"
  as_root "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null </dev/null \
    || fail "apt-get could not install: $*"
}

# A Python that is 3.11 or 3.12; with argument "venv" also able to make virtual environments.
find_python() {
  local candidate check='import sys; assert (3, 11) <= sys.version_info[:2] <= (3, 12)'
  [[ ${1:-} == venv ]] && check+='; import venv, ensurepip'
  for candidate in python3.11 python3.12 python3 "$HOME"/.pyenv/versions/3.1[12].*/bin/python3; do
    if "$candidate" -c "$check" >/dev/null 2>&1 </dev/null; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

# Argument: the extras, with commas between them.
install_system_packages() {
  local missing=() python
  if [[ ,$1, == *,test,* || ,$1, == *,dev,* ]]; then # the judge's tests compile C++
    command -v g++ >/dev/null || missing+=(g++)
  fi
  command -v bwrap >/dev/null || missing+=(bubblewrap)
  command -v git >/dev/null || missing+=(git)
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
  if ! find_python venv >/dev/null; then
    if python=$(find_python); then # there is a Python; Debian keeps venv in a package of its own
      missing+=("$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')")
    else
      missing+=(python3 python3-venv)
    fi
  fi
  [[ ${#missing[@]} -eq 0 ]] || apt_install "${missing[@]}"
  find_python venv >/dev/null && return
  for python in python3.11 python3.12; do # the default Python was too old or too new
    if apt-cache show "$python-venv" >/dev/null 2>&1; then
      apt_install "$python" "$python-venv"
      break
    fi
  done
  find_python venv >/dev/null \
    || fail "Python 3.11 or 3.12 is needed and apt has neither; install one (pyenv works too)"
}

# The value of a pip option, from PIP_* or pip's configuration files; lines become spaces.
pip_setting() {
  local variable="PIP_${1^^}"
  variable=${variable//-/_}
  if [[ -n ${!variable:-} ]]; then
    printf '%s' "${!variable}"
  else
    "$VENV/bin/python" -m pip config get "global.$1" 2>/dev/null | tr '\n' ' ' || true
  fi
}

# uv does not read pip's configuration: hand it over.
export_uv_settings() {
  local index extra links certificates
  index=$(pip_setting index-url)
  extra=$(pip_setting extra-index-url)
  links=$(pip_setting find-links)
  certificates=$(pip_setting cert)
  [[ -z $index ]] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${index% }}"
  [[ -z $extra ]] || export UV_INDEX="${UV_INDEX:-${extra% }}"
  [[ -z $links ]] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$(tr -s ' ' ',' <<<"${links% }")}"
  [[ -z $certificates ]] || export SSL_CERT_FILE="${SSL_CERT_FILE:-${certificates% }}"
  export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}" # as pip: the newest of all
  export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"
  export UV_CACHE_DIR="${UV_CACHE_DIR:-$VENV/.uv-cache}"
}

install_with_uv() {
  "$VENV/bin/python" -m pip install -q --no-cache-dir --disable-pip-version-check uv || return 1
  (
    export_uv_settings
    "$VENV/bin/uv" pip install -q --python "$VENV/bin/python" -e "$1"
  ) || return 1
  rm -rf "$VENV/.uv-cache"
}

install_python_packages() {
  local requirement="$PWD"
  [[ -z $1 ]] || requirement+="[$1]"
  say "installing Python packages into .venv (about 700 MB, a minute or two)"
  if ! install_with_uv "$requirement" </dev/null; then
    say "uv failed; trying pip"
    rm -rf "$VENV/.uv-cache"
    "$VENV/bin/python" -m pip install -q --no-cache-dir --disable-pip-version-check \
      -e "$requirement" </dev/null || fail "pip could not install $requirement (see above)"
  fi
}

main() {
  local digest extras="" known="" known_extras=""
  digest="$PWD $(cat pyproject.toml setup.py | sha256sum | cut -d ' ' -f 1)"
  if "$VENV/bin/python" -c '' 2>/dev/null && [[ -r $STAMP ]]; then
    { read -r known && read -r known_extras; } <"$STAMP" || true
  fi
  # what was installed before stays: `install.sh` after `install.sh test` keeps the extra `test`
  extras=$(tr ' ,' '\n' <<<"$* $known_extras" | sort -u | sed '/^$/d' | paste -sd ,)
  install_system_packages "$extras"
  if [[ $known == "$digest" && $known_extras == "$extras" ]]; then
    return
  fi
  # scripts in a virtual environment name its path: one that was moved is made anew
  if [[ ${known% *} != "$PWD" ]] || ! "$VENV/bin/python" -c 'import pip' 2>/dev/null; then
    rm -rf "$VENV"
    "$(find_python venv)" -m venv "$VENV"
  fi
  rm -f "$STAMP"
  install_python_packages "$extras"
  printf '%s\n%s\n' "$digest" "$extras" >"$STAMP"
  say "done: $("$VENV/bin/python" --version) in .venv"
}

main "$@"
