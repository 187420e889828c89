"""What a reader returns: its files of listens (Source), and with them what is known of the songs (Dataset)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ibis.expr.types import Column, Table

from recsys.data.engine import Engine
from recsys.data.readers.columns import Fields
from recsys.data.readers.dialect import UNKNOWN, Form
from recsys.data.readers.files import File
from recsys.data.readers.tables import Opened, open_tables


@dataclass(frozen=True, eq=False)
class Source:
    """Files of listens: their rows as they are, and what the rows mean.

    `fields` names the table's columns for `user_id` and `item_id`, and for `timestamp`, `place` (from 1, in a list that
    may be in the order of time) and `listened` if there are such. Without `listened`, every row counts as listened.
    `part` is 0, 1 or 2 if all rows belong to train, validation or test. `items` and `users` are columns that describe
    the song or the user of a row: our name → the values. `left_out` marks rows that are no listens, such as podcasts:
    reason → yes or no; they are dropped and counted. `line` is the table's column with line numbers, if it has its own.
    `used` are the columns that are used in any way, where the user names them.
    `look` gets the table of the columns `kept` once they are read, and warns of what is odd in them.
    """

    opened: Opened
    fields: Fields
    part: int | None = None
    items: Mapping[str, Column] = field(default_factory=dict)
    users: Mapping[str, Column] = field(default_factory=dict)
    left_out: Mapping[str, Column] = field(default_factory=dict)
    line: str = ""
    kept: Mapping[str, Column] = field(default_factory=dict)
    look: Callable[[Engine, Table], None] | None = None
    used: frozenset[str] = frozenset()

    @property
    def table(self) -> Table:
        """The rows as they are in the files."""
        return self.opened.table

    @property
    def name(self) -> str:
        """The names of the files, for messages."""
        first, *others = self.opened.files
        return first.name if not others else f"{first.name} and {len(others)} more"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Files of listens, and other files that tell more of the songs and users.

    `songs` is a file with a row for each song, `item_id`, whose `items` describe it. `lists` are files with all ids of
    the data set, also those that no listen has, by what they list, "item" or "user". `more_files` were read as well.
    `named_after_people` says that the name of a file or folder may be that of a user: no page shows it then.
    """

    sources: tuple[Source, ...]
    songs: Source | None = None
    lists: Mapping[str, Source] = field(default_factory=dict)
    more_files: tuple[File, ...] = ()
    named_after_people: bool = False

    @property
    def files(self) -> tuple[File, ...]:
        """All of the user's files that are read, a zip once. The key of the prepared folder depends on them."""
        sources = [*self.sources, *self.lists.values(), *([self.songs] if self.songs else [])]
        files = [file for source in sources for file in source.opened.files]
        by_path: dict[Path, File] = {}
        for file in [*files, *self.more_files]:
            by_path.setdefault(file.path, file)
        return tuple(by_path.values())


def open_sources(
    engine: Engine,
    files: Sequence[File],
    fields: Fields,
    more: Sequence[str] = (),
    form: Form = UNKNOWN,
    hint: str = "",
) -> tuple[Source, ...]:
    """Open files of listens with the columns of `fields` and `more`: one source for those that are written alike."""
    wanted = list(dict.fromkeys([*(column for column, _ in fields.values()), *more]))
    return tuple(Source(each, fields) for each in open_tables(engine, files, wanted, form=form, hint=hint))


def add_columns(table: Table, other: Table, key: str) -> Table:
    """Return all rows of `table` with the columns of `other` that has the same `key`, null where there is none."""
    return table.left_join(other, key).drop(f"{key}_right")
