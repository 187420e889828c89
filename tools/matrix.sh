#!/bin/sh
# Runs `make test` in every supported Python, each with its own environment. TESTS selects a file of tests.
set -u
cd "$(dirname "$0")/.."

failed=
for version in 3.11 3.12 3.13; do
    python=$(sh tools/python.sh "$version")
    if [ -z "$python" ]; then
        summary="${summary:-}Python $version: SKIPPED, not installed
"
        continue
    fi
    if make --no-print-directory test VENV=".venv-$version" PYTHON="$python" TESTS="${TESTS:-}"; then
        result=passed
    else
        result=FAILED
        failed=$version
    fi
    summary="${summary:-}Python $version: $result
"
done
printf '%s' "$summary"
[ -z "$failed" ]
