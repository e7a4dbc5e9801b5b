"""What a loss takes from its training rows, and its posterior."""

import importlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import expit, softmax
from strategies import random_rows

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import FittedLoss, Loss, Workers, scalar

Y, RAW = np.array([0, 0, 0, 1]), np.array([-1.0, 0.5, 2.0, -0.5])

LOSSES = [
    CrossEntropy(),
    CrossEntropy(class_weight="balanced"),
    CrossEntropy(class_weight="effective", beta=0.9),
    FocalLoss(),
    FocalLoss(1.5, class_weight="balanced", hessian="exact"),
    GHMLoss(),
    GHMLoss(7, "bins", momentum=0.5),
    GHMLoss(density="window", class_weight="balanced", normalize=False),
]
BINARY = [
    CrossEntropy(class_weight=3.0),
    CrossEntropy(class_weight={1: 3, 0: 2}),
    FocalLoss(0.5, alpha=0.25),
    FocalLoss((1.0, 2.0)),
    FocalLoss(np.array([1.0, 2.0])),
    AsymmetricLoss(),
    AsymmetricLoss(2, 0, 0.2, class_weight="balanced"),
]
CASES = [(loss, 2) for loss in [*LOSSES, *BINARY]] + [(loss, 3) for loss in LOSSES]


def test_frozen_counts_every_class():
    y, raw = np.repeat([0, 1, 2], [6, 3, 1]), np.zeros((10, 3))
    for name in ("balanced", "effective"):
        loss = CrossEntropy(class_weight=name)
        assert loss.fit(y, raw, offset=False) == loss.fit(y)
        assert len(loss.fit(y, raw).class_weight) == 3


@pytest.mark.parametrize(("loss", "n_classes"), CASES, ids=str)
def test_numbers_only(loss, n_classes):
    """The fitted loss is one with numbers for class weights, and of the same kind."""
    y, raw = random_rows(n_classes)
    weight = np.random.default_rng(1).random(len(y))
    fitted = loss.fit(y, raw, weight)
    assert fitted.n_classes == len(fitted.class_weight) == n_classes
    assert fitted.class_weight.dtype == np.float64
    assert type(fitted.loss) is type(loss)
    assert fitted.loss.class_weight == fitted.class_weight.tolist()
    # as the loss itself weighs: GHM's by the same rows
    np.testing.assert_array_equal(fitted.loss.value(y, raw, weight), loss.value(y, raw, weight))
    assert fitted.loss.fit(y, raw, weight) == fitted
    posterior = fitted.posterior(raw)
    assert posterior.shape == raw.shape
    assert ((posterior >= 0) & (posterior <= 1)).all()


@pytest.mark.parametrize(("loss", "n_classes"), CASES, ids=str)
def test_to_a_dict_and_back(loss, n_classes):
    y, raw = random_rows(n_classes)
    fitted = loss.fit(y, raw)
    plain = json.loads(json.dumps(fitted.to_dict()))
    assert plain == fitted.to_dict()
    again = FittedLoss.from_dict(plain)
    assert again == fitted
    assert again.to_dict() == plain
    assert type(again.loss) is type(loss)
    np.testing.assert_array_equal(again.posterior(raw), fitted.posterior(raw))
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(fitted)).posterior(raw), fitted.posterior(raw)
    )
    other = (
        loss.fit(y, 2 * raw) if loss.depends_on_all_scores else CrossEntropy(beta=0.1).fit(y, raw)
    )
    assert again != other
    assert again != plain


@pytest.mark.parametrize("loss", [*LOSSES[:5], *BINARY[:5]], ids=repr)
def test_one_row_for_each_class_with_their_counts_will_do(loss):
    y, raw = random_rows(2)
    counts = np.bincount(y)
    one, many = loss.fit([0, 1], sample_weight=counts), loss.fit(y, raw, offset=False)
    assert one == many
    assert loss.fit(y) == many


