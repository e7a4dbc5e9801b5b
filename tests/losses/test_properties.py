"""What must hold for any rows, scores and weights, whatever their type and layout."""

import datetime
import re
import tempfile
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import expit, softmax
from strategies import (
    DENSITIES,
    GAMMAS,
    NOTHING,
    ONCE,
    SINGLE,
    Problem,
    any_losses,
    extreme,
    far_from_edges,
    gradients,
    is_moving_or_counted,
    problems,
    same,
    static_losses,
)

import boostloss as bl
from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import TrainingRun

# -- what a gradient is --------------------------------------------------------------------


@given(st.data())
def test_finite_and_of_the_right_sign_for_all_that_is_allowed(data):
    # counted class weights are a ratio of weights, which float32 must hold
    problem = data.draw(
        problems(extreme, weights=(1e-30, 1e30), every_class=False)
        | problems(extreme, weights=(1e-12, 1e12))
    )
    ratio = 1 if problem.weight is None else np.ptp(np.log10(problem.weight[problem.weight > 0]))
    counted = bool(ratio < 30 and len(np.unique(problem.y)) == problem.n_classes)
    loss = data.draw(any_losses(problem.n_classes, counted=counted))
    gradient, hessian = gradients(loss, problem)
    for array in (gradient, hessian):
        assert array.dtype == np.float32
        assert array.shape == problem.raw.shape
        assert np.isfinite(array).all()
    assert (hessian >= 0).all()
    if problem.binary:
        assert (np.where(problem.y == 1, -gradient, gradient) >= 0).all()
    else:
        true = np.arange(problem.n_classes) == problem.y[:, None]
        assert (np.where(true, -gradient, gradient) >= 0).all()
        total, size = gradient.sum(axis=1, dtype=float), np.abs(gradient).max(axis=1)
        # of others that are nearly nothing together, those below exp(-80) are left out
        others = np.where(true, 0, softmax(problem.raw.astype(float), axis=1)).sum(axis=1) > 1e-25
        assert (np.abs(total) <= SINGLE * size + NOTHING)[others].all()
    # in float32 a value of 1e30 with weight 1e30 would be no number any more
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = loss.value(problem.y, problem.raw.astype(float), problem.weight)
        assert np.isfinite(value).all()
        assert (value >= 0).all()
        posterior = loss.fit(problem.y, problem.raw, problem.weight).posterior(problem.raw)
        assert posterior.shape == problem.raw.shape
        assert ((posterior >= 0) & (posterior <= 1)).all()
        for metric in (bl.metric(loss), bl.posterior_log_loss(loss)):
            mean = metric(problem.y, problem.raw.astype(float), problem.weight)
            assert np.isfinite(mean)
            assert mean >= 0


@given(st.sampled_from(DENSITIES), st.sampled_from([np.float32, np.float64]), st.booleans())
def test_what_overflowed_once(density, dtype, normalize):
    """A bin with 1e-60 of the weight; 1e10 - 1e30, whose rounding error is 1e10."""
    loss = GHMLoss(density=density, strength=1.0, normalize=normalize)
    binary = Problem(
        np.array([0, 1, 1]), np.array([5, -5, 5], dtype), np.array([1e30, 1e30, 1e-30]), 2
    )
    wide = Problem(np.array([0, 1, 2]), np.tile(np.array([0, 1e30, 1e10], dtype), (3, 1)), None, 3)
    for problem in (binary, wide):
        for array in gradients(loss, problem):
            assert np.isfinite(array).all()


@given(st.data())
def test_no_rows(data):
    problem = data.draw(problems(rows=(0, 0), every_class=False, weights=None))
    problem = problem._replace(weight=data.draw(st.sampled_from([None, np.empty(0)])))
    loss = data.draw(any_losses(problem.n_classes, counted=False))
    for array in gradients(loss, problem):
        assert array.shape == problem.raw.shape
    assert loss.value(problem.y, problem.raw, problem.weight).shape == (0,)
    for metric in (bl.metric(loss), bl.posterior_log_loss(loss)):
        with pytest.raises(ValueError, match=r"\by\b"):
            metric(problem.y, problem.raw, problem.weight)


