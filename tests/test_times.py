"""Times: one rule for all forms, found by the whole column; what is no time is never read as one."""

import datetime
import re

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.data.engine import start_engine
from recsys.data.errors import DataError
from recsys.data.listens import join_listens, settle
from recsys.data.prepare import prepare
from recsys.data.readers import open_dataset
from recsys.data.readers.options import Options
from recsys.data.split import Split

NOW = int(datetime.datetime.now(datetime.UTC).timestamp())
GOOD = [1_478_000_000 + 1000 * n for n in range(100)]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with start_engine(tmp_path_factory.mktemp("engine"), threads=2) as engine:
        yield engine


@pytest.fixture
def read(engine, tmp_path):
    """Return a function that writes values as times, and reads them in microseconds since 1970 (None: outside)."""

    def read_times(values, **options) -> list:
        table = pa.table({"user_id": ["u"] * len(values), "item_id": [f"{n:06}" for n in range(len(values))]})
        if isinstance(values, pa.Array) or not isinstance(values[0], str):
            path = tmp_path / "times.parquet"
            pq.write_table(table.append_column("timestamp", pa.array(values)), path)
        else:
            path = tmp_path / "times.csv"
            table.to_pandas().assign(timestamp=values).to_csv(path, index=False)
        engine.decisions.clear()
        data = open_dataset("csv", path, engine, Options(**options))
        listens = join_listens([settle(engine, source) for source in data.sources]).order_by("item_id").to_pandas()
        return [None if pd.isna(moment) else moment.value // 1_000 for moment in listens.timestamp]

    return read_times


def micro(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1_000_000)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    moments=st.lists(st.integers(100_000_001, NOW), min_size=1, max_size=20) | st.just([1_152_921_505]),
    unit=st.sampled_from([1, 10**3, 10**6, 10**9]),
    as_text=st.booleans(),
    fraction=st.sampled_from([0, 0.25, 0.5]),
)
def test_the_unit_is_found_by_the_column(read, moments, unit, as_text, fraction):
    values = [moment * unit + int(fraction * unit) for moment in moments]
    if unit == 1 and fraction:
        values = [moment + fraction for moment in moments]
    found = read([str(value) for value in values] if as_text else values)
    assert found == [int((moment + fraction * (unit >= 10**3 or unit == 1)) * 1_000_000) for moment in moments]


WRITTEN = {
    "2020-09-13": "2020-09-13T00:00:00+00:00", "2020-09-13 12:30": "2020-09-13T12:30:00+00:00",
    "2020-09-13T12:30:15": "2020-09-13T12:30:15+00:00", "2020-09-13 12:30:15.5": "2020-09-13T12:30:15.500000+00:00",
    "2020-09-13T12:30:15Z": "2020-09-13T12:30:15+00:00", "2020-09-13 12:30:15 UTC": "2020-09-13T12:30:15+00:00",
    "2020-09-13T12:30:15+02:00": "2020-09-13T12:30:15+02:00", "2020-09-13T12:30:15-0330": "2020-09-13T12:30:15-03:30",
    "2020-09-13T12:30:15.123456+05:45": "2020-09-13T12:30:15.123456+05:45",
    "2020-09-13 00:30:00+14": "2020-09-13T00:30:00+14:00", " 2020-09-13 12:30 ": "2020-09-13T12:30:00+00:00",
}  # fmt: skip


def test_written_times_become_utc(read):
    assert read(list(WRITTEN)) == [micro(text) for text in WRITTEN.values()]


@pytest.mark.parametrize(("values", "expected"), [
    (["20200913", "20160229"], ["2020-09-13T00:00:00+00:00", "2016-02-29T00:00:00+00:00"]),
    ([20200913, 20160229], ["2020-09-13T00:00:00+00:00", "2016-02-29T00:00:00+00:00"]),
    ([20200913.0], ["2020-09-13T00:00:00+00:00"]),
    (["20200913123015"], ["2020-09-13T12:30:15+00:00"]),
    (["44087.51", "44088"], ["2020-09-13T12:14:24+00:00", "2020-09-14T00:00:00+00:00"]),
    ([44087.5], ["2020-09-13T12:00:00+00:00"]),
])  # fmt: skip
def test_dates_as_numbers_and_a_spreadsheet_s_days_are_recognised(read, engine, values, expected):
    assert read(values) == [micro(text) for text in expected]
    assert (
        "whole numbers" in engine.decisions[-1]
        or "one number" in engine.decisions[-1]
        or "spread" in engine.decisions[-1]
    )