def test_ghm_without_scores_is_fitted_where_training_starts():
    y = np.repeat([0, 1], [90, 10])
    weighted, repeated = GHMLoss().fit([0, 1], sample_weight=[90, 10]), GHMLoss().fit(y)
    assert weighted == repeated
    start = CrossEntropy().init_score(y)
    at_start = GHMLoss().fit(y, np.full(100, start, np.float32))
    table, want = weighted.log_weight_table, at_start.log_weight_table
    np.testing.assert_allclose(table, want, atol=1e-6)
    assert weighted.posterior([start])[0] == pytest.approx(0.1, abs=0.01)


def test_the_number_of_classes_is_found_or_given():
    loss = CrossEntropy()
    assert loss.fit([0, 1]).n_classes == loss.fit([1, 1]).n_classes == 2
    assert loss.fit([0, 1], n_classes=4).n_classes == 4
    assert loss.fit([0, 2, 1]).n_classes == 3
    assert loss.fit([0, 1], np.zeros((2, 3))).n_classes == 3
    with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
        loss.fit([0, 3], n_classes=3)
    # a class without rows has the weight 1: there is nothing that it would weigh
    balanced = CrossEntropy(class_weight="balanced")
    assert balanced.fit([0, 0, 1], n_classes=3).class_weight.tolist() == [0.75, 1.5, 1.0]


class Twice(Workers):
    """Two workers that hold the same rows."""

    alone = False

    def sum(self, array):
        return 2 * array


@pytest.mark.parametrize("loss", [CrossEntropy(class_weight="effective"), GHMLoss()], ids=repr)
def test_workers_fit_together(loss):
    y, raw = random_rows(2)
    both = loss.fit(np.tile(y, 2), np.tile(raw, 2))
    together = loss.fit(y, raw, workers=Twice())
    np.testing.assert_allclose(together.class_weight, both.class_weight, rtol=1e-12)
    np.testing.assert_allclose(together.posterior(raw), both.posterior(raw), rtol=1e-9)


# -- tables of GHM ------------------------------------------------------------------------


def test_a_table_is_for_its_own_classes():
    y, raw = np.repeat([0, 1, 2], [60, 30, 10]), np.random.default_rng(0).normal(0, 1, (100, 3))
    fitted = GHMLoss().fit(y, raw)
    with pytest.raises(ValueError, match="raw must be of 3 classes, as in training, got 4"):
        fitted.posterior(np.zeros((4, 4)))
    with pytest.raises(
        ValueError, match="log_weight_table must be of 2 classes, as in training, got 3"
    ):
        FittedLoss(GHMLoss(class_weight=[1.0, 1.0]), fitted.log_weight_table)
    for table in (["a", "b"], [[1.0], [1.0, 2.0]], [], [np.nan], [[[1.0]]], [{}], 1.0):
        with pytest.raises(ValueError, match="log_weight_table must contain finite numbers"):
            FittedLoss(fitted.loss, table)
    plain = fitted.to_dict()
    del plain["log_weight_table"]
    with pytest.raises(ValueError, match="log_weight_table must be given"):
        FittedLoss.from_dict(plain)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_table_is_one_for_all_classes_where_it_can_be(n_classes):
    y, raw = random_rows(n_classes)
    one = GHMLoss(density="bins").fit(y, raw)
    each = GHMLoss().fit(y, raw)
    assert np.shape(one.log_weight_table) == (255,)
    assert np.shape(each.log_weight_table) == (n_classes, 255)


def test_a_table_is_read_at_its_nodes():
    """Three weights, at p = 1/4, 1/2 and 3/4; beyond, the weight is that of the end."""
    fitted = FittedLoss(GHMLoss(class_weight=[1.0, 1.0]), [0.0, 1.0, 0.5])
    for p, log_weight, log_weight_of_other in ((0.25, 0.0, 0.5), (0.5, 1.0, 1.0), (0.75, 0.5, 0.0),
                                               (0.9, 0.5, 0.0), (0.01, 0.0, 0.5)):  # fmt: skip
        log_odds = np.log(p / (1 - p)) - log_weight + log_weight_of_other
        got = fitted.posterior([np.log(p / (1 - p))])[0]
        assert np.log(got / (1 - got)) == pytest.approx(log_odds, abs=1e-9)


