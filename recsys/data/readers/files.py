"""The user's files: which ones `DATA_PATH` means, and how each is opened, plain, compressed or inside a zip."""

import fnmatch
import glob
import gzip
import io
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

import pyarrow as pa

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.addresses import Address, nothing_there
from recsys.files import sha256, write_atomically

LARGEST = 200 * 2**30  # bytes that a zip may hold once it is extracted
PIECE = 2**20  # bytes
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PAR1": "parquet", b"PK\x03\x04": "zip"}
UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, pa.ArrowException)  # what damaged files lead to


@dataclass(frozen=True)
class File:
    """A file of the user, or a member of a zip of theirs.

    `path` is the user's file, `inside` its place below DATA_PATH, with the zip's name and the folders in it; messages
    name the file by `name`. DuckDB opens `opened`, a safe name. `compression` is "gzip", "zstd" or empty.
    """

    path: Path
    inside: PurePosixPath
    opened: Path
    compression: str = ""
    is_parquet: bool = False
    names: tuple[str, ...] = ()  # the columns, of what only the engine opens

    @property
    def name(self) -> str:
        """The place below DATA_PATH."""
        return str(self.inside)

    @property
    def suffix(self) -> str:
        """The last suffix in lower case, without that of the compression: `.csv` of `log.CSV.gz`."""
        suffixes = [each.lower() for each in self.inside.suffixes]
        return next((each for each in reversed(suffixes) if each not in (".gz", ".zst")), "")

    def place(self, home: Path) -> str:
        """Return the user's path, relative to the folder `home` if it is there."""
        return os.path.relpath(self.path, home) if home in self.path.parents else str(self.path.resolve())

    def stamp(self) -> Sequence[object]:
        """Return what changes if the user's file does: its size and date."""
        found = self.path.stat()
        return found.st_size, found.st_mtime_ns

    def described(self, name: str) -> list[dict[str, Any]]:
        """Return the size and hash of the user's file under this name, for the manifest."""
        return [{"name": name, "bytes": self.path.stat().st_size, "sha256": sha256(self.path)}]

    @contextmanager
    def stream(self) -> Iterator[BinaryIO]:
        """Yield the content, decompressed, as a stream. Raises DataError for a file that is damaged or incomplete."""
        try:
            with open(self.opened, "rb") as raw:
                if self.compression == "gzip":
                    yield cast(BinaryIO, gzip.GzipFile(fileobj=raw))
                elif self.compression == "zstd":
                    yield io.BufferedReader(_Zstd(raw), PIECE)
                else:
                    yield raw
        except UNREADABLE as error:
            raise DataError(f"{self.name}: expected a complete {self.compression or 'file'}, got {error}") from error

    def verify(self, end: bytes = b"") -> None:
        """Raise DataError if the file is incomplete, in ways that DuckDB does not notice.

        A compressed file must be whole and undamaged; the last visible character must be `end`.
        """
        if not self.compression and not end:
            return
        last = b""
        with self.stream() as stream:
            if not self.compression:
                stream.seek(max(0, self.opened.stat().st_size - PIECE))
            while piece := stream.read(PIECE):
                last = piece.rstrip() or last
        if not last.endswith(end):
            raise DataError(
                f"{self.name}: expected a complete file that ends in {end.decode()!r}, got one that does not"
            )


class _Zstd(io.RawIOBase):
    """Decompressed bytes of a zstd file, of one frame or several. Raises EOFError if the last frame is not complete."""

    def __init__(self, raw: IO[bytes]):
        self.stream = pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = self.stream.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


def find_files(engine: Engine, path: Path | Address, patterns: Sequence[str] = ("*",)) -> list[File]:
    """Return the files that `DATA_PATH` means, in the order of their names.

    `path` is a file, a folder or, if nothing of that name exists, a pattern with `*` or `?`. Of a folder and of a zip,
    all files count, at any depth, whose name fits one of `patterns`, in any case and with or without `.gz` or `.zst`;
    hidden files do not. Raises DataError if there is none, or an empty one.
    """
    if isinstance(path, Address):
        return engine.open_address(path)
    if path.is_file():
        found = [(path, PurePosixPath(path.name))]
    elif path.is_dir():
        found = [(each, PurePosixPath(each.relative_to(path).as_posix())) for each in _all_files(path)]
        found = [(each, inside) for each, inside in found if _fits(inside, (*patterns, "*.zip"))]
    elif matches := _match(path):
        found = [(each, PurePosixPath(each.name)) for each in matches]
    else:
        raise nothing_there(path)
    files: list[File] = []
    for each, inside in found:
        opened = open_file(engine, each, inside)
        files += [opened] if opened else _extract(engine, each, inside, patterns)
    if not files:
        raise DataError(f"DATA_PATH: expected files named {' or '.join(patterns)} in {path.name}, got none")
    return files


