"""Random rows, scores, weights and losses for hypothesis, and how results are compared."""

import warnings
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from scipy.special import expit, softmax

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss

GAMMAS = [0, 0.3, 1, 2, 5]
DENSITIES = ["class", "bins", "window"]
SIZES = [63, 127, 128, 129, 511, 513, 4095, 4097]
"""Around the loops' block sizes and the window's largest exact number of rows."""

ONCE = 3e-7
"""Twice rounded to float32: float64 sums in another order, or a weight that is rounded itself."""
SINGLE = 4e-6
"""Two results of float32 loops, each within 2e-6 of the exact one (test_exactness)."""
NOTHING = 1e-30
"""What is smaller is held where it is, or becomes subnormal: no digits are promised."""

moderate = st.floats(-20, 20, width=32)
extreme = st.floats(-700, 700, width=32) | st.sampled_from(
    [s * x for s in (1, -1) for x in (0, 1e-30, 87.4, 745.2, 1e3, 1e10, 1e30)]
)


class Problem(NamedTuple):
    y: np.ndarray
    raw: np.ndarray
    weight: np.ndarray | None
    n_classes: int

    @property
    def binary(self):
        return self.raw.ndim == 1

    def of(self, rows):
        weight = None if self.weight is None else self.weight[rows]
        return Problem(self.y[rows], self.raw[rows], weight, self.n_classes)


@st.composite
def problems(draw, scores=moderate, weights=(1 / 16, 16), columns=(1, 2, 3, 4, 6), rows=(1, None),
             every_class=True, dtypes=(np.float32, np.float64), zeros=True):  # fmt: skip
    """Rows out of few scores, so that they tie, with noise or without."""
    wide = draw(st.sampled_from(columns))
    n_classes = max(wide, 2)
    least, most = max(rows[0], n_classes if every_class else 0), rows[1]
    sizes = st.integers(least, 12 if most is None else most)
    n = draw(sizes | st.sampled_from(SIZES) if most is None else sizes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = n if wide == 1 else (n, wide)
    raw = rng.choice(draw(st.lists(scores, min_size=1, max_size=6)), shape)
    raw = raw + draw(st.sampled_from([0, 0.01, 1])) * rng.normal(size=shape)
    raw = np.asarray(raw, draw(st.sampled_from(dtypes)), order=draw(st.sampled_from("CF")))
    y = rng.integers(0, n_classes, n)
    if every_class:
        y[:n_classes] = np.arange(n_classes)
    weight = None
    if weights is not None and draw(st.booleans()):
        low, high = weights
        logarithm = st.floats(np.log(low), np.log(high))
        pool = np.exp(draw(st.lists(logarithm, min_size=1, max_size=4)))
        weight = np.clip(rng.choice(pool, n), low, high)
        if zeros:
            weight[rng.random(n) < draw(st.sampled_from([0, 0.3]))] = 0
        weight[:n_classes] = np.maximum(weight[:n_classes], low)  # no class without weight
        weight = weight.astype(draw(st.sampled_from([np.float32, np.float64])))
    return Problem(y, raw, weight, n_classes)


@st.composite
def static_losses(draw, n_classes, counted=True, exact=True):
    """Losses whose weights do not move with the scores."""
    number = st.floats(0.01, 100)
    given = [st.none(), st.lists(number, min_size=n_classes, max_size=n_classes)]
    if n_classes == 2:
        given.append(number)
    if counted:
        given.append(st.sampled_from(["balanced", "effective"]))
    class_weight = draw(st.one_of(given))
    if draw(st.booleans()):
        return CrossEntropy(class_weight=class_weight)
    gamma = st.sampled_from(GAMMAS)
    gamma = draw(gamma | st.tuples(*[gamma] * n_classes))
    hessian = draw(st.sampled_from(["reweighted", "exact"] if exact else ["reweighted"]))
    return FocalLoss(gamma, class_weight=class_weight, hessian=hessian)


@st.composite
def ghm_losses(draw, n_classes, densities=DENSITIES, counted=True):
    density = draw(st.sampled_from(densities))
    kinds = [None, list(range(1, n_classes + 1))] + (["balanced", "effective"] if counted else [])
    return GHMLoss(
        draw(st.sampled_from([1, 2, 7, 10, 40])),
        density,
        strength=draw(st.sampled_from([None, 0.0, 0.3, 1.0])),
        normalize=draw(st.booleans()),
        class_weight=draw(st.sampled_from(kinds)),
    )


@st.composite
def asymmetric_losses(draw, counted=True):
    kinds = [None, 3.0, [0.5, 2.0]] + (["balanced", "effective"] if counted else [])
    gamma = st.sampled_from(GAMMAS)
    return AsymmetricLoss(
        draw(gamma),
        draw(gamma),
        draw(st.sampled_from([0.0, 0.05, 0.4])),
        class_weight=draw(st.sampled_from(kinds)),
    )


def any_losses(n_classes, counted=True):
    losses = static_losses(n_classes, counted=counted) | ghm_losses(n_classes, counted=counted)
    return losses | asymmetric_losses(counted=counted) if n_classes == 2 else losses


def gradients(loss, problem, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return loss.gradient_hessian(problem.y, problem.raw, problem.weight, **keywords)


def is_moving_or_counted(loss):
    return loss.depends_on_all_scores or isinstance(loss.class_weight, str)


def same(one, other, tolerance):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=NOTHING if tolerance else 0)


def far_from_edges(loss, problem):
    """GHM's weights jump where a norm crosses a border: none may be a rounding away from it."""
    if loss.density == "class":
        return True
    raw = np.asarray(problem.raw, np.float64)
    if problem.binary:
        norms = np.abs(expit(raw) - problem.y)
    else:
        norms = 1 - softmax(raw, axis=1)[np.arange(len(raw)), problem.y]
    if loss.density == "bins":
        place = norms * loss.bins
        return (np.abs(place - np.round(place)) > 1e-4)[(norms > 1e-4) & (norms < 1 - 1e-4)].all()
    distance = np.abs(np.subtract.outer(norms, norms))
    return (np.abs(distance - 0.5 / loss.bins) > 1e-5).all()


def random_rows(n_classes):
    """Many rows of the first class and few of the last."""
    rng = np.random.default_rng(0)
    y = np.minimum(rng.geometric(0.6, 400) - 1, n_classes - 1)
    return y, rng.normal(-1, 2, 400 if n_classes == 2 else (400, n_classes))
