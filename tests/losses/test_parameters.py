"""Losses as parameter objects, class weights, and bad input."""

import ast
import inspect
import pickle
import re

import numpy as np
import pytest
from sklearn.base import clone

import boostloss as bl
from boostloss import CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import _validation
from boostloss.losses._catalogue import from_plain, named
from boostloss.losses._frozen_ghm import FrozenGHM
from boostloss.losses._workers import ALONE, Workers

Y, RAW = np.array([0, 0, 0, 1]), np.array([-1.0, 0.5, 2.0, -0.5])


@pytest.mark.parametrize("loss", [CrossEntropy(class_weight={0: 1, 1: 3}), FocalLoss(1.5, 0.25),
                                  GHMLoss(7, "window")], ids=repr)  # fmt: skip
def test_scikit_learn_manner(loss):
    copy = clone(loss)
    assert copy == loss
    assert copy is not loss
    assert pickle.loads(pickle.dumps(loss)) == loss
    assert eval(repr(loss)) == loss
    assert type(loss)().set_params(**loss.get_params()) == loss
    assert loss != type(loss)()


def weights(loss, y, sample_weight=None):
    raw = np.zeros(len(y)) if max(y) == 1 else np.zeros((len(y), max(y) + 1))
    value = loss.value(y, raw, sample_weight)
    return value / CrossEntropy().value(y, raw, sample_weight)


def test_class_weights():
    y = np.array([0] * 6 + [1] * 2)
    np.testing.assert_allclose(
        weights(CrossEntropy(class_weight="balanced"), y), 8 / (2 * np.array([6] * 6 + [2] * 2))
    )
    beta = 0.9
    inverse = np.array([(1 - beta) / (1 - beta**6)] * 6 + [(1 - beta) / (1 - beta**2)] * 2)
    got = weights(CrossEntropy(class_weight="effective", beta=beta), y)
    np.testing.assert_allclose(got, inverse / inverse.mean())
    np.testing.assert_allclose(weights(CrossEntropy(class_weight=4.0), y), [1] * 6 + [4] * 2)
    np.testing.assert_allclose(weights(CrossEntropy(class_weight=[2, 3]), y), [2] * 6 + [3] * 2)
    np.testing.assert_allclose(
        weights(CrossEntropy(class_weight={1: 3, 0: 2}), y), [2] * 6 + [3] * 2
    )
    np.testing.assert_allclose(weights(FocalLoss(0, alpha=0.2), y), [0.8] * 6 + [0.2] * 2)
    three = np.array([0, 0, 0, 1, 1, 2])
    np.testing.assert_allclose(
        weights(CrossEntropy(class_weight="balanced"), three), [6 / 9] * 3 + [1] * 2 + [2]
    )


@pytest.mark.parametrize("loss", [CrossEntropy(class_weight="balanced"), FocalLoss(2.5), GHMLoss(),
                                  CrossEntropy(class_weight="effective"), GHMLoss(density="window")],
                         ids=repr)  # fmt: skip
def test_integer_weights_are_repeated_rows(loss):
    rng = np.random.default_rng(0)
    y, raw, times = rng.integers(0, 2, 200), rng.normal(0, 2, 200), rng.integers(1, 4, 200)
    weighted = loss.gradient_hessian(y, raw, times)
    repeated = loss.gradient_hessian(np.repeat(y, times), np.repeat(raw, times))
    for a, b in zip(weighted, repeated, strict=True):
        assert a.sum(dtype=float) == pytest.approx(b.sum(dtype=float), rel=1e-5)
    assert loss.base_score(y, times) == pytest.approx(loss.base_score(np.repeat(y, times)))


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
        (lambda: FocalLoss().base_score([0, 0]), "y"),
        (lambda: GHMLoss().base_score([1, 1]), "y"),
        (lambda: FocalLoss().base_score([]), "y"),
        (lambda: FocalLoss().base_score([0, 2**24]), "y"),
        (lambda: CrossEntropy(class_weight="balanced").value([0, 0], [0.0, 0.0]), "y"),
        (lambda: bl.focal_obj()(np.zeros(3), np.zeros(3)), "y"),
        (lambda: FocalLoss().value([0, 1], [0.0, np.nan]), "raw"),
        (lambda: FocalLoss().value([0, 1], [0.0, np.inf]), "raw"),
        (lambda: FocalLoss().value([0, 1], np.zeros((2, 1))), "raw"),
        (lambda: FocalLoss().posterior([np.inf]), "raw"),
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
        (lambda: CrossEntropy(class_weight="balanced").posterior(RAW), "class_weight"),
        (lambda: CrossEntropy(beta=1.0), "beta"),
        (lambda: bl.objective("focal"), "loss"),
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
    assert FocalLoss(0.5, 0.25).gradient_hessian(Y, RAW)[1].dtype == np.float32


