#!/bin/sh
# Runs `make test` in every Python that the project supports, each with an environment of its own; TESTS narrows it.
set -u
cd "$(dirname "$0")/.."

failed=
for version in 3.11 3.12 3.13; do
    if ! "python$version" -c '' 2>/dev/null; then
        summary="${summary:-}Python $version: SKIPPED, no python$version here
"
        continue
    fi
    if make --no-print-directory test VENV=".venv-$version" PYTHON="python$version" TESTS="${TESTS:-}"; then
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
