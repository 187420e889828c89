"""The formats, as for TIME_FORMAT, that read a written time: found by reading it, for messages and `make inspect`.

No file is read by these: they are shown to the user, who types one.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

ORDERS = ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y", "%Y{0}%m{0}%d", "%d{0}%m{0}%y", "%m{0}%d{0}%y")
NAMED = ("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d. %B %Y", "%d. %b %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y")
DATES = (*(order.format(mark) for mark in "./- " for order in ORDERS), *NAMED)
CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%H.%M.%S", "%H.%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M%p")
FORMATS = (
    *(f"{date}{glue}{clock}" for date in DATES for glue in (" ", ", ", "T", " - ") for clock in CLOCKS),
    *(f"{clock} {date}" for date in DATES for clock in CLOCKS[:2]),
    *DATES,
)


def formats_of(values: Sequence[str]) -> list[str]:
    """Return the formats that read every value as a time from 1970 to now. Several read the values differently."""
    readings: dict[tuple[datetime, ...], str] = {}
    for each in FORMATS if values else ():
        if times := _read(values, each):
            readings.setdefault(times, each)
    return list(readings.values())


def assignments(formats: Iterable[str]) -> str:
    """Return TIME_FORMAT with each of the formats, as a user types it."""
    return " or ".join(f'TIME_FORMAT="{each}"' for each in formats)


def has_clock(format_: str) -> bool:
    """Return whether a format has a time of day."""
    return "%H" in format_ or "%I" in format_


def _read(values: Sequence[str], format_: str) -> tuple[datetime, ...]:
    """Return the times that a format reads, none if it does not read all."""
    latest = datetime.now() + timedelta(days=1)
    try:
        times = tuple(datetime.strptime(value.strip(), format_) for value in values)
    except ValueError:
        return ()
    return times if all(datetime(1970, 1, 1) < each < latest for each in times) else ()
