#!/bin/sh
# Compares the API's schema, as the code has it now, with docs/api/openapi.yaml.
# usage: scripts/check_schema.sh [--write]     (--write: replace the file instead of comparing)
set -eu
cd "$(dirname "$0")/.."
COMMITTED=docs/api/openapi.yaml
if [ "${1:-}" = --write ]; then
    mkdir -p "$(dirname "$COMMITTED")"
    exec .venv/bin/python manage.py spectacular --validate --fail-on-warn --file "$COMMITTED"
fi
CURRENT=$(mktemp)
trap 'rm -f "$CURRENT"' EXIT
.venv/bin/python manage.py spectacular --validate --fail-on-warn --file "$CURRENT"
if ! diff -u "$COMMITTED" "$CURRENT"; then
    echo "the API changed: look at the difference above; \`make schema\` accepts it" >&2
    exit 1
fi
