"""Losses as parameter objects, and bad input."""

import ast
import inspect
import pickle
import re

import numpy as np
import pytest
from sklearn.base import clone
from strategies import random_rows

import boostloss as bl
from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import ALONE, FittedLoss, TrainingRun, validation

Y, RAW = np.array([0, 0, 0, 1]), np.array([-1.0, 0.5, 2.0, -0.5])


@pytest.mark.parametrize("loss", [CrossEntropy(class_weight={0: 1, 1: 3}), FocalLoss(1.5, 0.25),
                                  GHMLoss(7, "window"), AsymmetricLoss(1, 0, 0.2)], ids=repr)  # fmt: skip
def test_scikit_learn_manner(loss):
    copy = clone(loss)
    assert copy == loss
    assert copy is not loss
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert eval(repr(loss)) == loss
    assert type(loss)().set_params(**loss.get_params()) == loss
    assert loss != type(loss)()


def test_halves_add_up():
    rng = np.random.default_rng(0)
    y, raw = rng.integers(0, 2, 300), rng.normal(0, 2, 300)
    loss = FocalLoss(2.0, class_weight=3.0)
    whole = loss.gradient_hessian(y, raw)
    for i in range(2):
        halves = [loss.gradient_hessian(y[s], raw[s])[i] for s in (slice(0, 110), slice(110, None))]
        np.testing.assert_array_equal(np.concatenate(halves), whole[i])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: FocalLoss().value([0, 2], [0.0, 0.0]), "y"),
        (lambda: FocalLoss().value([0, 0.5], [0.0, 0.0]), "y"),
        (lambda: FocalLoss().value([-1, 1], [0.0, 0.0]), "y"),
        (lambda: FocalLoss().value([0, np.nan], [0.0, 0.0]), "y"),
        (lambda: FocalLoss().value(["a", "b"], [0.0, 0.0]), "y"),
        (lambda: FocalLoss().gradient_hessian([0, 3], np.zeros((2, 3))), "y"),
        (lambda: FocalLoss().value([0, 1, 1], [0.0, 0.0]), "y"),
        (lambda: FocalLoss().value([[0], [1]], [0.0, 0.0]), "y"),
        (lambda: FocalLoss().init_score([0, 0]), "y"),
        (lambda: GHMLoss().init_score([1, 1]), "y"),
        (lambda: FocalLoss().init_score([]), "y"),
        (lambda: FocalLoss().init_score([0, 2**24]), "y"),
        (lambda: bl.focal_obj()(np.zeros(3), np.zeros(3)), "y"),
        (lambda: FocalLoss().value([0, 1], [0.0, np.nan]), "raw"),
        (lambda: FocalLoss().value([0, 1], [0.0, np.inf]), "raw"),
        (lambda: FocalLoss().value([0, 1], np.zeros((2, 1))), "raw"),
        (lambda: FocalLoss().fit(Y).posterior([np.inf]), "raw"),
        (lambda: FocalLoss().fit(Y).posterior(np.zeros((2, 3))), "raw"),
        (lambda: FocalLoss().value(Y, RAW, [1, 1, 1]), "sample_weight"),
        (lambda: FocalLoss().value(Y, RAW, [1, 1, 1, -1]), "sample_weight"),
        (lambda: FocalLoss().value(Y, RAW, [1, 1, 1, np.nan]), "sample_weight"),
        (lambda: FocalLoss().value(Y, RAW, [0, 0, 0, 0]), "sample_weight"),
        (lambda: FocalLoss(-1), "gamma"),
        (lambda: FocalLoss("2"), "gamma"),
        (lambda: FocalLoss(np.nan), "gamma"),
        (lambda: FocalLoss((1, 2, 3)).value(Y, RAW), "gamma"),
        (lambda: FocalLoss(2).set_params(gamma=-2).value(Y, RAW), "gamma"),
        (lambda: FocalLoss([[1, 2]]), "gamma"),
        (lambda: FocalLoss({0: 1, 1: 2}), "gamma"),
        (lambda: FocalLoss(alpha=1.5), "alpha"),
        (lambda: FocalLoss(alpha=0.0), "alpha"),
        (lambda: FocalLoss(alpha=1.0), "alpha"),
        (lambda: FocalLoss().gradient_hessian(Y, RAW, factor=-1.0), "factor"),
        (lambda: FocalLoss(alpha=0.5, class_weight=2.0), "alpha"),
        (lambda: FocalLoss(alpha=0.5).value([0, 1], np.zeros((2, 3))), "alpha"),
        (lambda: FocalLoss(hessian="true"), "hessian"),
        (lambda: GHMLoss(bins=0), "bins"),
        (lambda: GHMLoss(bins=2.5), "bins"),
        (lambda: GHMLoss(momentum=1.0), "momentum"),
        (lambda: GHMLoss(momentum=-0.5), "momentum"),
        (lambda: GHMLoss(density="window", momentum=0.5), "momentum"),
        (lambda: GHMLoss(strength=1.5), "strength"),
        (lambda: GHMLoss(density="kernel"), "density"),
        (lambda: GHMLoss(strength=-0.1), "strength"),
        (lambda: GHMLoss(normalize=1), "normalize"),
        (lambda: GHMLoss().posterior(RAW), "weights"),
        (lambda: CrossEntropy(class_weight="balance"), "class_weight"),
        (lambda: CrossEntropy(class_weight=-1), "class_weight"),
        (lambda: CrossEntropy(class_weight=[1, 2, 3]).value(Y, RAW), "class_weight"),
        (lambda: CrossEntropy(class_weight={0: 1}).value(Y, RAW), "class_weight"),
        (lambda: CrossEntropy(class_weight=2.0).value([0, 1], np.zeros((2, 3))), "class_weight"),
        (lambda: FittedLoss(CrossEntropy(class_weight="balanced")), "class_weight"),
        (lambda: FittedLoss(CrossEntropy(class_weight=3.0)), "class_weight"),
        (lambda: FittedLoss(CrossEntropy()), "class_weight"),
        (lambda: CrossEntropy(beta=1.0), "beta"),
        (lambda: bl.objective("focus"), "loss"),
        (lambda: bl.metric(None), "loss"),
        (lambda: bl.focal_metric(scores="margin"), "scores"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, name):
    with pytest.raises((ValueError, TypeError), match=rf"\b{name}\b"):
        call()


