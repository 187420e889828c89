"""Whose file it is, where the rows do not say: a file, or the folder that it lies in, is named after a person."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from recsys.data.readers.files import File


def folders_of(file: File, path: Path) -> tuple[str, ...]:
    """Return the folders that a file of `DATA_PATH` lies in, the outermost first. A zip is a folder without suffix."""
    place = file.path.relative_to(path) if path.is_dir() else Path(file.path.name)
    outside, members = Path(os.path.abspath(file.path)), file.inside.parts[len(place.parts) :]
    return (*outside.parent.parts, outside.stem, *members[:-1]) if members else outside.parent.parts


def name_places(places: Mapping[File, tuple[str, ...]]) -> dict[File, str]:
    """Return a name for the place of each file: its last part, and those before it that tell it from other places."""
    distinct = set(places.values())
    ends = Counter(place[-n:] for place in distinct for n in range(1, len(place) + 1))
    names = {}
    for place in distinct:
        n_parts = next((n for n in range(1, len(place)) if ends[place[-n:]] == 1), len(place))
        names[place] = "/".join(place[-n_parts:])
    return {file: names[place] for file, place in places.items()}
