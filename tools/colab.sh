#!/bin/sh
# Runs every notebook as Colab would: its Python, its package versions, an empty folder.
set -eu
cd "$(dirname "$0")/.."

python=$(sh tools/python.sh 3.13)
if [ -z "$python" ] || ! git rev-parse --quiet --verify HEAD >/dev/null 2>&1; then
    echo "make colab: SKIPPED, expected Python 3.13 in PATH or pyenv, and a git checkout"
    exit 0
fi

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
echo "creating an environment with Colab's package versions and $("$python" -V): about two minutes"
"$python" -m venv "$fresh/venv"
if command -v uv >/dev/null; then
    uv pip install --quiet --python "$fresh/venv/bin/python" --compile-bytecode -r tools/colab-constraints.txt
else
    "$fresh/venv/bin/python" -m pip install -qq --disable-pip-version-check -r tools/colab-constraints.txt
fi
"$fresh/venv/bin/python" tools/colab.py "$fresh"
