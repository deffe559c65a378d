#!/bin/sh
# Makes .venv with the locked requirements and checks what pip cannot bring. Repeating it costs a second.
# usage: scripts/setup.sh [--tests]      (--tests: also Chromium and MariaDB, for their tests)
set -eu
cd "$(dirname "$0")/.."
VENV=.venv
STAMP="$VENV/.requirements-installed"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

version_of() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# The lock was compiled for 3.11, so that version is preferred where there are several.
find_python() {
    seen=""
    for candidate in ${PYTHON:-python3.11 python3 python3.12 python3.13 python3.14 python}; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        new_enough "$candidate" && { command -v "$candidate"; return 0; }
        found=$(version_of "$candidate") && seen="$seen $candidate is $found;"
    done
    [ -n "$seen" ] || seen=" no python3 was found;"
    say "error: Python 3.11 or newer is needed, but${seen%;}"
    say "install it (Debian 12 or newer, Ubuntu 23.04 or newer: apt-get install python3 python3-venv), or give its path: make PYTHON=/path/to/python3.11 …"
    return 1
}

# A bare Debian has no Python at all; a chosen one (PYTHON=…) is never replaced.
install_python() {
    [ -z "${PYTHON:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    ! command -v python3 >/dev/null 2>&1 || return 1
    say "no python3 here: installing it"
    apt-get update >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-venv >&2
}

# Debian ships venv apart from Python.
ensure_venv_module() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return 0
    package="python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        "$1" -m backoffice.devstack.step "reading the list of system packages" -- apt-get update
        DEBIAN_FRONTEND=noninteractive "$1" -m backoffice.devstack.step "installing $package" -- \
            apt-get install -y --no-install-recommends "$package"
    else
        fail "this Python cannot make virtual environments. Run: sudo apt-get update && sudo apt-get install -y $package"
    fi
}

if ! { [ -x "$VENV/bin/python" ] && new_enough "$VENV/bin/python" && "$VENV/bin/python" -c 'import pip'; } 2>/dev/null; then
    install_python || true
    BASE=$(find_python)
    ensure_venv_module "$BASE"
    "$BASE" -m backoffice.devstack.step "making $VENV with Python $(version_of "$BASE")" -- "$BASE" -m venv --clear "$VENV"
fi

WANTED=$("$VENV/bin/python" -c '
import hashlib, pathlib, sys
lock = pathlib.Path("requirements.txt").read_bytes()
print(hashlib.sha256(lock).hexdigest(), "python%d.%d" % sys.version_info[:2])')
if [ "$(cat "$STAMP" 2>/dev/null || true)" != "$WANTED" ]; then
    # What the system's own packages bring comes meanwhile: the two wait for the network at different times.
    "$VENV/bin/python" -m backoffice.devstack.preflight "$@" &
    SYSTEM=$!
    INSTALLED=0 READY=0
    "$VENV/bin/python" -m backoffice.devstack.step "installing the locked requirements (a few minutes the first time)" -- \
        "$VENV/bin/python" -m pip install --no-input --disable-pip-version-check --require-hashes -r requirements.txt || INSTALLED=$?
    wait "$SYSTEM" || READY=$?
    [ "$INSTALLED" = 0 ] || exit "$INSTALLED"
    printf '%s\n' "$WANTED" >"$STAMP"
    exit "$READY"
fi

exec "$VENV/bin/python" -m backoffice.devstack.preflight "$@"