@given(st.data())
def test_gradient_is_the_slope_of_the_value(data):
    problem = data.draw(problems(st.floats(-10, 10), dtypes=(np.float64,), rows=(1, 40)))
    loss = data.draw(static_losses(problem.n_classes))
    gradient, _ = gradients(loss, problem)
    step = 1e-4
    for k in range(1 if problem.binary else problem.n_classes):
        column = slice(None) if problem.binary else (slice(None), k)
        up, down = problem.raw.copy(), problem.raw.copy()
        up[column] += step
        down[column] -= step
        up, down = (loss.value(problem.y, raw, problem.weight) for raw in (up, down))
        # third derivative times step**2, and float64's rounding of the values over the step
        size = 1 if problem.weight is None else problem.weight
        allowed = 1e-6 * size * 100 * step + 1e-11 * (up + down)
        difference = np.abs((up - down) / (2 * step) - gradient[column])
        assert (difference <= allowed + ONCE * np.abs(gradient[column])).all()


@given(st.data())
def test_small_gamma_is_cross_entropy(data):
    """|q**g (q + g p u) - q| <= g/e, since q |log q| and p u are at most 1/e, and of opposite sign.

    Of the value, q**g u: log p log q is at most (log 2)**2.
    """
    problem = data.draw(problems(extreme, weights=None))
    gamma = data.draw(st.floats(0, 1) | st.sampled_from([0.0, 1e-30, 1e-8]))
    focal, plain = FocalLoss(gamma), CrossEntropy()
    rounding = SINGLE
    for one, other in zip(gradients(focal, problem), gradients(plain, problem), strict=True):
        assert (np.abs(one - other) <= gamma / np.e + rounding).all()
    # 1e30 is held in float32
    value, want = (loss.value(problem.y, problem.raw) for loss in (focal, plain))
    assert (np.abs(value - want) <= gamma * np.log(2) ** 2 + rounding * (1 + want)).all()


# -- symmetries ----------------------------------------------------------------------------


def swapped(loss):
    params = loss.get_params()
    if isinstance(loss, AsymmetricLoss):
        params.update(gamma_neg=loss.gamma_pos, gamma_pos=loss.gamma_neg)
    for name in ("gamma", "class_weight"):
        given = params.get(name)
        if isinstance(given, tuple | list):
            params[name] = given[::-1]
        elif name == "class_weight" and isinstance(given, float):
            params[name] = [given, 1.0]
    return type(loss)(**params)


@given(st.data())
def test_swapped_classes_mirror_a_binary_loss(data):
    problem = data.draw(problems(extreme, columns=(1,)))
    # a margin is for negatives alone
    loss = data.draw(any_losses(2).filter(lambda loss: not getattr(loss, "margin", 0)))
    mirror, other = problem._replace(y=1 - problem.y, raw=-problem.raw), swapped(loss)
    # effective weights are scaled by a sum that depends on the order
    tolerance = ONCE if loss.class_weight == "effective" else 0
    gradient, hessian = gradients(loss, problem)
    same((gradient, hessian), [s * a for s, a in zip((-1, 1), gradients(other, mirror), strict=True)],
         tolerance)  # fmt: skip
    one, two = (each.value(p.y, p.raw, p.weight) for each, p in ((loss, problem), (other, mirror)))
    np.testing.assert_allclose(one, two, rtol=ONCE)
    one, two = (each.fit(*p[:3]) for each, p in ((loss, problem), (other, mirror)))
    np.testing.assert_allclose(one.posterior(problem.raw), 1 - two.posterior(mirror.raw), atol=1e-9)
    if not loss.depends_on_all_scores:
        one = loss.init_score(problem.y, problem.weight)
        assert one == pytest.approx(-other.init_score(mirror.y, mirror.weight), abs=1e-9)


@given(st.data())
def test_rows_in_another_order(data):
    problem = data.draw(problems(extreme))
    loss = data.draw(any_losses(problem.n_classes))
    order = np.random.default_rng(data.draw(st.integers(0, 2**32))).permutation(len(problem.y))
    # weights that are sums over the rows are sums in another order
    tolerance = ONCE if is_moving_or_counted(loss) else 0
    same(
        [a[order] for a in gradients(loss, problem)], gradients(loss, problem.of(order)), tolerance
    )