def test_exact_hessian_is_asked_for():
    exact, step = FocalLoss(2, hessian="exact"), FocalLoss(2)
    assert (exact.gradient_hessian(Y, RAW)[1] != step.gradient_hessian(Y, RAW)[1]).all()
    softmax = np.array([[0.3, -1.0, 2.0], [2.0, 0.1, -3.0]])
    single = softmax.astype(np.float32)
    for loss in (exact, step):
        doubled = loss.gradient_hessian([2, 0], softmax, factor=3.0)[1]
        np.testing.assert_allclose(doubled, 6 * loss.gradient_hessian([2, 0], single, factor=0.5)[1], rtol=1e-6)


def test_many_classes():
    y = np.arange(60)
    np.testing.assert_allclose(np.exp(FocalLoss().base_score(y)), np.full(60, 1 / 60), rtol=1e-9)


def test_ghms_posterior_knows_two_classes():
    ghm = GHMLoss(class_weight=[1.0, 3.0])
    weights = GHMLoss(density="bins").weights(Y, RAW)
    plain = GHMLoss().posterior(RAW, weights)
    odds, plain_odds = (p / (1 - p) for p in (ghm.posterior(RAW, weights), plain))
    np.testing.assert_allclose(odds, plain_odds / 3, rtol=1e-9)


def test_messages_say_what_is_allowed():
    with pytest.raises(ValueError, match="0 or 1"):
        FocalLoss().value([0, 2], [0.0, 0.0])
    with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
        FocalLoss().value([0, 3], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="every class from 0 to 2"):
        FocalLoss().base_score([0, 2, 2])
    with pytest.raises(ValueError, match="the keys 0 to 2, got"):
        CrossEntropy(class_weight={0: 1, 1: 2}).base_score([0, 1, 2])
    with pytest.raises(ValueError, match="each of 3 classes, got 2"):
        CrossEntropy(class_weight=[1, 2]).base_score([0, 1, 2])
    with pytest.raises(ValueError, match="each of 3 classes, got 2"):
        FocalLoss([1, 2]).base_score([0, 1, 2])
    with pytest.raises(ValueError, match=r"beta must be a number in \[0, 1\), got 1"):
        CrossEntropy(beta=1)
    with pytest.raises(ValueError, match=r"strength must be a number in \[0, 1\], got 2"):
        GHMLoss(strength=2)
    with pytest.raises(ValueError, match=r"gamma \(one, or one for each class\) must be a number in \[0, inf\), got -1"):
        FocalLoss([1, -1])


def test_frozen_counts_every_class():
    y, raw = np.repeat([0, 1, 2], [6, 3, 1]), np.zeros((10, 3))
    for name in ("balanced", "effective"):
        loss = CrossEntropy(class_weight=name)
        assert loss.frozen(y, raw) == loss.resolve(y)
        assert len(loss.frozen(y, raw).class_weight) == 3


@pytest.mark.parametrize("density", ["class", "bins", "window"])
def test_only_the_ratios_of_sample_weights_count_in_ghms_density(density):
    rng = np.random.default_rng(0)
    y, weight = rng.integers(0, 2, 300), rng.random(300)
    raw = rng.normal(0, 1, 300) + 3 * y - 1
    loss, norms = GHMLoss(density=density), np.linspace(0, 1, 51)
    labels = np.arange(51) % 2
    one, other = (loss.weights(y, raw, weight * s)(norms, labels) for s in (1.0, 1e-4))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    assert np.ptp(one) > 0.1


def test_a_frozen_table_is_for_its_own_classes():
    y, raw = np.repeat([0, 1, 2], [60, 30, 10]), np.random.default_rng(0).normal(0, 1, (100, 3))
    frozen = GHMLoss().frozen(y, raw)
    with pytest.raises(ValueError, match="raw must be scores of 3 classes"):
        type(frozen)(frozen.log_weight).posterior(np.zeros((4, 4)))
    for table in (["a", "b"], [[1.0], [1.0, 2.0]], [], [np.nan], [[[1.0]]], [{}], 1.0):
        with pytest.raises(ValueError, match="log_weight must hold finite numbers"):
            type(frozen)(table)