def test_ghms_posterior_knows_two_classes():
    table = GHMLoss(density="bins").fit(Y, RAW).log_weight_table
    plain = FittedLoss(GHMLoss(class_weight=[1.0, 1.0]), table)
    weighted = FittedLoss(GHMLoss(class_weight=[1.0, 3.0]), table)
    odds, plain_odds = (p / (1 - p) for p in (weighted.posterior(RAW), plain.posterior(RAW)))
    np.testing.assert_allclose(odds, plain_odds / 3, rtol=1e-9)
    assert GHMLoss(density="bins", class_weight=[1.0, 3.0]).fit(Y, RAW).loss.class_weight == [
        1.0,
        3.0,
    ]


# -- what version 0.1.0 wrote ----------------------------------------------------------------


def test_frozen_ghm_of_0_1_0():
    former = {
        "type": "FrozenGHM",
        "params": {"log_weight": [0.0, 1.0, 0.5], "class_weight": [1.0, 2.0]},
    }
    want = FittedLoss(GHMLoss(class_weight=[1.0, 2.0]), [0.0, 1.0, 0.5])
    got = FittedLoss.from_dict(former)
    assert got == want
    assert former["params"]["log_weight"] == [0.0, 1.0, 0.5]  # not taken out of the caller's dict
    np.testing.assert_array_equal(got.posterior(RAW), want.posterior(RAW))
    with pytest.raises(ValueError, match="log_weight_table must contain finite numbers"):
        FittedLoss.from_dict({"type": "FrozenGHM", "params": {"class_weight": [1.0, 1.0]}})


@pytest.mark.parametrize(
    ("params", "n_classes", "want"),
    [
        (
            {"gamma": 2.0, "alpha": 0.25, "class_weight": None, "hessian": "reweighted"},
            2,
            [0.75, 0.25],
        ),
        ({"gamma": 2.0, "alpha": None, "class_weight": None}, 2, [1.0, 1.0]),
        ({"gamma": [1.0, 2.0, 3.0], "class_weight": None}, 3, [1.0, 1.0, 1.0]),
        ({"gamma": 2.0, "class_weight": 3.0}, 2, [1.0, 3.0]),
        ({"gamma": 2.0, "class_weight": [1.0, 2.0, 4.0]}, 3, [1.0, 2.0, 4.0]),
    ],
)
def test_losses_of_0_1_0(params, n_classes, want):
    """Their class weights are not always numbers, one for each class."""
    fitted = FittedLoss.from_dict({"type": "FocalLoss", "params": params}, n_classes=n_classes)
    assert fitted.class_weight.tolist() == want
    given = {**params, "alpha": None, "class_weight": want}
    assert fitted == FocalLoss(**given).fit(np.arange(n_classes))


def test_counted_class_weights_are_no_numbers():
    plain = {"type": "cross_entropy", "params": {"class_weight": "balanced"}}
    with pytest.raises(ValueError, match="class_weight must be one number for each class"):
        FittedLoss.from_dict(plain)


# -- weights that are derived from the slope ----------------------------------------------------


class DerivedFocal(FocalLoss):
    """The focal loss without the closed form of its weight."""

    functions = FocalLoss.functions._replace(log_weight=None)


class DerivedCrossEntropy(CrossEntropy):
    functions = CrossEntropy.functions._replace(log_weight=None)


@pytest.mark.parametrize("loss", [
    (FocalLoss(), DerivedFocal()),
    (FocalLoss(0.5, 0.25), DerivedFocal(0.5, 0.25)),
    (FocalLoss((5.0, 0.0), class_weight=[1, 7]), DerivedFocal((5.0, 0.0), class_weight=[1, 7])),
    (CrossEntropy(class_weight=4.0), DerivedCrossEntropy(class_weight=4.0)),
], ids=lambda pair: repr(pair[0]))  # fmt: skip
def test_a_derived_weight_is_the_closed_form(loss):
    closed, derived = loss
    raw = np.concatenate([np.linspace(-80, 80, 321), np.linspace(-1, 1, 21)])
    one, other = closed.fit(Y), derived.fit(Y)
    np.testing.assert_allclose(
        other.log_posterior(raw), one.log_posterior(raw), rtol=1e-12, atol=1e-12
    )
    # beyond, the weight stays as it is
    far = other.log_posterior(np.array([80.0, 90.0, 500.0]))
    np.testing.assert_allclose(np.diff(far), [10, 410], rtol=1e-12)
    np.testing.assert_allclose(other.posterior(raw), one.posterior(raw), rtol=1e-8)
    for weight in ([1, 1], [999, 1], [1, 1e6]):
        want = closed.init_score([0, 1], weight)
        assert derived.init_score([0, 1], weight) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 2.0, (0.0, 1.0, 3.0)])
