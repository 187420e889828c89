"""Damaged files through every reader, and damaged arguments through the parser of the parameters."""

import io
import json
import random
import resource
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny
from conftest import REPOSITORY
from malformed import damage
from test_malformed import CASES, refused

from recsys.data.errors import DataError
from recsys.data.readers.dialect import UNKNOWN, find_dialect
from recsys.reports.parameters import read_parameters, read_values

SECONDS = 400.0  # for all readers, in two processes
ROUND = 10  # files, whose time together must be within the limit of one
LIMIT_SECONDS, LIMIT_BYTES = 10.0, 2**30
LETTERS = "aZ09 .,-+eE_=/\\~'\"\n\t\0\x1b\u202e\ud7ffñ🎵%{}$;|&<>"
COLUMNS = ("user_id", "item_id", "timestamp")


def peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read_damaged(root: Path, name: str, seconds: float) -> int:
    """Read damaged files until the time is over; write what was seen to found.json."""
    n, n_refused, slowest, number, before, end = 0, 0, 0.0, 0, peak(), time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.process_time()  # not the clock: the machine may do other work
        n_refused += refused(root, name, ROUND, seed=f"{root.name} {number}")
        slowest = max(slowest, time.process_time() - started)
        n, number = n + ROUND - 1, number + 1
    (root / "found.json").write_text(json.dumps([n, n_refused, slowest, peak() - before]))
    return 0


@pytest.mark.parametrize("name", CASES)
def test_readers(tmp_path, full, count, name):
    """The check of a single file is in tests/test_malformed.py."""
    if not full:
        pytest.skip("tests/test_malformed.py is the short form")
    roots, seconds = [tmp_path / "one", tmp_path / "two"], SECONDS / len(CASES)
    for root in roots:
        root.mkdir()
    processes = [tiny.start(root, read_damaged, name, seconds) for root in roots]
    states = [tiny.finish(each, seconds + 60) for each in processes]
    assert states == [0, 0], [(root / "log").read_text()[-3000:] for root in roots]
    n, n_refused, slowest, grown = zip(*(json.loads((root / "found.json").read_text()) for root in roots), strict=True)
    wrong = sum(each > LIMIT_SECONDS for each in slowest) + sum(each > LIMIT_BYTES for each in grown)
    rule = "A DataError, or all rows are read and the account adds up; less than 10 s of computing and 1 GB."
    note = f"{sum(n_refused):,} refused; at most {max(slowest):.1f} s for {ROUND} files; "
    note += f"{max(grown) / 2**20:.0f} MB more memory."
    count(f"damaged files: {name}", sum(n), wrong, rule, note)


def test_the_finder_of_separator_and_header(full, count):
    """It sees a text before DuckDB does."""
    rows = [f"u{number % 7},s{number % 5},{1_600_000_000 + number}" for number in range(12)]
    whole, rng = "\n".join([",".join(COLUMNS), *rows]).encode(), random.Random(0)
    n, wrong, n_refused, slowest = 0, [], 0, 0.0
    while n < (100_000 if full else 1000):
        bad = damage(whole, rng)
        bad = damage(bad, rng) if 0 < len(bad) < 2000 and rng.random() < 0.5 else bad
        if len(bad) > 2**20:  # a long line; they take longer than all others, and test_readers has them
            continue
        n, started = n + 1, time.monotonic()
        try:
            file = SimpleNamespace(name="log.csv", stream=lambda bad=bad: io.BytesIO(bad))
            found = find_dialect(file, COLUMNS, UNKNOWN)
            wrong += [] if len(found.names) >= len(COLUMNS) and found.skip >= 0 else [bad]
        except DataError:
            n_refused += 1
        except Exception as error:
            wrong.append((bad, error))
        slowest = max(slowest, time.monotonic() - started)
    print(*wrong[:20], sep="\n")
    assert slowest < LIMIT_SECONDS
    what, rule = "damaged texts: their separator and header", "A DataError, or a way to read it that has the columns."
    count(what, n, len(wrong), rule, f"{n_refused:,} refused.")


def test_the_parser_of_the_parameters(full, count):
    parameters = read_parameters(sorted((REPOSITORY / "notebooks").glob("0[1-4]_*.ipynb")))
    rng, wrong, n_refused, n, slowest = random.Random(0), [], 0, 100_000 if full else 3000, 0.0
    names = [*parameters]
    for _ in range(n):
        text = "".join(rng.choices(LETTERS, k=rng.randrange(12)))
        name = rng.choice(names) if rng.random() < 0.9 else "".join(rng.choices("AB_=xÄ", k=5))
        argument, started = f"{name}={text}" if rng.random() < 0.95 else text, time.monotonic()
        try:
            values = read_values([argument], parameters, REPOSITORY)
            (found,) = values
            wrong += [] if type(values[found]) is parameters[found].type else [argument]
        except ValueError:
            n_refused += 1
        except Exception as error:
            wrong.append(f"{argument!r}: {error!r}")
        slowest = max(slowest, time.monotonic() - started)
    print(*wrong[:20], sep="\n")
    assert slowest < LIMIT_SECONDS
    rule = "A ValueError, or a value of the declared type."
    count("damaged parameters", n, len(wrong), rule, f"{n_refused:,} refused.")