@given(st.data())
def test_classes_in_another_order(data):
    problem = data.draw(problems(extreme, columns=(2, 3, 4, 6), rows=(2, 40)))
    k = problem.n_classes
    numbers = data.draw(st.lists(st.sampled_from(GAMMAS), min_size=k, max_size=k))
    order = np.array(data.draw(st.permutations(range(k))))  # column j is class order[j] of before
    place = np.argsort(order)
    moved = problem._replace(y=place[problem.y], raw=problem.raw[:, order])
    loss = data.draw(
        st.sampled_from(
            [
                CrossEntropy(class_weight=[x + 0.1 for x in numbers]),
                CrossEntropy(class_weight="balanced"),
                FocalLoss(numbers),
                FocalLoss(numbers, hessian="exact"),
                *(GHMLoss(density=density) for density in DENSITIES),
            ]
        )
    )
    params = loss.get_params()
    for name in ("gamma", "class_weight"):
        if isinstance(params.get(name), list):
            params[name] = [params[name][j] for j in order]
    other = type(loss)(**params)
    if loss.depends_on_all_scores:
        assume(far_from_edges(loss, problem))
    # exact curvature may cancel: its terms are below 1
    tolerance = 1e-5 if loss.depends_on_all_scores else SINGLE
    same([a[:, order] for a in gradients(loss, problem)], gradients(other, moved), tolerance)
    # without offsets: where scores are as far apart as 1e10 many are equally good
    one = loss.fit(*problem[:3], offset=False).posterior(problem.raw)[:, order]
    two = other.fit(*moved[:3], offset=False).posterior(moved.raw)
    np.testing.assert_allclose(one, two, atol=1e-6)


@given(st.data())
def test_two_classes_of_softmax_are_binary(data):
    problem = data.draw(problems(extreme, columns=(1,), rows=(2, 40)))
    loss = data.draw(any_losses(2))
    if loss.depends_on_all_scores:
        assume(far_from_edges(loss, problem))
    matrix = problem._replace(raw=np.column_stack([np.zeros_like(problem.raw), problem.raw]))
    # GHM by class: a share of the next node is rounded to 2**-19
    tolerance = 1e-5 if loss.depends_on_all_scores else SINGLE
    gradient, hessian = gradients(loss, problem)
    wide = gradients(loss, matrix)
    # to weights, whatever is small beside them is nothing
    size = 100 if problem.weight is None else 100 * problem.weight.max()
    nothing = NOTHING * size * 40
    np.testing.assert_allclose(wide[0][:, 1], gradient, rtol=tolerance, atol=nothing)
    np.testing.assert_allclose(wide[0][:, 0], -gradient, rtol=tolerance, atol=nothing)
    true = wide[1][np.arange(len(problem.y)), problem.y]
    np.testing.assert_allclose(true, hessian, rtol=tolerance, atol=nothing)
    if getattr(loss, "hessian", "") != "exact":
        np.testing.assert_allclose(wide[1][:, 0], wide[1][:, 1], rtol=tolerance, atol=nothing)
    one, two = (loss.value(*p[:3]) for p in (problem, matrix))
    np.testing.assert_allclose(one, two, rtol=tolerance, atol=nothing)
    one, two = (loss.fit(*p[:3]).posterior(p.raw) for p in (problem, matrix))
    np.testing.assert_allclose(one, two[:, 1], atol=1e-6)


@given(st.data())
def test_parts_add_up(data):
    problem = data.draw(problems(extreme, every_class=False, zeros=False))
    loss = data.draw(static_losses(problem.n_classes, counted=False))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(problem.y)), max_size=3)))
    parts = np.split(np.arange(len(problem.y)), cuts)
    whole = gradients(loss, problem)
    parts = [gradients(loss, problem.of(rows)) for rows in parts]
    same(whole, [np.concatenate(arrays) for arrays in zip(*parts, strict=True)], 0)


# -- weights -------------------------------------------------------------------------------


@given(st.data())
def test_weights_scale_gradients(data):
    problem = data.draw(problems(extreme).filter(lambda p: p.weight is not None))
    loss = data.draw(any_losses(problem.n_classes))
    # an effective number is no multiple of the count
    assume(loss.class_weight != "effective")
    power = data.draw(st.booleans())
    number = data.draw(
        st.integers(-20, 20).map(lambda k: 2.0**k) if power else st.floats(0.01, 100)
    )
    scaled = problem._replace(weight=(problem.weight * number).astype(problem.weight.dtype))
    wanted = [a * np.float32(number) for a in gradients(loss, problem)]
    # of subnormal numbers digits are lost; where class weights are counted, their sums round
    tolerance = 0 if power and not is_moving_or_counted(loss) else 1e-6
    got = gradients(loss, scaled)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=NOTHING)


