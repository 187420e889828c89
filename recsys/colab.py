"""The start of a notebook on Colab: install the requirements that are missing, and open a folder to work in."""

import importlib
import os
import subprocess
import sys
import tempfile

from recsys.reports.surroundings import check_requirements, installed


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
    """Install this package's missing requirements with pip, and return them. Installed packages stay as they are.

    Raises ImportError if the version of one of these does not fit.
    """
    missing, unfit = check_requirements()
    if unfit:
        raise ImportError("\n".join(unfit))
    if missing:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
            print(*(f"{name}==={version}" for name, version in installed().items()), sep="\n", file=pins, flush=True)
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", pins.name, *missing]
            subprocess.run(command, check=True)
    return missing
