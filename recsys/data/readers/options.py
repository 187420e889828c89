"""How a user says what their file means: the parameters of reading, each of which is empty unless it is set."""

from dataclasses import dataclass, fields

from recsys.data.errors import DataError

EVERYWHERE = ("separator", "encoding", "time_format")  # these apply to every data set of text files


@dataclass(frozen=True)
class Options:
    """The parameters of reading. Those that name columns belong to the data set `csv`."""

    user_column: str = ""
    item_column: str = ""  # "artist,track" makes the song of two columns
    time_column: str = ""
    listened_column: str = ""  # flags
    seconds_column: str = ""  # how long a listen was
    milliseconds_column: str = ""
    name_column: str = ""
    artist_column: str = ""
    positive_from: float = 0.0  # the lowest rating that counts as a positive; 0: there are no ratings
    columns: str = ""  # the names of the columns of a file without a header, separated by spaces
    separator: str = ""
    time_format: str = ""  # as for strptime, such as "%d.%m.%Y %H:%M"
    encoding: str = ""

    def refuse_columns(self, dataset: str) -> None:
        """Raise DataError if a parameter is set that only the data set `csv` reads."""
        for each in fields(self):
            if each.name not in EVERYWHERE and (value := getattr(self, each.name)) != each.default:
                raise DataError(
                    f"{each.name.upper()}: expected nothing for the data set {dataset!r}, got {value!r}; "
                    "this parameter belongs to DATASET=csv"
                )


NOTHING_SET = Options()