@given(st.data())
def test_a_weight_is_as_good_as_repeated_rows(data):
    problem = data.draw(problems(extreme, weights=None, rows=(2, 300)))
    loss = data.draw(any_losses(problem.n_classes))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    times = rng.integers(1, 4, len(problem.y))
    kind = data.draw(st.sampled_from([np.int32, np.float32, np.float64]))
    weighted = gradients(loss, problem._replace(weight=times.astype(kind)))
    repeated = gradients(loss, problem.of(np.repeat(np.arange(len(times)), times)))
    first = np.cumsum(times) - times
    shape = (-1, 1)[: problem.raw.ndim]
    for one, many in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(one / times.reshape(shape), many[first], rtol=1e-6, atol=NOTHING)
    if not loss.depends_on_all_scores:
        one = loss.init_score(problem.y, times)
        many = loss.init_score(np.repeat(problem.y, times))
        np.testing.assert_allclose(one, many, atol=1e-9)
    metric = bl.metric(loss)
    many = metric(np.repeat(problem.y, times), np.repeat(problem.raw, times, axis=0))
    # float32 rounds a row's weight times its loss, where a repeated row's loss is not rounded again
    assert metric(problem.y, problem.raw, times) == pytest.approx(many, rel=1e-6, abs=NOTHING)


# -- probabilities -------------------------------------------------------------------------


@given(st.data())
def test_posterior_rises_with_the_score_and_sums_to_one(data):
    problem = data.draw(problems(extreme))
    loss = data.draw(any_losses(problem.n_classes)).fit(*problem[:3])
    if problem.binary:
        order = np.argsort(problem.raw)
        posterior = loss.posterior(problem.raw[order])
        assert (np.diff(posterior) >= -1e-12).all()
        return
    posterior = loss.posterior(problem.raw)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-12)
    k = data.draw(st.integers(0, problem.n_classes - 1))
    raised = problem.raw.astype(float)
    raised[:, k] += data.draw(st.sampled_from([1e-3, 1.0, 50.0, 1e3]))
    assert (loss.posterior(raised)[:, k] >= loss.posterior(problem.raw)[:, k] - 1e-12).all()


@given(st.data())
def test_base_score_ends_the_gradient_sum_and_gives_the_shares(data):
    problem = data.draw(problems(dtypes=(np.float64,), weights=(1e-4, 1e4)))
    loss, k = data.draw(static_losses(problem.n_classes)), problem.n_classes
    n_classes = data.draw(st.just(k) | st.none() if problem.binary else st.just(k))
    score = loss.init_score(problem.y, problem.weight, n_classes=n_classes)
    wide = k > 2 or n_classes == 2
    raw = np.tile(score, (len(problem.y), 1)) if wide else np.full(len(problem.y), score)
    gradient = gradients(loss, problem._replace(raw=raw))[0].astype(float)
    assert (np.abs(gradient.sum(axis=0)) <= ONCE * np.abs(gradient).sum()).all()
    shares = np.bincount(problem.y, problem.weight, k).astype(float)
    shares /= shares.sum()
    posterior = loss.fit(problem.y, None, problem.weight).posterior(raw[:1])[0]
    np.testing.assert_allclose(posterior, shares if wide else shares[1], rtol=1e-8)


# -- arrays --------------------------------------------------------------------------------


def layouts(array):
    """Equal arrays that lie otherwise in memory."""
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, array.dtype, "w+", shape=(array.size + 1,))[1:]
    mapped = mapped.reshape(array.shape)
    mapped[...] = array
    locked = array.copy()
    locked.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)
    frame = pd.Series(array) if array.ndim == 1 else pd.DataFrame(array)
    table = np.zeros(len(array), [("other", "i1"), ("this", array.dtype, array.shape[1:])])
    table["this"] = array
    return {
        "list": array.tolist(),
        "big-endian": array.astype(array.dtype.newbyteorder(">")),
        "every second": np.repeat(array, 2, axis=0)[::2],
        "reversed": array[::-1].copy()[::-1],
        "all reversed": np.flip(np.flip(array).copy()),
        "column": np.stack([array, array], axis=-1)[..., 0],
        "field": table["this"],
        "columns first": np.asfortranarray(array),
        "inner columns": np.asfortranarray(np.repeat(array, 3, axis=0))[::3],
        "read-only": locked,
        "memory-mapped": mapped,
        "unaligned": unaligned,
        "frame": frame,
        "object": array.astype(object),
    }


