#!/bin/sh
# Creates the environment $1 from requirements.lock. With a second argument, also prints a line if it is up to date.
# The checksum of its sources is written last, so an interrupted or outdated environment is created again.
set -eu

venv=$1
checksum_file="$venv/made-from"

find_python() {
    if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3.13 python3.12 python3.11 python3; fi
    found=
    for candidate; do
        version=$("$candidate" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) || continue
        case $version in
            3.11.* | 3.12.* | 3.13.*) "$candidate" -c 'import sys; print(sys.executable)'; return ;;
        esac
        found="$found, $candidate ($version)"
    done
    found=${found#, }
    echo "expected Python 3.11, 3.12 or 3.13 as one of: $*; got ${found:-none of them}" >&2
    echo "install one of these versions, or give its path: make setup PYTHON=/path/to/python3.12" >&2
    return 1
}

checksum="$(cat requirements.lock pyproject.toml tools/setup.sh | cksum) $(pwd)"
if [ "$checksum" = "$(cat "$checksum_file" 2>/dev/null)" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    if [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -V 2>/dev/null)" = "$("$venv/bin/python" -V)" ]; then
        [ $# -lt 2 ] || echo "$venv is up to date with requirements.lock and pyproject.toml"
        exit 0
    fi
fi

python=$(find_python)
rm -f "$checksum_file"
rm -rf "$venv"
if command -v uv >/dev/null; then
    echo "creating $venv with uv and $("$python" -V): about a minute, only once"
    export UV_PYTHON_DOWNLOADS=never
    uv venv --quiet --python "$python" "$venv"
    uv pip install --quiet --python "$venv/bin/python" --require-hashes --no-deps --compile-bytecode -r requirements.lock
    uv pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
else
    echo "creating $venv with pip and $("$python" -V): about two minutes, only once"
    "$python" -m venv "$venv"
    pip() { "$venv/bin/python" -m pip -qq --disable-pip-version-check "$@"; }
    pip install --require-hashes --no-deps --no-compile -r requirements.lock
    "$venv/bin/python" -m compileall -q -j 0 -x /tests/ "$venv/lib" >/dev/null || true # some files are for other Pythons
    pip install --no-deps --no-build-isolation --editable .
fi

if [ "$venv" = .venv ] && [ -e .git ] && command -v git >/dev/null; then
    git config --local diff.jupyternotebook.command '.venv/bin/git-nbdiffdriver diff'
    git config --local merge.jupyternotebook.driver '.venv/bin/git-nbmergedriver merge %O %A %B %L %P'
    git config --local merge.jupyternotebook.name 'notebooks cell by cell'
fi
echo "$checksum" >"$checksum_file"
