"""`30music`: a row for each listen. (The name of a module cannot begin with a digit.)"""

from pathlib import Path

from recsys.data.engine import Engine
from recsys.data.readers.columns import WHOLE_NUMBER, Fields, at_least
from recsys.data.readers.dataset import Dataset, open_sources
from recsys.data.readers.dialect import Form
from recsys.data.readers.files import find_files
from recsys.data.readers.options import Options
from recsys.data.readers.recognition import has_columns
from recsys.data.readers.times import TIME

FIELDS: Fields = {
    "user_id": ("user_id", WHOLE_NUMBER),
    "item_id": ("song_id", WHOLE_NUMBER),
    "timestamp": ("ts", TIME),
    "listened": ("playtime", at_least(30, "a number of seconds")),
}
is_30music = has_columns(*(column for column, _ in FIELDS.values()))


def read_30music(engine: Engine, path: Path, options: Options) -> Dataset:
    """Open `sessions.parquet`. A row counts as listened if `playtime` is 30 seconds or more."""
    form = Form(options.separator, encoding=options.encoding)
    return Dataset(open_sources(engine, find_files(engine, path, ("*.parquet", "*.csv")), FIELDS, form=form))
