#!/usr/bin/env bash
# Makes .venv: CPython 3.10 with what requirements/dev.txt locks, every file checked by its hash,
# and this package installed editable. Run by the Makefile; safe to run again.
#
#   requirements/venv.sh        make or update .venv
#   requirements/venv.sh uv     print the path of a uv that works, installed into .tools if need be
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'set-up failed: %s\n' "$1" >&2
  shift
  printf '  %s\n' "$@" >&2
  exit 1
}

# A uv on PATH may be the shim of a version manager that fails when it is run.
find_uv() {
  if uv --version >/dev/null 2>&1; then
    command -v uv
    return
  fi
  local tools=$PWD/.tools/uv
  if ! "$tools/bin/uv" --version >/dev/null 2>&1; then
    rm -rf "$tools"
    install_uv "$tools"
  fi
  printf '%s\n' "$tools/bin/uv"
}

install_uv() {
  local candidate python=
  # The second one is for a version manager whose python3 does not run in this folder.
  for candidate in python3 /usr/bin/python3; do
    "$candidate" -c '' 2>/dev/null && python=$candidate && break
  done
  [ -n "$python" ] ||
    fail 'there is neither uv nor a python3 that runs' \
      'install uv, or Python 3 with pip (Debian, Ubuntu: apt-get install python3 python3-pip)'
  local install=(install --quiet --disable-pip-version-check --require-hashes --no-deps
    --only-binary :all: -r requirements/uv.txt)
  if "$python" -m pip --version >/dev/null 2>&1; then
    install=("$python" -m pip "${install[@]}" --target "$1")
  elif "$python" -m venv "$1" >/dev/null 2>&1; then
    install=("$1/bin/pip" "${install[@]}")
  else
    fail "there is no uv, and $python has neither pip nor venv to install it with" \
      'Debian, Ubuntu: apt-get install python3-pip'
  fi
  PIP_ROOT_USER_ACTION=ignore "${install[@]}" >&2 ||
    fail 'pip could not install uv (its message is above)' \
      'check the network and the package index that pip is set to, or install uv yourself'
}

# The interpreter's path where one is at hand, else the version for uv to find or to download.
find_python() {
  local candidate
  for candidate in python3.10 python3 python "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python3.10; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  echo 3.10
}

make_venv() {
  [ "$(uname -sm)" = 'Linux x86_64' ] ||
    fail "this is $(uname -sm), and the lock is for Linux x86_64" \
      'MegEngine 1.13.0 runs there under CPython 3.10; elsewhere, use the container (README.md)'
  local uv python
  uv=$(find_uv)
  python=$(find_python)
  "$uv" venv --quiet --allow-existing --no-project --python "$python" .venv ||
    fail "no .venv with CPython $python (uv's message is above)" \
      'MegEngine has wheels up to CPython 3.10 and no newer. Install that version and run again:' \
      'pyenv install 3.10, or uv python install 3.10; Ubuntu 22.04: apt-get install python3.10'
  # setuptools builds mprop, which comes without a wheel: the lock pins that setuptools too. Engine
  # processes write no bytecode, and start in half the time where there is some.
  "$uv" pip sync --quiet --compile-bytecode --python .venv --require-hashes \
    --build-constraints requirements/run.txt requirements/dev.txt ||
    fail 'the packages of requirements/dev.txt could not be installed (uv'"'"'s message is above)' \
      'they take 2 GB of disk and a download of 1 GB; check both, and the package index'
  "$uv" pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
  touch .venv/stamp
}

case ${1-} in
  '') make_venv ;;
  uv) find_uv ;;
  *) fail "unknown argument $1" 'give none, or uv' ;;
esac