@pytest.mark.parametrize("params", [None, ["gamma"], "gamma", {"gama": 2}, {"gamma": [[1]]}, {"gamma": "2"}])
def test_plain_parameters_that_fit_no_loss(params):
    with pytest.raises(ValueError, match=r"params of FocalLoss|gamma"):
        from_plain({"type": "FocalLoss", "params": params})


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
        lambda: FrozenGHM([0.0], None),
        lambda: FocalLoss().value(Y, RAW, None, ALONE),
        lambda: FocalLoss().gradient_hessian(Y, RAW, None, 1.0),
        lambda: FocalLoss().base_score(Y, None, 2),
        lambda: FocalLoss().resolve(Y, None, 2),
        lambda: FocalLoss().frozen(Y, RAW, None, ALONE),
        lambda: GHMLoss().weights(Y, RAW, None, ALONE),
        lambda: _validation.check_number("a", 0.0, 0.0, 1.0, True),
        lambda: _validation.as_sample_weight([0.0], 1, True),
        lambda: _validation.check_sample_weight([0.0], 1, True),
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
    "thing", [CrossEntropy, FocalLoss, GHMLoss, FocalLoss.gradient_hessian], ids=lambda t: t.__qualname__
)
def test_defaults_are_those_documented(thing):
    parameters = inspect.signature(thing).parameters
    documented = documented_defaults(thing)
    assert documented
    for name, default in documented.items():
        assert parameters[name].default == ast.literal_eval(default), name


def test_weights_move_if_a_rows_weight_depends_on_others_scores():
    y, raw = random_rows(2)
    other = np.full(400, raw[0])
    for loss in (CrossEntropy(class_weight="balanced"), FocalLoss(), GHMLoss(), GHMLoss(density="bins")):
        first, second = (loss.gradient_hessian(y, scores)[0][0] for scores in (raw, other))
        assert loss.weights_move == (first != second)


@pytest.mark.parametrize(
    ("loss", "n_dimensions", "dtype"),
    [
        (FocalLoss(), 1, np.float32),
        (FocalLoss(), 2, np.float32),
        (FocalLoss(hessian="exact"), 1, np.float64),
        (GHMLoss(), 2, np.float32),
        (CrossEntropy(), 1, np.float32),
        (CrossEntropy(), 2, np.float64),
    ],
)
def test_float32_scores_are_computed_in_float32_where_that_is_enough(loss, n_dimensions, dtype):
    memory = {}
    raw = np.zeros(2 if n_dimensions == 1 else (2, 2), np.float32)
    loss.gradient_hessian([0, 1], raw, memory=memory)
    assert {array.dtype for array in memory["class_numbers"]} == {np.dtype(dtype)}


def test_loops_look_classes_up_only_where_they_differ():
    same, several = FocalLoss(), FocalLoss(gamma=[1, 1, 2])
    for loss, weight, length in ((same, np.ones(3), 1), (same, np.array([1, 1, 2.0]), 3),
                                 (several, np.ones(3), 3), (same, np.ones(2), 2)):  # fmt: skip
        assert {len(array) for array in loss._class_numbers(weight, np.float32)} == {length}
    # beyond this margin w q = q**(1 + gamma) is less than exp(-80)
    np.testing.assert_allclose(several._class_numbers(np.ones(3), float)[2], [40, 40, 80 / 3])


@pytest.mark.parametrize("order", ["binary", "C", "F"])
def test_arrays_that_nobody_holds_are_used_again(order):
    loss, memory = FocalLoss(), {}
    raw = RAW if order == "binary" else np.asarray(np.outer(RAW, [1, 2, 3]), order=order)

    def places(scores):
        return [array.ctypes.data for array in loss.gradient_hessian(Y, scores, memory=memory)]

    first = places(raw)
    assert places(raw / 2) == first
    held = loss.gradient_hessian(Y, raw, memory=memory)
    assert not {array.ctypes.data for array in held} & set(places(raw))
    if order != "binary":  # the other memory order needs other arrays
        turned = np.asarray(raw, order="C" if order == "F" else "F")
        assert loss.gradient_hessian(Y, turned, memory=memory)[0].flags == np.empty_like(turned).flags


class Apart(Workers):
    """One of several workers; the others hold nothing."""

    alone = False


@pytest.mark.parametrize("loss", [FocalLoss(), GHMLoss(), GHMLoss(density="bins"), GHMLoss(density="window")])
@pytest.mark.parametrize("raw", [RAW, np.outer(RAW, [1, 2])], ids=["binary", "softmax"])
def test_one_of_several_workers_may_hold_no_weight(loss, raw):
    for array in loss.gradient_hessian(Y, raw, np.zeros(4), workers=Apart()):
        assert not array.any()
    assert not loss.value(Y, raw, np.zeros(4), workers=Apart()).any()
    for array in loss.gradient_hessian(Y[:0], raw[:0], workers=Apart()):
        assert array.shape == raw[:0].shape
    with pytest.raises(ValueError, match="sample_weight must not be all zero"):
        loss.gradient_hessian(Y, raw, np.zeros(4))