def test_defaults_are_those_of_the_papers():
    assert FocalLoss() == FocalLoss(gamma=2.0, alpha=None, class_weight=None, hessian="reweighted")
    assert GHMLoss() == GHMLoss(bins=10, density="class", momentum=0.0, strength=None)
    assert AsymmetricLoss() == AsymmetricLoss(gamma_neg=4.0, gamma_pos=1.0, margin=0.05)
    assert FocalLoss(0.5, 0.25).gradient_hessian(Y, RAW)[1].dtype == np.float32


def test_exact_hessian_is_asked_for():
    exact, step = FocalLoss(2, hessian="exact"), FocalLoss(2)
    assert (exact.gradient_hessian(Y, RAW)[1] != step.gradient_hessian(Y, RAW)[1]).all()
    softmax = np.array([[0.3, -1.0, 2.0], [2.0, 0.1, -3.0]])
    single = softmax.astype(np.float32)
    for loss in (exact, step):
        doubled = loss.gradient_hessian([2, 0], softmax, factor=3.0)[1]
        np.testing.assert_allclose(
            doubled, 6 * loss.gradient_hessian([2, 0], single, factor=0.5)[1], rtol=1e-6
        )


def test_messages_say_what_is_allowed():
    with pytest.raises(ValueError, match="0 or 1"):
        FocalLoss().value([0, 2], [0.0, 0.0])
    with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
        FocalLoss().value([0, 3], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="every class from 0 to 2"):
        FocalLoss().init_score([0, 2, 2])
    with pytest.raises(ValueError, match="the keys 0 to 2, got"):
        CrossEntropy(class_weight={0: 1, 1: 2}).init_score([0, 1, 2])
    with pytest.raises(ValueError, match="each of 3 classes, got 2"):
        CrossEntropy(class_weight=[1, 2]).init_score([0, 1, 2])
    with pytest.raises(ValueError, match="each of 3 classes, got 2"):
        FocalLoss([1, 2]).init_score([0, 1, 2])
    with pytest.raises(ValueError, match=r"beta must be a number in \[0, 1\), got 1"):
        CrossEntropy(beta=1)
    with pytest.raises(ValueError, match=r"strength must be a number in \[0, 1\], got 2"):
        GHMLoss(strength=2)
    with pytest.raises(
        ValueError,
        match=r"gamma \(one, or one for each class\) must be a number in \[0, inf\), got -1",
    ):
        FocalLoss([1, -1])


def test_exact_hessian_keeps_its_digits_near_its_root():
    """In float32 the terms of the curvature would cancel there."""
    raw = np.linspace(-2.8, -2.7, 2001).astype(np.float32)
    single, double = (
        FocalLoss(2, hessian="exact").gradient_hessian(np.ones(2001), scores)[1]
        for scores in (raw, raw.astype(float))
    )
    assert (double == np.float32(1e-16)).any()
    assert (double > 1e-3).any()
    np.testing.assert_array_equal(single, double)


# -- what is promised besides numbers ------------------------------------------------------


def test_equal_parameters_in_other_containers():
    assert FocalLoss(gamma=np.array([1.0, 2.0])) == FocalLoss(gamma=[1.0, 2.0])
    assert FocalLoss(gamma=[1.0, 2.0]) == FocalLoss(gamma=np.array([1.0, 2.0]))
    assert FocalLoss(gamma=[1.0, 2.0]) != FocalLoss(gamma=np.array([1.0, 2.0, 3.0]))
    assert FocalLoss() != CrossEntropy()