LAYOUTS = list(layouts(np.zeros(1)))


@pytest.mark.parametrize("lies", LAYOUTS)
@pytest.mark.parametrize("wide", [False, True])
def test_every_layout_is_read_alike(lies, wide):
    rng = np.random.default_rng(0)
    y, raw, weight = rng.integers(0, 2, 20).astype(float), rng.normal(size=(20, 3)), rng.random(20)
    raw = raw if wide else raw[:, 0]
    given = [layouts(array)[lies] for array in (y, raw, weight)]
    loss = FocalLoss(2.0)
    same(loss.gradient_hessian(*given), loss.gradient_hessian(y, raw, weight), 0)
    np.testing.assert_array_equal(loss.value(*given), loss.value(y, raw, weight))


@pytest.mark.filterwarnings("ignore:no training was found")
@given(st.data())
def test_types_and_layouts_change_nothing(data):
    problem = data.draw(
        problems(st.integers(-8, 8), rows=(0, 200), every_class=False, weights=None)
    )
    # read-only and unaligned arrays have loops of their own: few losses, for they take long
    loss = data.draw(st.sampled_from([FocalLoss(2.0), GHMLoss()]))
    kinds = ["f2", "f4", "f8", "i1", "i8", "?"]
    raw = problem.raw.astype(data.draw(st.sampled_from(kinds)))
    labels = ["?", *kinds] if problem.n_classes == 2 else kinds[:-1]
    y = problem.y.astype(data.draw(st.sampled_from(labels)))
    weight = None
    if data.draw(st.booleans()):
        weight = np.arange(1, len(y) + 1) % 4
        weight = weight.astype(data.draw(st.sampled_from(kinds)))
        assume(weight.any() or not len(y))
    given = []
    for array in (y, raw, weight):
        lies = data.draw(st.sampled_from(LAYOUTS))
        if array is not None and not (lies in ("list", "object", "frame") and not array.size):
            array = layouts(array)[lies]
        given.append(array)
    # native float32 scores alone are computed in float32
    native = np.asarray(given[1]).dtype == np.dtype(np.float32)
    plain = [
        y.astype(np.float32),
        np.ascontiguousarray(raw, np.float32 if native else np.float64),
        None if weight is None else weight.astype(np.float64),
    ]
    same(loss.gradient_hessian(*given), loss.gradient_hessian(*plain), 0)
    np.testing.assert_array_equal(loss.value(*given), loss.value(*plain))
    if len(y):
        got, want = (
            [loss.fit(*arrays, offset=offset).posterior(arrays[1]) for offset in (False, True)]
            for arrays in (given, plain)
        )
        np.testing.assert_array_equal(got[0], want[0])
        # the offset comes from sums, whose order is that of the memory
        np.testing.assert_allclose(got[1], want[1], rtol=1e-9, atol=1e-12)
        for metric in (bl.metric(loss), bl.posterior_log_loss(loss)):
            assert metric(*given) == metric(*plain)
    if len(np.unique(y)) > 1:
        same(bl.objective(loss)(*given), bl.objective(loss)(*plain), 0)


@pytest.mark.filterwarnings("ignore:no training was found")
@given(st.data())
def test_input_stays_as_it_is_and_results_are_new(data):
    problem = data.draw(problems(extreme))
    problem = problem._replace(y=problem.y.astype(np.float32))
    loss = data.draw(any_losses(problem.n_classes))
    arrays = [array for array in problem[:3] if array is not None]
    before = [array.copy() for array in arrays]
    results = {}
    for repeat in range(2):
        fitted = loss.fit(*problem[:3])
        gradient, hessian = loss.gradient_hessian(*problem[:3])
        results[repeat] = [
            gradient,
            hessian,
            loss.value(*problem[:3]),
            fitted.posterior(problem.raw),
            *bl.objective(loss)(*problem[:3]),
            np.array(bl.metric(loss)(*problem[:3])),
            np.array(bl.posterior_log_loss(loss)(*problem[:3])),
            np.array(loss.init_score(*problem[::2][:1], problem.weight)),
        ]
    for first, second in zip(*results.values(), strict=True):
        np.testing.assert_array_equal(first, second)
    everything = [*results[0], *results[1]]
    for i, result in enumerate(everything):
        for other in [*arrays, *everything[:i]]:
            assert not np.shares_memory(result, other)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@given(st.data())
