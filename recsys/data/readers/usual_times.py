"""Times that a format writes in one way: read by this way if the whole column has it, else like any other times."""

from dataclasses import dataclass

from ibis.expr.types import Column

from recsys.data.engine import Engine
from recsys.data.readers.columns import Kind, epoch_us
from recsys.data.readers.times import TIME, Form, Time, in_range, time_in, try_strptime


@dataclass(frozen=True)
class UsualTime(Time):
    """A column of times that usually have the form `usual`, as for strptime. To try it first takes less time."""

    usual: str = ""

    def settle(self, engine: Engine, column: Column, place: str) -> Kind:
        """Return the kind for the usual form if all values have it, else for the form that is found."""
        values = column.name("value").as_table()
        counts = values.agg(n=values.value.count(), usual=try_strptime(values.value, self.usual).count()).to_pyarrow()
        if counts["n"][0].as_py() != counts["usual"][0].as_py():
            return super().settle(engine, column, place)
        return in_range(Form("", Column.notnull, lambda texts: epoch_us(try_strptime(texts, self.usual))))


def usually(usual: str, time_format: str = "") -> Time:
    """Return the kind of times in the user's TIME_FORMAT or, if that is empty, in their usual form."""
    return time_in(time_format) if time_format else UsualTime(TIME.parse, TIME.expected, usual=usual)