def test_a_derived_weight_is_the_closed_form_in_softmax(gamma):
    raw = np.random.default_rng(0).normal(0, 4, (200, 3))
    closed, derived = FocalLoss(gamma), DerivedFocal(gamma)
    one, other = (loss.fit([0, 1, 2]).posterior(raw) for loss in (closed, derived))
    np.testing.assert_allclose(other, one, rtol=1e-8)
    want = closed.init_score([0, 1, 2], [100, 20, 1])
    np.testing.assert_allclose(derived.init_score([0, 1, 2], [100, 20, 1]), want, atol=1e-9)


@pytest.mark.parametrize("columns", [1, 3])
def test_a_derived_posterior_is_a_probability_at_any_score(columns):
    scores = np.array(
        [-1e30, -1e4, -700, -400, -150, -90, -50, 0, 50, 90, 150, 400, 700, 1e4, 1e30]
    )
    loss = DerivedFocal((1.0, 2.0, 3.0)[: max(columns, 2)])
    if columns == 1:
        posterior = loss.fit([0, 1]).posterior(scores)
        assert (np.diff(posterior) >= -1e-12).all()
    else:
        raw = np.stack([scores, np.zeros(15), scores[::-1] / 2], axis=1)
        posterior = loss.fit([0, 1, 2]).posterior(raw)
        np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-12)
    assert ((posterior >= 0) & (posterior <= 1)).all()


class Squared(Loss):
    """Brier's score, whose weight is p q."""

    name = "squared"

    @scalar
    def value(row):
        return 0.5 * row.q * row.q

    @scalar
    def slope(row):
        return row.p * row.q * row.q


def test_brier_scores_posterior():
    """P / (1 - P) = (p / w) / (q / w) with the same weight p q at both: the score's own sigmoid."""
    raw = np.linspace(-20, 20, 81)
    np.testing.assert_allclose(Squared().fit(Y).posterior(raw), expit(raw), rtol=1e-9)
    assert Squared().init_score([0, 1], [3, 1]) == pytest.approx(np.log(1 / 3), abs=1e-9)
    fitted = Squared().fit([0, 1, 2])
    raw = np.random.default_rng(0).normal(0, 2, (20, 3))
    p = softmax(raw, axis=1)
    want = 1 / (1 - p)  # p_k / (p_k q_k)
    np.testing.assert_allclose(
        fitted.posterior(raw), want / want.sum(axis=1, keepdims=True), rtol=1e-9
    )


@pytest.mark.parametrize("n_classes", [2, 3])
def test_posterior_in_numpy_has_the_digits_of_a_process_without_kernels(n_classes):
    y, raw = random_rows(n_classes)
    fitted = FocalLoss(class_weight="balanced").fit(y, raw)
    importlib.import_module("boostloss.kernels.posterior")
    here = fitted.posterior_in_numpy(raw)
    np.testing.assert_allclose(fitted.posterior(raw), here, rtol=1e-12)
    code = """
import json, sys
from boostloss.kernels import in_use
from boostloss.losses import FittedLoss
state, raw = json.load(sys.stdin)
print(json.dumps(FittedLoss.from_dict(state).posterior(raw).tolist()))
assert not in_use()
"""
    given = json.dumps([fitted.to_dict(), raw.tolist()])
    run = subprocess.run(
        [sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True
    )
    np.testing.assert_array_equal(json.loads(run.stdout), here)
