"""Damaged files through every reader, and damaged arguments through the parser of the parameters."""

import random
import resource
import time

import pytest
from conftest import REPOSITORY
from test_malformed import CASES, refused

from recsys.reports.parameters import read_parameters, read_values

SECONDS = 150.0  # for all readers in the full form
ROUND = 10  # files, whose time together must be within the limit of one
LIMIT_SECONDS, LIMIT_BYTES = 10.0, 2**30
LETTERS = "aZ09 .,-+eE_=/\\~'\"\n\t\0\x1b\u202e\ud7ffñ🎵%{}$;|&<>"


def peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.mark.parametrize("name", CASES)
def test_readers(tmp_path, full, count, name):
    """The check of a single file is in tests/test_malformed.py."""
    tried, n_refused, slowest, number = 0, 0, 0.0, 0
    size, end = (ROUND, time.monotonic() + SECONDS / len(CASES)) if full else (2, 0.0)
    before = peak()
    while number == 0 or time.monotonic() < end:
        started = time.monotonic()
        n_refused += refused(tmp_path, name, size, seed=f"round {number}")
        slowest = max(slowest, time.monotonic() - started)
        tried, number = tried + size - 1, number + 1
    grown = peak() - before
    wrong = (slowest > LIMIT_SECONDS) + (grown > LIMIT_BYTES)
    rule = "A DataError, or all rows are read and the account adds up; less than 10 s and 1 GB."
    note = f"{n_refused:,} refused; at most {slowest:.1f} s for {size} files; "
    note += f"{grown / 2**20:.0f} MB more memory."
    count(f"damaged files: {name}", tried, wrong, rule, note)


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
