"""How long a listen was, in seconds or milliseconds: the two are told apart by the whole column."""

from dataclasses import dataclass

from ibis.expr.types import Column

from recsys.data.engine import Engine
from recsys.data.errors import DataError
from recsys.data.readers.columns import Kind, Number, number

LISTENED = 30  # seconds: a longer listen counts
HOUR = 3_600  # seconds: in no log, half of the listens are longer
SHORT = 10_000  # milliseconds: in every log, more than 1 % of the listens are longer


@dataclass(frozen=True)
class Duration(Number):
    """A column of durations. If its values can only be of the other unit, that is an error."""

    unit: str = "seconds"

    def settle(self, engine: Engine, column: Column, place: str) -> Kind:
        """Return the kind for the column's decimal mark.

        Raises DataError, which names the right parameter, for a column of the other unit.
        """
        as_number = super().settle(engine, column, place)
        points = column.replace(",", ".") if as_number is not self else column
        values = number(points).name("value").as_table()
        counts = values.agg(
            n=values.value.count(), hours=(values.value > HOUR).sum(), above=(values.value > SHORT).sum()
        ).to_pyarrow()  # fmt: skip
        n, hours, above = (counts[name][0].as_py() or 0 for name in ("n", "hours", "above"))
        if self.unit == "seconds" and hours > n / 2:
            raise DataError(
                f"{place}: expected how many seconds a listen was, got {hours:,} of {n:,} values over an hour; "
                "for milliseconds, set MILLISECONDS_COLUMN instead of SECONDS_COLUMN"
            )
        if self.unit == "milliseconds" and n and above < n / 100:
            raise DataError(
                f"{place}: expected how many milliseconds a listen was, got {n - above:,} of {n:,} values below 10 "
                "seconds; for seconds, set SECONDS_COLUMN instead of MILLISECONDS_COLUMN"
            )
        return as_number


SECONDS = Duration(lambda column: number(column) > LISTENED, "a number of seconds")
MILLISECONDS = Duration(
    lambda column: number(column) > LISTENED * 1_000, "a number of milliseconds", unit="milliseconds"
)
