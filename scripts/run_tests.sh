#!/bin/sh
# Runs the tests; a few that fail are run once more, alone, and named: one that passes then is unsteady, not broken.
# usage: scripts/run_tests.sh PYTHON [ARGUMENTS OF PYTEST]
set -u
python=$1
shift
FEW=5
failed=$(mktemp)
trap 'rm -f "$failed"' EXIT

FAILED_TESTS=$failed "$python" -m pytest "$@"
status=$?
count=$(wc -l <"$failed")
[ "$status" -eq 1 ] && [ "$count" -gt 0 ] && [ "$count" -le "$FEW" ] || exit "$status"

echo 'tests: these once more, alone:' >&2
cat "$failed" >&2
set --
while IFS= read -r each; do set -- "$@" "$each"; done <"$failed"
"$python" -m pytest "$@"
status=$?
if [ "$status" -eq 0 ]; then
    echo 'tests: UNSTEADY: they failed in the run and passed alone:' >&2
    cat "$failed" >&2
fi
exit "$status"
