"""The start of a notebook on Colab: install the requirements that are missing, and open a folder to work in."""

import importlib
import os
import subprocess
import sys
import tempfile
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def start(drive_folder: str = "") -> str:
    """Install what is missing, and change to a folder of Google Drive if one is named. Return the working directory."""
    print("installed:", " ".join(install_missing()) or "nothing, all was there")
    importlib.invalidate_caches()
    if drive_folder:
        from google.colab import drive

        drive.mount(os.path.abspath("drive"))
        os.makedirs(folder := os.path.join("drive", "MyDrive", drive_folder), exist_ok=True)
        os.chdir(folder)
    return os.getcwd()


def install_missing() -> list[str]:
    """Install this package's missing requirements with pip, and return them. Installed packages stay as they are."""
    found = reversed([each for each in metadata.distributions() if each.name])  # the first of two versions wins
    installed = {canonicalize_name(each.name): each.version for each in found}
    requirements = map(Requirement, metadata.requires("recsys") or ())
    needed = [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    missing = [f"{each.name}{each.specifier}" for each in needed if canonicalize_name(each.name) not in installed]
    if missing:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
            print(*(f"{name}==={version}" for name, version in installed.items()), sep="\n", file=pins, flush=True)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", pins.name, *missing]
            subprocess.run(command, check=True)
    return missing
