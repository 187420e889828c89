#!/bin/sh
# Prints the path of a Python of version $1, such as 3.12, from PATH or pyenv. Prints nothing if there is none.
for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    "$candidate" -c 'import sys; print(sys.executable)' 2>/dev/null && exit
done
