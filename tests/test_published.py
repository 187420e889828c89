"""Published results on ML-1M are reproduced: fitted on all of train, the whole catalogue ranked without the seen."""

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import svds

from recsys.data.prepare import prepare
from recsys.data.split import Split
from recsys.evaluation import evaluate
from recsys.models.baselines import item_item, popularity, scorers
from recsys.runs import project_root

LISTENING = project_root().parent / "shared" / "data" / "ml-1m-ultragcn"
FIT = ("train", "validation")


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    if not LISTENING.exists():
        pytest.skip(f"{LISTENING.name} is not in the folder next to this repository")
    return Split.load(prepare("lightgcn", LISTENING, root=tmp_path_factory.mktemp("ml-1m")).folder)


@pytest.fixture(scope="module")
def svd(split):
    """The rank-64 SVD of D_u^-½ X D_i^-½; `svd(power)` multiplies a song's scores by its number of listeners^power."""
    seen = split.seen(*FIT)
    of_users, of_items = (np.maximum(np.asarray(seen.sum(axis=axis)).ravel(), 1) for axis in (1, 0))
    scaled = sparse.diags_array(of_users**-0.5) @ seen @ sparse.diags_array(of_items**-0.5)
    left, weights, right = svds(scaled, k=64, random_state=0)
    return lambda power: scorers.Product(left * weights, right * of_items**power)


def results(scorer, split):
    means = evaluate.evaluate({"model": scorer}, split, cutoffs=(20,)).means["value"]["model"]
    return means["recall@20"], means["ndcg@20"]


# The published figures have four decimals, so rounding accounts for 5e-5. The rest allows for ties, which others break
# in another way, and for the last singular vectors, which depend on the solver and the processor.
TOLERANCE = 2e-4


@pytest.mark.real
def test_popularity(split):
    assert results(popularity.fit_popularity(split, FIT, 0), split) == pytest.approx((0.1161, 0.1176), abs=TOLERANCE)


@pytest.mark.real
@pytest.mark.parametrize(("power", "expected"), [(0.5, (0.2743, 0.2610)), (0.0, (0.2271, 0.2049))])
def test_singular_vectors_of_the_normalised_matrix(split, svd, power, expected):
    assert results(svd(power), split) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.real
def test_ease(split):
    assert results(item_item.fit_ease(split, FIT, 0, 1000.0), split) == pytest.approx((0.2755, 0.2674), abs=TOLERANCE)
