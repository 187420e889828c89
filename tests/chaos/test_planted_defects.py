"""Faults that made published figures wrong, planted in a copy of the code one by one: the tests find each."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

METRICS, RANKING, EVALUATE = (f"evaluation/{name}.py" for name in ("metrics", "ranking", "evaluate"))
SPLIT, PARTITION, LOSSES = "data/split.py", "data/partition.py", "training/losses.py"
SAMPLE = "test_checks::test_the_sample_passes"
LAST = "test_prepare::test_the_last_listens_are_test_and_equal_times_are_not_ordered_by_id"
LATER = 'latest_first = ibis.window(group_by="user_id", order_by=[ibis.desc("timestamp"), ibis.desc("order")])'
SWAPPED = "(ones, tuple(pairs[::-1] % [[self.n_users], [self.n_items]]))"
GAINS = ("np.cumsum(1 / np.log2(np.arange(k) + 2))", "np.cumsum(1 / np.log2(np.arange(10_000) + 2))")
FIRST = "first, last = np.minimum(ranks.greater, k), np.minimum(ranks.greater + ranks.tied, k)"
# what is wrong: the file, the tests that find it, and the texts that are replaced
DEFECTS: dict[str, tuple[str, str, list[tuple[str, str]]]] = {
    "the ideal DCG is not cut at k (lenskit#869)": (
        METRICS,
        "test_metrics",
        [GAINS, ("gain[np.minimum(ranks.n_relevant, k)]", "gain[ranks.n_relevant]")],
    ),
    "the DCG is not cut at k: NDCG above 1 (lkpy#309)": (
        METRICS,
        "test_metrics",
        [GAINS, (FIRST, "first, last = ranks.greater, ranks.greater + ranks.tied")],
    ),
    "ranks 1 and 2 have the same discount (LensKit)": (
        METRICS,
        "test_metrics",
        [("np.log2(np.arange(k) + 2)", "np.log2(np.maximum(np.arange(k) + 1, 2))")],
    ),
    "the recall is divided by min(k, relevant): it falls with k (Transformers4Rec#700)": (
        METRICS,
        "test_metrics",
        [("hits(ranks, k) / ranks.n_relevant", "hits(ranks, k) / np.minimum(ranks.n_relevant, k)")],
    ),
    "the precision is a truncated recall (implicit)": (
        METRICS,
        "test_metrics",
        [("return hits(ranks, k) / k", "return hits(ranks, k) / np.minimum(ranks.n_relevant, k)")],
    ),
    "the average precision is divided by all relevant songs": (
        METRICS,
        "test_metrics",
        [("minlength=ranks.n_users) / np.minimum(ranks.n_relevant, k)", "minlength=ranks.n_users) / ranks.n_relevant")],
    ),
    "a tie favours the relevant song (lightfm#149)": (
        METRICS,
        "test_metrics",
        [("np.clip((k - self.greater) / self.tied, 0, 1)", "(self.greater < k) * 1.0")],
    ),
    "ties are not counted (torchmetrics#2031)": (
        RANKING,
        "test_ranking",
        [("np.maximum(np.count_nonzero(best[owner] == own, axis=1), 1)", "np.ones(len(owner), int)")],
    ),
    "the reciprocal rank sums all hits": (
        METRICS,
        "test_metrics",
        [("missed = (before == 0).astype(float)", "missed = np.ones(len(owner))")],
    ),
    "empty places count as the last song in the exposure": (
        METRICS,
        "test_metrics",
        [
            (
                "np.bincount(lists[lists >= 0], minlength=n_items)",
                "np.bincount(lists.ravel() % n_items, minlength=n_items)",
            )
        ],
    ),
    "songs of train are not taken out (cornac#483, lightfm#312)": (
        RANKING,
        "test_ranking",
        [("scores[places] = scores[places], -np.inf", "scores[places] = scores[places], scores[places]")],
    ),
    "users one at a time are ranked otherwise than all at once (implicit#299)": (
        RANKING,
        "test_ranking",
        [("seen[batch[some]], relevant", "seen[batch[: len(own)]], relevant")],
    ),
    "scores that were changed for ranking stay changed": (
        RANKING,
        "test_ranking",
        [("        scores[places] = before ", "        pass ")],
    ),
    "known songs are relevant again (lightfm#421)": (
        SPLIT,
        "test_evaluate",
        [("(self.seen(part) > self._seen_before(part))", "self.seen(part)")],
    ),
    "users and songs change places (implicit#370, #608, #655)": (
        SPLIT,
        "test_evaluate",
        [("(ones, tuple(pairs))", SWAPPED)],
    ),
    "the popularity knows the future": (
        EVALUATE,
        "test_evaluate",
        [('split.counts("train", "validation")', 'split.counts("train", "validation", "test")')],
    ),
    "choices are made on test": (
        EVALUATE,
        "test_tuning",
        [('relevant = split.relevant("validation")', 'relevant = split.relevant("test")')],
    ),
    "means are over users with a hit only (recommenders)": (
        "evaluation/bootstrap.py",
        "test_evaluate",
        [("point = values.mean(axis=0)", "point = np.nanmean(np.where(values > 0, values, np.nan), axis=0)")],
    ),
    "differences are not paired": (
        "evaluation/bootstrap.py",
        "test_evaluate",
        [("samples[:, [a]] - samples[:, others]", "samples[:, [a]] - samples[::-1, others]")],
    ),
    "the seed of a bootstrap is not used (LibRecommender#357)": (
        "evaluation/bootstrap.py",
        "test_evaluate",
        [("np.random.default_rng(seed)", "np.random.default_rng()")],
    ),
    "a cut in time by user sees the future of others (recommenders#1675)": (
        PARTITION,
        SAMPLE,
        [
            (
                "return _by_time(listens, validation_fraction, test_fraction)",
                "return _by_user_last(listens, validation_fraction, test_fraction)",
            )
        ],
    ),
    "the first listens are test": (PARTITION, LAST, [(LATER, LATER.replace("ibis.desc", ""))]),
    "equal times are ordered by the ids of the songs": (
        PARTITION,
        LAST,
        [('ibis.desc("order")])', 'ibis.desc("item_id")])')],
    ),
    "the sampled accuracy counts only songs with a higher score, so ties are hits": (
        "evaluation/sampled.py",
        "test_evaluate",
        [("found / np.count_nonzero(scores == positive[:, None], axis=1)", "found * 1.0")],
    ),
}


def copy(root: Path) -> Path:
    """Copy the package into `root`, next to links to the tests and to what they need."""
    shutil.copytree(REPOSITORY / "recsys", root / "recsys", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests", "tools", "notebooks", "docs", "pyproject.toml"):
        (root / name).symlink_to(REPOSITORY / name)
    return root


def run_tests(root: Path, name: str) -> int:
    """Run a file of tests, or one of them, with the code in `root`; return pytest's status: 1 if a test failed."""
    file, _, test = name.partition("::")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        f"tests/{file}.py{test and f'::{test}'}",
    ]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=300).returncode


def test_the_tests_find_planted_defects(tmp_path, full, count):
    root, missed = copy(tmp_path), []
    chosen = DEFECTS if full else {what: each for what, each in DEFECTS.items() if "lightfm#312" in what}
    for name in sorted({tests for _, tests, _ in chosen.values()}) if full else []:
        assert run_tests(root, name) == 0, f"{name} fails without a defect"
    for what, (name, tests, changes) in chosen.items():
        path, text = root / "recsys" / name, (REPOSITORY / "recsys" / name).read_text()
        changed = text
        for old, new in changes:
            assert old in changed, (what, old)
            changed = changed.replace(old, new)
        path.write_text(changed)
        missed += [what] if run_tests(root, tests) != 1 else []
        path.write_text(text)
    print(*missed, sep="\n")
    count("defects of other programs, planted in ours", len(chosen), len(missed), "A test fails.")


@pytest.mark.parametrize("what", DEFECTS)
def test_a_defect_can_still_be_planted(what):
    name, tests, changes = DEFECTS[what]
    text = (REPOSITORY / "recsys" / name).read_text()
    assert (
        all(old in text for old, _ in changes) and (REPOSITORY / "tests" / f"{tests.partition('::')[0]}.py").is_file()
    )
