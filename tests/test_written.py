"""The project's own files and folders: written completely or not at all, whenever the process ends."""

import json
import subprocess
import sys

import pytest

from recsys.files import hold, read_json, remove_leftovers, replace_folder, write_json

ENDS_BEFORE_A_CHANGE = """
import os, sys
from pathlib import Path
from recsys.files import replace_folder
left = int(sys.argv[1])
def count(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir"):
        if left == 0:
            os._exit(9)
        left -= 1
sys.addaudithook(count)
replace_folder(Path("lists"), Path("new"))
"""


@pytest.fixture
def folders(tmp_path):
    """Return a folder with two others, `lists` and `new`, each with a file that says its name."""
    for name in ("lists", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(name)
    return tmp_path


@pytest.mark.parametrize("n_changes", range(5))
def test_a_folder_is_replaced_or_comes_back(folders, n_changes):
    command = [sys.executable, "-c", ENDS_BEFORE_A_CHANGE, str(n_changes)]
    status = subprocess.run(command, cwd=folders, check=False).returncode
    assert status == (9 if n_changes < 4 else 0)  # two new names, then a file and a folder are removed
    remove_leftovers(folders)
    assert (folders / "lists" / "name").read_text() == ("lists" if n_changes < 2 else "new")
    assert {each.name for each in folders.iterdir()} == ({"lists", "new"} if n_changes < 2 else {"lists"})


def test_a_folder_that_another_process_replaces_is_left_to_it(folders):
    earlier = (folders / "lists").rename(folders / ".lists.0123abcd.earlier.partial")
    with hold(earlier):
        remove_leftovers(folders)
        assert earlier.exists() and not (folders / "lists").exists()
    remove_leftovers(folders)
    assert (folders / "lists" / "name").read_text() == "lists" and not earlier.exists()


def test_a_folder_takes_a_free_name(folders):
    replace_folder(folders / "other", folders / "new")
    assert {each.name for each in folders.iterdir()} == {"lists", "other"}


def test_what_is_written_as_json_is_json(tmp_path):
    values = {"a": float("inf"), "b": [float("nan"), 1.5], "c": {"d": (float("-inf"), 2)}}
    write_json(tmp_path / "a.json", values)

    def refuse(name):
        raise AssertionError(name)

    json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert read_json(tmp_path / "a.json") == {"a": None, "b": [None, 1.5], "c": {"d": [None, 2]}}