def test_rounds_of_one_run_leave_held_results_alone(data):
    """What a run remembers is its own: no array that was handed out is written again."""
    problem = data.draw(problems(rows=(2, 40)))
    loss, run, held = data.draw(any_losses(problem.n_classes)), TrainingRun(), []
    total, want = 0.0, 0.0
    for hold in data.draw(st.lists(st.sampled_from(["no", "one", "both", "view"]), max_size=6)):
        raw = problem.raw * data.draw(st.sampled_from([-1, 0.5, 1]), label="score")
        raw = np.asarray(raw, problem.raw.dtype, order="K")
        got = gradients(loss, problem._replace(raw=raw), run=run)
        alone = gradients(loss, problem._replace(raw=raw))
        same(got, alone, 0)
        total, want = total + got[0], want + alone[0]
        kept = {"no": [], "one": [got[1]], "both": list(got), "view": [got[0][:1]]}[hold]
        held += [(array, array.copy()) for array in kept]
        del got, kept
        for array, copy in held:
            np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(total, want)


# -- what is not allowed -------------------------------------------------------------------


HUGE = 10**400
"""An int that no float holds."""


def with_entry(array, row, entry):
    number = isinstance(entry, int | float) and entry != HUGE
    kept = array.dtype if array.dtype.kind == "f" else np.float64
    array = array.astype(kept if number else object)
    array[(row, *[0] * (array.ndim - 1))] = entry
    return array


@st.composite
def spoiled(draw, problem, names=("y", "raw", "sample_weight")):
    """An argument's name, and what must not stand for it."""
    name = draw(st.sampled_from(names))
    array = {"y": problem.y, "raw": problem.raw, "sample_weight": problem.weight}[name]
    if array is None:
        array = np.ones(len(problem.y))
    row = draw(st.integers(0, len(problem.y) - 1))
    wrong = [np.nan, np.inf, -np.inf, "a", None, object(), 1j, [1.0, 2.0], HUGE]
    wrong += {"y": [-1, problem.n_classes, 0.5, 1e300], "sample_weight": [-1, -1e-30]}.get(name, [])
    whole = [
        array[..., None, None],
        np.asarray(5.0),
        array.astype(complex),
        array.astype("U8"),
        np.zeros(array.shape, "M8[D]"),
        np.zeros(array.shape, "m8[s]"),
        np.zeros(array.shape, [("a", "f8")]),
        {0: 1},
        datetime.date(2020, 1, 1),
        [[1.0, 2.0], [3.0]],
    ]
    if name == "y" and "raw" not in names:  # any length, and any number of classes, may be meant
        wrong.remove(problem.n_classes)
    else:
        whole += [array[:-1], np.concatenate([array, array[:1]])]
    if name == "raw":
        whole += [np.zeros((len(array), 1)), np.zeros((len(array), 0))]
    if name == "sample_weight":
        whole.append(np.zeros(len(array)))
    entries = st.sampled_from(wrong).map(lambda entry: with_entry(array, row, entry))
    return name, draw(entries | st.sampled_from(whole))