def test_labels_that_float32_cannot_number():
    with pytest.raises(ValueError, match=r"whole numbers from 0 to 16777215, got 1\.67772e"):
        CrossEntropy().base_score([0, 2**24])
    with pytest.raises(ValueError, match=r"of class 2, 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.$"):
        CrossEntropy().base_score([0, 1, 50])
    with pytest.raises(ValueError, match=r"of class 1, 2, 3, 4, 5, 6, 7, 8, 9, \.\.\.$"):
        CrossEntropy().base_score([0, 11])
    with pytest.raises(ValueError, match=r"of class 1, 2$"):
        CrossEntropy().base_score([0, 3])
    with pytest.raises(ValueError, match=r"of class 1, 2, 3, 4, 5, 6, 7, 8, 9$"):
        CrossEntropy().base_score([0, 10])


def test_base_score_ends_somewhere():
    assert CrossEntropy().base_score([0, 1], [1, 1e-300]) == -512.0
    assert CrossEntropy().base_score([0, 1], [1e-300, 1]) == 512.0
    assert CrossEntropy().base_score([0, 1], [1, 1e-200]) == pytest.approx(-200 * np.log(10))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_frozen_table_is_one_for_all_classes_where_it_can_be(n_classes):
    y, raw = random_rows(n_classes)
    one = GHMLoss(density="bins").frozen(y, raw)
    each = GHMLoss().frozen(y, raw)
    assert np.shape(one.log_weight) == (255,)
    assert np.shape(each.log_weight) == (n_classes, 255)


def random_rows(n_classes):
    rng = np.random.default_rng(0)
    y = np.minimum(rng.geometric(0.6, 400) - 1, n_classes - 1)
    return y, rng.normal(-1, 2, 400 if n_classes == 2 else (400, n_classes))


def test_bad_number_of_threads_is_named():
    for wrong in (0, -1, 1.5, "2", None, True):
        with pytest.raises((ValueError, TypeError), match="n_threads"):
            FocalLoss().gradient_hessian(Y, RAW, n_threads=wrong)


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
            for memory in (None, {"class_weight": np.ones(n_classes)}):
                with pytest.raises(ValueError, match=rf"^{name}\b"):
                    loss.gradient_hessian(**given, memory=memory)
            with pytest.raises(ValueError, match=rf"^{name}\b"):
                loss.value(**given)


def test_weights_that_are_all_zero():
    with pytest.raises(ValueError, match="sample_weight must not be all zero"):
        _validation.as_sample_weight([0.0, 0.0], 2)
    for call in (FocalLoss().resolve, FocalLoss().base_score):
        with pytest.raises(ValueError, match="sample_weight must not be all zero"):
            call([0, 1], [0, 0])


def test_names_and_plain_data_of_no_loss():
    for wrong in (None, 5, {}, {"type": ["FocalLoss"]}, {"type": "Focal"}, {"type": 3}, ["FocalLoss"]):
        with pytest.raises(ValueError, match="loss in the file must be one of CrossEntropy, FocalLoss"):
            from_plain(wrong)
    assert named("focal") == FocalLoss()
    assert named(FocalLoss(3)) == FocalLoss(3)
    with pytest.raises(TypeError, match="loss must be a boostloss loss"):
        named(3)
    with pytest.raises(ValueError, match="or one of 'cross_entropy', 'balanced', 'focal', 'ghm', got 'foca'"):
        named("foca")


def test_a_frozen_table_is_read_at_its_nodes():
    """Three weights, at p = 1/4, 1/2 and 3/4; beyond, the weight is that of the end."""
    frozen = FrozenGHM([0.0, 1.0, 0.5])
    for p, log_weight, log_weight_of_other in ((0.25, 0.0, 0.5), (0.5, 1.0, 1.0), (0.75, 0.5, 0.0),
                                               (0.9, 0.5, 0.0), (0.01, 0.0, 0.5)):  # fmt: skip
        log_odds = np.log(p / (1 - p)) - log_weight + log_weight_of_other
        got = frozen.posterior([np.log(p / (1 - p))])[0]
        assert np.log(got / (1 - got)) == pytest.approx(log_odds, abs=1e-9)
