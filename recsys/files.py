"""Files that are written completely or not at all, locked while they are in use, and checked when they are read."""

import contextlib
import glob
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # on Windows, which has no such locks: nothing is marked there
    fcntl = None  # type: ignore[assignment]

SEAL = "sha256"  # the last entry of a JSON file
REPLACED = r"\.(.+)\.[0-9a-f]{8}\.earlier\.partial"  # the name of a folder while another one takes its place


@contextlib.contextmanager
def write_atomically(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, with the same suffix; it replaces `path` if the block succeeds.

    What a killed process was writing there is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, f".{path.stem}-")
    with contextlib.ExitStack() as held:
        temporary = claim(lambda: _make_file(path), held)
        try:
            yield temporary
            os.replace(temporary, path)
        except OSError as error:
            if error.filename is None and error.errno:  # Python names no file if a write fails, as on a full disk
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def claim(make: Callable[[], Path], held: contextlib.ExitStack) -> Path:
    """Return the file or folder that `make` makes, marked as in use until `held` is closed.

    Who removes leftovers may find it before it is marked, and remove it: then another one is made.
    """
    while True:
        path = make()
        with contextlib.suppress(FileNotFoundError):
            if held.enter_context(hold(path)) is not False and path.exists():
                return path


def _make_file(path: Path) -> Path:
    """Make a hidden file beside `path`."""
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    temporary.touch(exist_ok=False)
    return temporary


@contextlib.contextmanager
def hold(path: Path) -> Iterator[bool | None]:
    """Mark a file or folder as used by this process; yield whether no other process uses it, or None if unknown.

    The mark is a lock of the system, which ends with the process, however it ends. Some file systems have none.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        yield _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool | None:
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None


def remove_leftovers(folder: Path, start: str = ".") -> None:
    """Remove the hidden files and folders, whose names begin so, that processes were writing when they were killed.

    A folder that was about to be replaced then, and has no successor, gets its name back.
    """
    for path in folder.glob(f"{glob.escape(start)}*.partial*"):
        with contextlib.suppress(OSError), hold(path) as free:
            replaced = re.fullmatch(REPLACED, path.name)
            if free and replaced and not path.with_name(replaced[1]).exists():
                path.rename(path.with_name(replaced[1]))
            elif free and path.is_dir():
                shutil.rmtree(path)
            elif free:
                path.unlink()


def replace_folder(path: Path, new: Path) -> None:
    """Give the folder `new` the name `path`, and remove the folder that has this name, if there is one.

    If the process is killed between the two, `remove_leftovers` gives the earlier folder its name back.
    """
    earlier = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.earlier.partial")
    with contextlib.ExitStack() as held:
        if path.exists():
            held.enter_context(hold(path))
            path.rename(earlier)
        new.rename(path)
        shutil.rmtree(earlier, ignore_errors=True)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder for temporary files, which is removed at the end; if the process is killed, by the next one.

    Its name is short, as the path of a Unix socket in it may have about 100 characters.
    """
    remove_leftovers(Path(tempfile.gettempdir()), ".r-")
    with _removed_at_the_end(lambda: Path(tempfile.mkdtemp(".partial", ".r-"))) as folder:
        yield folder


@contextlib.contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """Yield a hidden folder in `parent`. Unless it was renamed, it is removed as a temporary folder is."""

    def make() -> Path:
        folder = parent / f".{uuid.uuid4().hex[:12]}.partial"
        folder.mkdir(parents=True)
        return folder

    remove_leftovers(parent)
    with _removed_at_the_end(make) as folder:
        yield folder


@contextlib.contextmanager
def _removed_at_the_end(make: Callable[[], Path]) -> Iterator[Path]:
    with contextlib.ExitStack() as held:
        folder = claim(make, held)
        held.callback(shutil.rmtree, folder, ignore_errors=True)
        yield folder


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically. The last entry of an object is the SHA-256 of all others.

    Infinity and NaN, which JSON does not have, become null.
    """
    value = _finite(value)
    sealed = {**value, SEAL: _digest(value)} if isinstance(value, dict) else value
    with write_atomically(path) as temporary:
        temporary.write_text(_as_text(sealed), encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file, without the SHA-256 if it has one. Raises ValueError if this does not fit, or for no JSON."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise changed(path, f"no JSON ({error})") from error
    name, found = list(value.items())[-1] if isinstance(value, dict) and value else ("", "")
    if name != SEAL and not re.fullmatch("[0-9a-f]{64}", str(found)):
        return value  # a file of other programs, or of earlier versions
    rest = {key: each for key, each in value.items() if key != name}
    if name != SEAL or found != _digest(rest) or text != _as_text(value):
        raise changed(path, "another SHA-256 than the one in its last line")
    return rest


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _as_text(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def _digest(value: Any) -> str:
    return hashlib.sha256(_as_text(value).encode()).hexdigest()


def changed(path: Path, arrived: str) -> ValueError:
    """Return the error for a file that is not as it was written; `arrived` says what it is."""
    where = f"{path.parent.name}/{path.name}"
    return ValueError(f"{where}: expected the file as it was written, got {arrived}; delete it, and make it again")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_file(path: Path, expected: str | None) -> None:
    """Raise ValueError if a file does not have the expected SHA-256, where this is known."""
    if expected and (arrived := sha256(path)) != expected:
        raise changed(path, f"the SHA-256 {arrived[:12]}… instead of {expected[:12]}…")