@given(st.data())
def test_bad_input_is_named(data):
    problem = data.draw(problems(columns=(1, 3, 6)))
    loss = data.draw(any_losses(problem.n_classes))
    name, wrong = data.draw(spoiled(problem))
    y, raw, weight = problem[:3]
    given = {"y": y, "raw": raw, "sample_weight": weight, name: wrong}
    y, raw, weight = given.values()
    run = TrainingRun(class_weight=np.ones(problem.n_classes)) if data.draw(st.booleans()) else None
    calls = {
        "value": lambda: loss.value(y, raw, weight),
        "gradient_hessian": lambda: loss.gradient_hessian(y, raw, weight),
        "later round": lambda: loss.gradient_hessian(y, raw, weight, run=run),
        "fit": lambda: loss.fit(y, raw, weight),
        "objective": lambda: bl.objective(loss)(y, raw, weight),
        "metric": lambda: bl.metric(loss)(y, raw, weight),
        "log loss": lambda: bl.posterior_log_loss(loss)(y, raw, weight),
        "probability": lambda: bl.metric(loss, scores="probability")(y, p, weight),
    }
    p = raw if name == "raw" else expit(raw) if problem.binary else softmax(raw, axis=1)
    call = data.draw(st.sampled_from(list(calls)))
    # too many scores are too few labels
    names = {"raw": r"raw|y|sample_weight"}.get(name, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "no training was found")
        with pytest.raises((ValueError, TypeError)) as caught:
            calls[call]()
    assert type(caught.value) in (ValueError, TypeError)
    assert re.search(rf"\b({names})\b", str(caught.value))


@given(st.data())
def test_loops_notice_a_bad_number_in_any_row(data):
    """They look at labels, scores and weights on their way; nobody else does."""
    problem = data.draw(problems(rows=(2, None)))
    n, k = len(problem.y), problem.n_classes
    if problem.weight is None:
        problem = problem._replace(weight=np.ones(n, problem.raw.dtype))
    loss, row = data.draw(any_losses(k)), data.draw(st.integers(0, n - 1))
    nothing = [np.nan, np.inf, -np.inf]
    for name, allowed, wrong in (
        ("raw", problem.raw, nothing),
        ("y", problem.y, [*nothing, -1, k, 0.5]),
        ("sample_weight", problem.weight, [*nothing, -1, -1e-30]),
    ):
        spoilt = allowed.astype(float) if name == "y" else allowed.copy(order="K")
        place = row if spoilt.ndim == 1 else (row, data.draw(st.integers(0, k - 1)))
        spoilt[place] = data.draw(st.sampled_from(wrong))
        given = {"y": problem.y, "raw": problem.raw, "sample_weight": problem.weight, name: spoilt}
        for call in (loss.gradient_hessian, loss.value):
            with pytest.raises(ValueError, match=rf"^{name}\b"):
                call(**given)


@given(st.data())
def test_bad_targets_are_named(data):
    problem = data.draw(problems(columns=(1, 3), dtypes=(np.float64,)))
    loss = data.draw(static_losses(problem.n_classes))
    name, wrong = data.draw(spoiled(problem, ("y", "sample_weight")))
    given = {"y": problem.y, "sample_weight": None if name == "y" else problem.weight, name: wrong}
    for call in (loss.init_score, lambda y, weight: loss.fit(y, None, weight)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises((ValueError, TypeError), match=rf"\b{name}\b"):
                call(*given.values())


@given(st.sampled_from(["2", 1, 0, -1, 2.0, np.nan, True, [2]]))
def test_bad_number_of_classes_is_named(wrong):
    for call in (FocalLoss().init_score, CrossEntropy(class_weight="balanced").fit):
        with pytest.raises((ValueError, TypeError), match="n_classes"):
            call([0, 0], n_classes=wrong)


@given(st.sampled_from(["2", None, -1.0, np.nan, np.inf]))
def test_bad_factor_is_named(wrong):
    with pytest.raises((ValueError, TypeError), match="factor"):
        FocalLoss().gradient_hessian([0, 1], np.zeros((2, 3)), factor=wrong)


@given(
    st.sampled_from([b"ab", np.array(2.0), np.ones((2, 2)), [1, "a"], [0, 1], [np.nan, 1], True])
)
def test_bad_class_weights_are_named(wrong):
    with pytest.raises((ValueError, TypeError), match="class_weight"):
        CrossEntropy(class_weight=wrong).value([0, 1], [0.0, 0.0])


@given(st.data())
def test_softmax_refuses_scores_whose_difference_is_no_number(data):
    """Its norms would be NaN, which GHM cannot look up."""
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    raw = np.zeros((3, 3), dtype)
    raw[1, :2] = np.finfo(dtype).max * np.array([0.9, -0.9])
    loss = data.draw(any_losses(3, counted=False))
    for call in (loss.value, loss.fit):
        with pytest.raises(ValueError, match="raw must have finite differences"):
            call([0, 1, 2], raw)