def test_a_format_of_the_user(read):
    assert read(["01 Jan 2020, 12:34"], time_format="%d %b %Y, %H:%M") == [micro("2020-01-01T12:34:00+00:00")]
    assert read(["13.09.2020 12:30", "x"], time_format="%d.%m.%Y %H:%M") == [micro("2020-09-13T12:30:00+00:00"), None]
    assert read([13092020], time_format="%d%m%Y") == [micro("2020-09-13T00:00:00+00:00")]


SUGGESTED = [
    ["01.03.2020 00:10:19", "14.03.2020 23:10:00"], ["31.03.20 00:10"], ["3/14/2020 1:05 PM"], ["14 Mar 2020, 13:05"],
    ["March 4, 2020"], ["2020/03/14 13:05:01.25"], ["13.05 14.3.2020", "x"], ["14-03-2020T13:05"],
]  # fmt: skip


@pytest.mark.parametrize("values", SUGGESTED, ids=lambda values: values[0])
def test_the_format_that_an_error_suggests_reads_the_values(read, values):
    """For `13.05 14.3.2020` no format is known."""
    for wrong in ("", "%d-%m-%y %H"):
        with pytest.raises(DataError) as error:
            read(values, time_format=wrong)
        message = str(error.value)
        assert (f"{wrong!r}, as TIME_FORMAT says" in message) == bool(wrong) and repr(values[0]) in message
        suggested = re.findall(r'TIME_FORMAT="(.*?)" reads such times', message)
        assert len(suggested) == ("x" not in values) and [*error.value.parameters.values()] == suggested
        for each in suggested:
            assert None not in read(values, time_format=each)


def test_a_day_that_could_be_a_month_is_not_guessed(read):
    both = 'TIME_FORMAT="%d/%m/%Y" or TIME_FORMAT="%m/%d/%Y" reads such times'
    with pytest.raises(DataError, match=both) as error:
        read(["03/04/2020", "05/06/2020"])
    assert error.value.parameters == {}
    with pytest.raises(DataError, match='; TIME_FORMAT="%m/%d/%Y" reads such times'):
        read(["03/04/2020", "05/26/2020"])
    with pytest.raises(DataError, match='; TIME_FORMAT="%d.%m.%Y" reads such times'):
        read(["04.04.2020", "05.05.2020"])


def test_a_format_that_is_none_is_an_error_that_says_so(read):
    with pytest.raises(DataError, match="TIME_FORMAT: expected a format as for strptime, .* got '%d.%m.%Q'"):
        read(["01.03.2020"], time_format="%d.%m.%Q")


def test_a_spreadsheet_s_days_may_have_decimal_commas(read):
    assert read(["44087,51", "44088"]) == [micro("2020-09-13T12:14:24+00:00"), micro("2020-09-14T00:00:00+00:00")]
    with pytest.raises(DataError, match="got '44,087'"):
        read(["44,087", "44,088"])


def test_times_in_parquet(read):
    moment = datetime.datetime(2020, 9, 13, 12, 30, 15, 500_000)
    for unit in ("s", "ms", "us", "ns"):
        expected = moment.replace(microsecond=0) if unit == "s" else moment
        assert read(pa.array([expected], pa.timestamp(unit))) == [micro(f"{expected.isoformat()}+00:00")]
        assert read(pa.array([expected], pa.timestamp(unit, "Asia/Tokyo"))) == [micro(f"{expected.isoformat()}+00:00")]
    for type_ in (pa.date32(), pa.date64()):
        assert read(pa.array([moment.date()], type_)) == [micro("2020-09-13T00:00:00+00:00")]
    for type_ in (pa.time32("s"), pa.time64("us")):
        with pytest.raises(DataError, match="column 'timestamp': expected times, got times of day without a date"):
            read(pa.array([datetime.time(12, 30)], type_))
    with pytest.raises(DataError, match="column 'timestamp': expected times, got values of the type boolean"):
        read(pa.array([True]))