def find_one(engine: Engine, path: Path, name: str) -> File:
    """Return the file of this name in the folder or zip `path`, plain or compressed."""
    if path.is_file() and not zipfile.is_zipfile(path):
        raise DataError(f"DATA_PATH: expected a folder or a zip with {name}, got a file, {path.name}")
    if path.is_dir() and not _has(path, name) and not list(path.rglob("*.zip")):
        raise DataError(f"DATA_PATH: expected a file at {path / name}, got nothing there")
    found = find_files(engine, path, (name,))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise DataError(f"DATA_PATH: expected one file {name} in {path.name}, got {names}")
    return found[0]


def find_optional(engine: Engine, path: Path, name: str) -> list[File]:
    """Return the file of this name in the folder or zip `path`, in a list that is empty if there is none."""
    return [find_one(engine, path, name)] if _has(path, name) else []


def _has(path: Path, name: str) -> bool:
    """Return whether a folder or a zip has a file of this name."""
    if path.is_dir():
        names = [each.name for each in _all_files(path)]
    else:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    return any(_fits(PurePosixPath(each), (name,)) for each in names)


def open_file(engine: Engine, path: Path, inside: PurePosixPath | None = None) -> File | None:
    """Open one file under a safe name; None if it is a zip. Raises DataError if it is no file, or an empty one."""
    if not path.is_file():
        raise DataError(f"DATA_PATH: expected a file at {path}, got {'a folder' if path.is_dir() else 'nothing there'}")
    inside = inside or PurePosixPath(path.name)
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(f"{inside}: expected a file that can be read, got {error.strerror}") from error
    if not start:
        raise DataError(f"{inside}: expected rows, got an empty file")
    kind = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), "")
    if kind == "zip":
        return None
    is_parquet = kind == "parquet" or inside.suffix.lower() == ".parquet"
    return File(path, inside, engine.link(path), "" if is_parquet else kind, is_parquet)


def _all_files(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(path for path in files if not _is_hidden(PurePosixPath(path.relative_to(folder).as_posix())))


def _is_hidden(inside: PurePosixPath) -> bool:
    return any((each.startswith(".") and each != "..") or each == "__MACOSX" for each in inside.parts)


def _fits(inside: PurePosixPath, patterns: Iterable[str]) -> bool:
    name = re.sub(r"\.(gz|zst)$", "", inside.name.lower())
    return any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in patterns)


def _match(path: Path) -> list[Path]:
    """Return the files that fit a pattern; in it, only `*` and `?` are special."""
    text = str(path)
    if "*" not in text and "?" not in text:
        return []
    found = sorted(Path(each) for each in glob.glob(text.replace("[", "[[]"), recursive=True))
    if not (files := [each for each in found if each.is_file()]):
        raise DataError(f"DATA_PATH: expected files that fit the pattern {path.name!r}, got none")
    return files


def _extract(engine: Engine, path: Path, inside: PurePosixPath, patterns: Sequence[str]) -> list[File]:
    """Extract the members of a zip that fit, each to a scratch file with a name of our own."""
    files: list[File] = []
    left = min(LARGEST, shutil.disk_usage(engine.scratch).free // 2)
    try:
        with zipfile.ZipFile(path) as archive:
            for member in sorted(archive.infolist(), key=lambda each: each.filename):
                place = PurePosixPath(member.filename)
                if member.is_dir() or _is_hidden(place) or not _fits(place, patterns):
                    continue
                target = engine.new_path()
                with archive.open(member) as source, open(target, "wb") as file:
                    left -= _copy(source, file, left, str(inside))
                found = open_file(engine, target, inside / place)
                if not found:
                    raise DataError(f"{inside / place}: expected a table, got a zip inside a zip; extract it first")
                files.append(File(path, inside / place, found.opened, found.compression, found.is_parquet))
    except (*UNREADABLE, RuntimeError, NotImplementedError) as error:  # the last two: a password, an unknown method
        if isinstance(error, DataError):
            raise
        raise DataError(f"{inside}: expected a zip that can be read, got {error}") from error
    return files


def _copy(source: IO[bytes], target: IO[bytes], most: int, name: str) -> int:
    written = 0
    while piece := source.read(PIECE):
        written += len(piece)
        if written > most:
            raise DataError(f"{name}: expected files that fit on the disk once extracted, got more; extract it first")
        target.write(piece)
    return written


def write_once(path: Path, write: Callable[[Path], None]) -> Path:
    """Write a generated file unless it exists. Its date is fixed: the key of a prepared folder depends on dates."""
    if not path.exists():
        with write_atomically(path) as temporary:
            write(temporary)
            os.utime(temporary, (0, 0))
    return path
