"""What is set around the program: the packages that are installed, and the variables that reach a notebook's process.

A report must not depend on them: what changes a result is refused before the first step, or does not get through.
"""

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# variables that change figures, numbers or warnings, by the start of their names; no notebook's process gets them
CHANGING = ("IPYTHON", "JUPYTER", "KERAS", "MATPLOTLIB", "MPL", "PANDAS", "PYTHON", "TF_", "XLA_")
HARMLESS = {
    "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONHOME", "PYTHONNOUSERSITE", "PYTHONPATH",
    "PYTHONPYCACHEPREFIX", "TF_FORCE_GPU_ALLOW_GROWTH",
}  # fmt: skip
NEVER_IMPORTED = {"antigravity", "test", "this", "turtle"}  # modules of Python


def clean_environment(folder: Path) -> dict[str, str]:
    """Return the variables for a notebook's process, whose settings and caches are then in `folder`."""
    kept = {name: value for name, value in os.environ.items() if name in HARMLESS or not name.startswith(CHANGING)}
    (folder / "matplotlibrc").touch()
    places = {"IPYTHONDIR": "ipython", "KERAS_HOME": "keras", "MATPLOTLIBRC": "matplotlibrc"}
    places |= {f"JUPYTER_{name}_DIR": f"jupyter-{name.lower()}" for name in ("CONFIG", "DATA", "RUNTIME")}
    own = {"JUPYTER_PATH": str(folder), "KERAS_BACKEND": "tensorflow", "PYTHONUTF8": "1"}
    if not os.access(Path.home(), os.W_OK):
        places["MPLCONFIGDIR"] = "matplotlib"  # where it keeps what it knows of the fonts; else this takes a second
    own |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}  # no messages on the pages
    return kept | own | {name: str(folder / place) for name, place in places.items()}


def skip_slow_imports() -> None:
    """Keep nbformat from loading, through jsonschema, a grammar of web addresses: it takes 1.6 s and checks nothing."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def faults(root: Path) -> list[str]:
    """Return what makes a report of the project in `root` wrong or impossible, a sentence each; none if all is well."""
    missing, unfit = check_requirements()
    absent = (f"{each}: expected this package, got none" for each in missing)
    return [*absent, *unfit, *_hidden(), *_styled(root), *_kept_open()]


def installed() -> dict[str, str]:
    """Return the versions of all installed packages, by name."""
    found = reversed([each for each in metadata.distributions() if each.name])  # the first of two versions wins
    return {canonicalize_name(each.name): each.version for each in found}


def check_requirements() -> tuple[list[str], list[str]]:
    """Return the requirements of this package that are not installed, and a sentence for each that does not fit."""
    versions, missing, unfit = installed(), [], []
    for each in map(Requirement, metadata.requires("recsys") or ()):
        version = versions.get(canonicalize_name(each.name))
        if each.marker and not each.marker.evaluate({"extra": ""}):
            continue
        if version is None:
            missing.append(f"{each.name}{each.specifier}")
        elif not each.specifier.contains(version, prereleases=True):
            unfit.append(f"{each.name}: expected a version {each.specifier}, got {version}")
    return missing, unfit


def _hidden() -> Iterator[str]:
    """Yield a sentence for each module of Python that a file hides, in the working directory or in PYTHONPATH."""
    for folder in dict.fromkeys([os.curdir, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]):
        for path in (*Path(folder).glob("*.py"), *(each.parent for each in Path(folder).glob("*/__init__.py"))):
            if path.stem in sys.stdlib_module_names - NEVER_IMPORTED:
                expected = f"expected Python's own module {path.stem}, got this file"
                yield f"{path}: {expected}; rename it, or unset PYTHONPATH"


def _styled(root: Path) -> Iterator[str]:
    if (root / "matplotlibrc").exists():
        yield "matplotlibrc: expected figures in the report's own style, got this file in the project; move it away"


def _kept_open() -> Iterator[str]:
    if sys.flags.inspect:
        expected = "expected Python to end with the exit status of the command, got PYTHONINSPECT or -i, which hide it"
        yield f"{expected}; unset PYTHONINSPECT"
