#!/bin/sh
# Runs `make test` in every Python that the project supports, each with an environment of its own; TESTS narrows it.
set -u
cd "$(dirname "$0")/.."

failed=
for version in 3.11 3.12 3.13; do
    python=$(sh tools/python.sh "$version")
    if [ -z "$python" ]; then
        summary="${summary:-}Python $version: SKIPPED, not on this machine
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