@pytest.mark.parametrize(("values", "message"), [
    ([*GOOD, GOOD[0] * 1000], "got 100 of unix seconds and 1 of unix milliseconds"),
    ([*GOOD, 20200913], "got 1 of dates as whole numbers, such as 20200913 and 100 of unix seconds"),
    ([*GOOD, 44087.51], "got 100 of unix seconds and 1 of a spreadsheet's days"),
    ([*map(str, GOOD), "2020-09-13"], "got 100 of unix seconds and 1 of written dates and times"),
    ([0, 1, 2], "expected a time between 1970 and now: .*, got 0; set TIME_FORMAT to their form"),
    (["0", "0"], "got '0'"),
    (list(range(100_000)), "got 0"),
    (["13.09.2020 12:30"], "got '13.09.2020 12:30'; TIME_FORMAT=\"%d.%m.%Y %H:%M\" reads such times"),
    (["12:30"], "got '12:30'"),
])  # fmt: skip
def test_what_is_no_time_or_in_several_forms_is_an_error(read, values, message):
    with pytest.raises(DataError, match=message):
        read(values)


OUTSIDE = {
    "seconds": (GOOD, [0, -1, NOW + 200_000, 32_503_680_000]),
    "milliseconds": ([1000 * each for each in GOOD], [0, (NOW + 200_000) * 1000]),
    "written": ([str(datetime.datetime.fromtimestamp(each, datetime.UTC)) for each in GOOD],
                ["2999-01-01", "0001-01-01 00:00:00", "1969-12-31 23:59:59", "1970-01-01 00:00:00"]),
    "numbers": ([20200101 + each for each in range(28)], [29990101, 19000101]),
    "Parquet": ([datetime.datetime.fromtimestamp(each) for each in GOOD],
                [datetime.datetime(2999, 1, 1), datetime.datetime(1, 1, 1), datetime.datetime(1970, 1, 1)]),
    "dates": ([datetime.date.fromtimestamp(each) for each in GOOD], [datetime.date(2999, 1, 1)]),
}  # fmt: skip


@pytest.mark.parametrize("form", OUTSIDE)
def test_one_rule_for_times_outside_in_all_forms(read, tmp_path, form):
    good, bad = OUTSIDE[form]
    for value in bad:
        found = read([*good, value, *good])
        assert found.index(None) == len(good) and found.count(None) == 1, value
    values = [*good, *bad, *good]
    frame = pd.DataFrame(
        {"user_id": [f"u{n % 3}" for n in range(len(values))], "timestamp": pd.Series(values, dtype=object)}
    )
    frame["item_id"] = [f"s{n % 30}" for n in range(len(values))]
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({name: pa.array(frame[name].tolist()) for name in frame}), path)
    with pytest.raises(DataError) as error:
        prepare("csv", path, root=tmp_path)
    assert f"log.parquet, row {len(good) + 1}, column 'timestamp': expected a time between 1970 and now" in str(
        error.value
    )
    ending, them = ("", "it") if len(bad) == 1 else ("s", "them")
    expected = f"; {len(bad)} row{ending} with a time before 1970 or after today (row{ending} {len(good) + 1}"
    assert expected in str(error.value)
    assert f"TIMES_OUTSIDE=drop leaves {them} out and counts {them}" in str(error.value)
    made = prepare("csv", path, root=tmp_path, times_outside="drop", split="by-user-last")
    assert made.manifest["steps"][1] == {
        "step": "times", "rows_in": len(values), "dropped": {"with a time before 1970 or after today": len(bad)},
        "rows_out": 2 * len(good),
    }  # fmt: skip
    assert max(Split.load(made.folder).test.timestamp).astype("datetime64[Y]").astype(int) + 1970 < 2027
