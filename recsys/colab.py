"""The start of a notebook on Colab: what Colab lacks of this package's requirements, and a folder to work in."""

import importlib
import os
import subprocess
import sys
import tempfile
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def start(drive_folder: str = "") -> str:
    """Install what is missing and go to a folder of Google Drive, or stay here without one; return where that is.

    Raises CalledProcessError as `install_missing` does.
    """
    print("installed:", " ".join(install_missing()) or "nothing, all was there")
    importlib.invalidate_caches()
    if drive_folder:
        from google.colab import drive

        drive.mount(os.path.abspath("drive"))
        os.makedirs(folder := os.path.join("drive", "MyDrive", drive_folder), exist_ok=True)
        os.chdir(folder)
    return os.getcwd()


def install_missing() -> list[str]:
    """Install by pip the requirements of this package that are missing, every package that is there held; return them.

    Raises CalledProcessError where pip finds no versions that go with those that are there.
    """
    there = {canonicalize_name(each.name): each.version for each in reversed([*metadata.distributions()]) if each.name}
    wanted = map(Requirement, metadata.requires("recsys") or ())
    base = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    missing = [f"{each.name}{each.specifier}" for each in base if canonicalize_name(each.name) not in there]
    if missing:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as held:
            print(*(f"{name}==={version}" for name, version in there.items()), sep="\n", file=held, flush=True)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", held.name, *missing]
            subprocess.run(command, check=True)
    return missing