@pytest.mark.parametrize(
    "call",
    [
        lambda: CrossEntropy(None),
        lambda: FocalLoss(2.0, None, None),
        lambda: GHMLoss(10, "bins", 0.0, None, True),
        lambda: AsymmetricLoss(4.0, 1.0, 0.05, None),
        lambda: FocalLoss().value(Y, RAW, None, ALONE),
        lambda: FocalLoss().gradient_hessian(Y, RAW, None, 1.0),
        lambda: FocalLoss().init_score(Y, None, 2),
        lambda: FocalLoss().fit(Y, RAW, None, 2),
        lambda: GHMLoss().weights(Y, RAW, None, ALONE),
        lambda: validation.check_number("a", 0.0, 0.0, 1.0, True),
        lambda: validation.as_sample_weight([0.0], 1, True),
        lambda: validation.check_sample_weight([0.0], 1, True),
    ],
)
def test_what_is_easily_mixed_up_needs_its_name(call):
    with pytest.raises(TypeError, match="positional"):
        call()


def documented_defaults(thing):
    text = inspect.getdoc(thing) or ""
    found = re.findall(r"^([\w, ]+) : .*default=([^\s,]+)$", text, re.MULTILINE)
    return {name: given for names, given in found for name in names.split(", ")}


@pytest.mark.parametrize(
    "thing",
    [CrossEntropy, FocalLoss, GHMLoss, AsymmetricLoss, FocalLoss.gradient_hessian],
    ids=lambda t: t.__qualname__,
)
def test_defaults_are_those_documented(thing):
    parameters = inspect.signature(thing).parameters
    documented = documented_defaults(thing)
    assert documented
    for name, default in documented.items():
        assert parameters[name].default == ast.literal_eval(default), name


BAD = [("y", value) for value in (-1, 3, 0.5, np.nan, np.inf)]
BAD += [("raw", value) for value in (np.nan, np.inf, -np.inf)]
BAD += [("sample_weight", value) for value in (np.nan, np.inf, -1, -1e-30)]


@pytest.mark.parametrize(("name", "value"), BAD)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_single_bad_number_is_named(name, value, n_classes):
    """First row and last, in the first round and a later one."""
    y, raw = random_rows(n_classes)
    losses = (FocalLoss(), *(GHMLoss(density=density) for density in ("class", "bins", "window")))
    for row in (0, -1):
        given = {"y": y.astype(float), "raw": raw.copy(), "sample_weight": np.ones(len(y))}
        given[name][row if given[name].ndim == 1 else (row, 1)] = value
        for loss in losses:
            for run in (None, TrainingRun(class_weight=np.ones(n_classes))):
                with pytest.raises(ValueError, match=rf"^{name}\b"):
                    loss.gradient_hessian(**given, run=run)
            with pytest.raises(ValueError, match=rf"^{name}\b"):
                loss.value(**given)


def test_weights_that_are_all_zero():
    with pytest.raises(ValueError, match="sample_weight must not be all zero"):
        validation.as_sample_weight([0.0, 0.0], 2)
    for call in (FocalLoss().fit, FocalLoss().init_score):
        with pytest.raises(ValueError, match="sample_weight must not be all zero"):
            call([0, 1], sample_weight=[0, 0])


OUTPUTS = {
    "shape": np.empty(3, np.float32),
    "type": np.empty(4),
    "dimensions": np.empty((4, 1), np.float32),
}


@pytest.mark.parametrize("name", ["gradient_out", "hessian_out"])
@pytest.mark.parametrize("wrong", OUTPUTS)
def test_bad_outputs_are_named(name, wrong):
    with pytest.raises(ValueError, match=rf"^{name} must be a float32 array of shape \(4,\)"):
        FocalLoss().gradient_hessian(Y, RAW, **{name: OUTPUTS[wrong]})


@pytest.mark.parametrize("order", ["C", "F"])
def test_outputs_lie_as_the_scores_do(order):
    raw, other = (
        np.zeros((4, 3), order=order),
        np.empty((4, 3), np.float32, "F" if order == "C" else "C"),
    )
    with pytest.raises(ValueError, match="in the memory order of raw"):
        FocalLoss().gradient_hessian(Y, raw, gradient_out=other)


# -- former names --------------------------------------------------------------------------


def test_former_names_warn_and_do_the_same():
    loss = CrossEntropy(class_weight="balanced")
    with pytest.warns(FutureWarning, match=r"base_score is deprecated .* use init_score"):
        assert loss.base_score(Y) == loss.init_score(Y)
    with pytest.warns(FutureWarning, match=r"resolve is deprecated .* use fit"):
        assert loss.resolve(Y) == loss.fit(Y).loss
    with pytest.warns(FutureWarning, match=r"frozen is deprecated .* use fit"):
        assert loss.frozen(Y, RAW) == loss.fit(Y, RAW)
    given = CrossEntropy(class_weight=3.0)
    with pytest.warns(FutureWarning, match=r"posterior is deprecated .* use fit\(...\)\.posterior"):
        posterior = given.posterior(RAW)
    np.testing.assert_array_equal(posterior, given.fit(Y).posterior(RAW))
    ghm = GHMLoss()
    with pytest.warns(FutureWarning, match=r"posterior is deprecated"):
        posterior = ghm.posterior(RAW, ghm.weights(Y, RAW))
    np.testing.assert_array_equal(posterior, ghm.fit(Y, RAW, offset=False).posterior(RAW))
