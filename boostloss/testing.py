"""Check a loss, as scikit-learn's ``check_estimator`` checks an estimator."""

from __future__ import annotations

import importlib.util
import json
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from boostloss.kernels import Row
from boostloss.losses import FittedLoss, Loss
from boostloss.losses.base import FARTHEST
from boostloss.losses.validation import Array
from boostloss.objectives import objective

ENGINES = ("xgboost", "lightgbm")
SHARES = (0.003, 0.05, 0.3, 0.5, 0.9)

# in steps that float32 represents exactly
RAW = np.unique(np.concatenate([np.linspace(-700, 700, 225), np.linspace(-20, 20, 161)]))


def check_loss(loss: Loss, *, engines: Sequence[str] | None = None) -> None:
    """Check that a loss has all properties that boostloss and the engines rely on.

    - The slope is the derivative of the value.
    - Compiled kernels equal the scalar functions.
    - Nothing is NaN or infinite, and no curvature is negative, for raw scores from -700 to 700.
    - Sample weights, the order of rows and classes, and softmax of two classes have the right
      effect.
    - The intercept is the minimum, and the posterior of the intercept is the class share.
    - Copies, pickles and files keep the parameters.
    - An engine trains the same model with an objective, ``train`` and the classifier.

    Parameters
    ----------
    loss : Loss
        The loss, with the parameters to check.
    engines : sequence of {"xgboost", "lightgbm"}, optional
        Engines to train. The default is all installed ones.

    Raises
    ------
    AssertionError
        If a check fails. The message names the check, the expected and the actual result.

    See Also
    --------
    boostloss.losses.Loss : Base class of the losses.

    Examples
    --------
    >>> from boostloss import FocalLoss
    >>> from boostloss.testing import check_loss
    >>> check_loss(FocalLoss(gamma=1.5), engines=[])
    """
    if engines is None:
        engines = [name for name in ENGINES if importlib.util.find_spec(name)]
    checks: list[Callable[[Loss], None]] = [
        check_copies,
        check_slope_is_derivative,
        check_loops_equal_functions,
        check_finite_and_convex,
        check_sample_weight_and_order,
        check_order_of_classes,
        check_softmax_of_two,
        check_intercept,
        check_posterior,
    ]
    for check in checks:
        _run(check, loss)
    for engine in engines:
        _run(check_entry_points, loss, engine)


def _run(check: Callable[..., None], loss: Loss, *arguments: Any) -> None:
    try:
        check(loss, *arguments)
    except Exception as error:
        kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
        raise AssertionError(f"{check.__name__} failed for {loss!r}: {kind}{error}") from error


def row_at(margin: Any) -> Row:
    """Return the row of a margin, in the type of the margin."""
    e = np.exp(-np.abs(margin))
    larger, smaller = 1 / (1 + e), e / (1 + e)
    p, q = np.where(margin >= 0, larger, smaller), np.where(margin >= 0, smaller, larger)
    u, v = (np.maximum(-s * margin, 0) + np.log1p(e) for s in (1, -1))
    return Row(p[()], q[()], u, v, v, v - v)


def check_slope_is_derivative(loss: Loss) -> None:
    """Check that ``slope`` is minus the value's derivative, and ``curvature`` minus the slope's.

    The check uses extended precision if the machine has it. ``curvature`` may have a lower bound
    above 0.
    """
    functions, step = loss.row_functions(), np.longdouble(2.0**-12)
    for shape in _shapes(loss):
        told = ", ".join(map(str, shape)) or "none"
        for margin in np.linspace(-24, 24, 97).astype(np.longdouble) + np.longdouble(0.01):

            def derivative(function: Any, at: Any = margin, shape: Any = shape) -> Any:
                """Compute the derivative by Richardson's extrapolation of central differences."""
                coarse, fine = (
                    (function(row_at(at + h), *shape) - function(row_at(at - h), *shape)) / (2 * h)
                    for h in (2 * step, step)
                )
                return (4 * fine - coarse) / 3

            row = row_at(margin)
            size = abs(functions.value(row, *shape)) + abs(functions.slope(row, *shape))
            # the rounding error of a difference
            least = float(100 * np.finfo(np.longdouble).eps * size / step) + 1e-12
            assert_allclose(
                float(functions.slope(row, *shape)), float(-derivative(functions.value)),
                rtol=1e-8, atol=least, err_msg=f"slope at margin {margin}, shape parameters {told}",
            )  # fmt: skip
            if functions.curvature is not None:
                exact = float(-derivative(functions.slope))
                curvature = float(functions.curvature(row, *shape))
                assert curvature >= 0, f"curvature at margin {margin} is {curvature}"
                if exact > least:
                    assert_allclose(curvature, exact, rtol=1e-7, atol=least, err_msg="curvature")


def check_loops_equal_functions(loss: Loss) -> None:
    """Check that the compiled kernels agree with the scalar functions in float32 and float64."""
    functions, raw = loss.row_functions(), np.linspace(-30, 30, 241)
    if loss.depends_on_all_scores:
        return
    class_weight = loss.fit([0, 1]).class_weight
    for label, shape in enumerate(_shapes(loss)):
        rows = [row_at((2 * label - 1) * z) for z in raw]
        value = [float(functions.value(row, *shape)) for row in rows]
        slope = np.array([float(functions.slope(row, *shape)) for row in rows])
        for dtype, rtol in ((np.float64, 1e-6), (np.float32, 2e-5)):
            fixed = loss.with_class_weight(class_weight)
            y, scores = np.full(len(raw), label), raw.astype(dtype)
            w = class_weight[label]
            assert_allclose(
                fixed.value(y, scores), w * np.array(value), rtol, 1e-30, err_msg="value"
            )
            gradient, hessian = fixed.gradient_hessian(y, scores)
            assert_allclose(gradient, w * (1 - 2 * label) * slope, rtol, 1e-30, err_msg="gradient")
            if functions.curvature is None:
                p = np.array([float(row.p) for row in rows])
                assert_allclose(hessian, w * slope * p, rtol, 1e-30, err_msg="Hessian")


def check_finite_and_convex(loss: Loss) -> None:
    """Check that results are finite, Hessians not negative, and weights 0 only if declared."""
    for dtype in (np.float32, np.float64):
        for y, raw in _problems(loss, dtype):
            value = loss.value(y, raw)
            gradient, hessian = loss.gradient_hessian(y, raw, factor=2.0)
            for name, array in (("value", value), ("gradient", gradient), ("Hessian", hessian)):
                _all(np.isfinite(array), f"{name} is NaN or infinite", y, raw)
            _all(hessian >= 0, "Hessian is negative", y, raw)
            _all(value >= 0, "value is negative", y, raw)
            if raw.ndim == 1:
                _all((2 * y - 1) * gradient <= 0, "gradient points the wrong way", y, raw)
                if not loss.weight_may_be_zero:
                    weighs = (gradient != 0) | (np.abs(raw) >= 5)
                    _all(weighs, "weight is 0 (if it may be, set weight_may_be_zero)", y, raw)


def _all(good: Array, complaint: str, y: Array, raw: Array) -> None:
    bad = ~good.reshape(len(y), -1).all(axis=1)
    if bad.any():
        i = int(bad.argmax())
        raise AssertionError(f"{complaint}: label {y[i]}, raw score {raw[i]} ({raw.dtype})")


def check_sample_weight_and_order(loss: Loss) -> None:
    """Check that a weight of 2 equals two copies of a row, and that row order does not matter."""
    rng = np.random.default_rng(0)
    for y, raw in _random_problems(loss, rng):
        weight = rng.integers(1, 4, len(y)).astype(float)
        again = np.repeat(np.arange(len(y)), weight.astype(int))
        with_weight = loss.gradient_hessian(y, raw, weight)
        repeated = loss.gradient_hessian(y[again], raw[again])
        order = rng.permutation(len(y))
        shuffled = loss.gradient_hessian(y[order], raw[order], weight[order])
        for name, one, two, three in zip(
            ("gradient", "Hessian"), with_weight, repeated, shuffled, strict=True
        ):
            per_row = one[again] / np.reshape(weight[again], (-1, *[1] * (raw.ndim - 1)))
            assert_allclose(per_row, two, 2e-5, 1e-9, err_msg=f"{name}: weights")
            assert_allclose(one[order], three, 2e-5, 1e-9, err_msg=f"{name}: order of rows")


def check_order_of_classes(loss: Loss) -> None:
    """Check that the order of classes does not matter if all have the same parameters."""
    if isinstance(loss.class_weight, int | float) or getattr(loss, "alpha", None) is not None:
        return
    rng = np.random.default_rng(1)
    for y, raw in _random_problems(loss, rng):
        n_classes = raw.shape[1] if raw.ndim == 2 else 2
        weights = loss.fit(y, n_classes=n_classes).class_weight
        if any(np.ptp(array) for array in loss.shape_arrays(n_classes)) or (
            np.ptp(weights) and not isinstance(loss.class_weight, str)
        ):
            continue
        turned_y, turned = n_classes - 1 - y, -raw if raw.ndim == 1 else raw[:, ::-1]
        assert_allclose(
            loss.value(turned_y, turned), loss.value(y, raw), 1e-9, 1e-12, err_msg="value"
        )


def check_softmax_of_two(loss: Loss) -> None:
    """Check that softmax over scores (0, z) equals the binary loss of z."""
    if loss.binary_only:
        return
    rng = np.random.default_rng(2)
    z, y = rng.normal(0, 4, 200), rng.integers(0, 2, 200)
    two = np.stack([np.zeros(200), z], axis=1)
    assert_allclose(loss.value(y, two), loss.value(y, z), 1e-9, 1e-12, err_msg="value")
    binary, softmax = loss.gradient_hessian(y, z), loss.gradient_hessian(y, two)
    assert_allclose(softmax[0][:, 1], binary[0], 1e-5, 1e-9, err_msg="gradient")
    assert_allclose(softmax[0].sum(axis=1), 0, 0, 1e-6, err_msg="sum of a row's gradients")
    if loss.row_functions().curvature is None:
        assert_allclose(softmax[1][:, 1], binary[1], 1e-5, 1e-9, err_msg="Hessian")


def check_intercept(loss: Loss) -> None:
    """Check that the sum of the gradients changes its sign at ``init_score``."""
    for share in SHARES:
        start = float(loss.init_score([0, 1], _weight_of(share)))
        # GHM's density may jump near this score
        near = 0.05 if loss.depends_on_all_scores else 1e-3
        below, at, above = (_mean_gradient(loss, start + d, share) for d in (-near, 0, near))
        if abs(start) >= FARTHEST:  # one class outweighs the other at every score
            continue
        assert below <= 0 <= above, f"gradients do not change sign at {start} (share {share})"
        if not (loss.depends_on_all_scores or loss.weight_may_be_zero):
            assert abs(at) < 1e-4, f"gradients sum to {at} at {start}"


def check_posterior(loss: Loss) -> None:
    """Check that the posterior equals the shares at the minimum and increases with the score."""
    for share in SHARES:
        weight = _weight_of(share)
        start = float(loss.init_score([0, 1], weight))
        fitted = loss.fit([0, 1], np.full(2, start), weight, offset=False)
        posterior = fitted.posterior(RAW)
        assert ((posterior >= 0) & (posterior <= 1)).all(), "posterior is not a probability"
        assert (np.diff(posterior) >= -1e-12).all(), "posterior falls where the score rises"
        if not loss.depends_on_all_scores and abs(_mean_gradient(loss, start, share)) < 1e-4:
            at_start = float(fitted.posterior([start])[0])
            assert_allclose(at_start, share, 1e-6, err_msg="posterior at the intercept")
        if not (loss.depends_on_all_scores or loss.binary_only):
            two = fitted.posterior(np.stack([np.zeros(len(RAW)), RAW], axis=1))
            assert_allclose(two[:, 1], posterior, 1e-6, 1e-12, err_msg="posterior of two columns")


def _weight_of(share: float) -> Array:
    return np.array([1 - share, share]) * 1000


def _mean_gradient(loss: Loss, z: float, share: float) -> float:
    gradient, _ = loss.gradient_hessian([0, 1], np.full(2, z), _weight_of(share))
    wide = gradient.astype(float)
    return float(wide.sum() / np.abs(wide).sum())


def check_copies(loss: Loss) -> None:
    """Check that clone, pickle and the dict for files preserve the loss."""
    assert clone(loss) == loss, "clone is another loss"
    assert pickle.loads(pickle.dumps(loss)) == loss, "pickle gives another loss"
    raw = np.linspace(-5, 5, 11)
    fitted = loss.fit(np.arange(11) % 2, raw)
    again = FittedLoss.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted, "to_dict and from_dict give another loss"
    # without get_params, which == uses
    for copy, way in ((clone(loss), "clone"), (fitted.loss, "fit")):
        assert_array_equal(
            copy.shape_arrays(2), loss.shape_arrays(2), err_msg=f"{way} loses a shape parameter"
        )
    assert_array_equal(again.posterior(raw), fitted.posterior(raw))


def check_entry_points(loss: Loss, engine: str) -> None:
    """Check that the engine's ``train``, boostloss's and the classifier give equal raw scores."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 4)).astype(np.float32)
    y = (X[:, 0] + rng.normal(0, 0.5, 400) > 0.8).astype(int)
    train = _xgboost if engine == "xgboost" else _lightgbm
    plain, ours, classifier = train(loss, X, y)
    assert_allclose(ours, plain, 1e-5, 1e-5, err_msg="train and the engine's own")
    assert_allclose(classifier, ours, 1e-5, 1e-5, err_msg="classifier and train")


def _xgboost(loss: Loss, X: Array, y: Array) -> tuple[Array, Array, Array]:
    import xgboost

    import boostloss.xgboost as room

    data, params = xgboost.DMatrix(X, y), {"max_depth": 3, "nthread": 1}
    started = {**params, "objective": "binary:logistic", "base_score": room.base_score(loss, y)}
    plain = xgboost.train(started, data, 5, obj=objective(loss))
    ours = room.train(params, data, 5, loss=loss)
    model = room.ImbalancedXGBClassifier(loss=loss, n_estimators=5, max_depth=3, n_jobs=1)
    raw = [booster.predict(data, output_margin=True) for booster in (plain, ours)]
    return raw[0], raw[1], model.fit(X, y).raw_score(X)


def _lightgbm(loss: Loss, X: Array, y: Array) -> tuple[Array, Array, Array]:
    import lightgbm

    import boostloss.lightgbm as room

    params = {"num_leaves": 7, "num_threads": 1, "verbose": -1}
    start = loss.init_score(y)
    data = lightgbm.Dataset(X, y, init_score=np.full(len(y), start))
    plain = lightgbm.train({**params, "objective": objective(loss)}, data, 5)
    ours = room.train(params, lightgbm.Dataset(X, y), 5, loss=loss)
    model = room.ImbalancedLGBMClassifier(
        loss=loss, n_estimators=5, num_leaves=7, n_jobs=1, verbose=-1
    )
    raw = plain.predict(X, raw_score=True) + start
    return raw, ours.predict(X, raw_score=True), model.fit(X, y).raw_score(X)


def _shapes(loss: Loss) -> list[tuple[float, ...]]:
    """Return the shape parameters of the negative and of the positive class."""
    arrays = loss.shape_arrays(2)
    return [tuple(array[k] for array in arrays) for k in (0, 1)]


def _problems(loss: Loss, dtype: Any) -> list[tuple[Array, Array]]:
    """Return labels and scores from -700 to 700, for two and for three classes."""
    raw = RAW.astype(dtype)
    found = [(np.repeat([0, 1], len(raw)), np.tile(raw, 2))]
    if not loss.binary_only:
        rng = np.random.default_rng(4)
        scores = np.concatenate([rng.uniform(-s, s, (60, 3)) for s in (1, 30, 700)]).astype(dtype)
        found.append((np.arange(180) % 3, scores))
    return [(y, z) for y, z in found if _fits(loss, z)]


def _random_problems(loss: Loss, rng: np.random.Generator) -> list[tuple[Array, Array]]:
    found = [(np.arange(120) % 2, rng.normal(0, 2, 120))]
    if not loss.binary_only:
        found.append((np.arange(120) % 3, rng.normal(0, 2, (120, 3))))
    return [(y, z) for y, z in found if _fits(loss, z)]


def _fits(loss: Loss, raw: Array) -> bool:
    """Return whether parameters given per class match the number of classes of the scores."""
    try:
        loss.value(np.arange(len(raw)) % (3 if raw.ndim == 2 else 2), raw)
    except ValueError:
        if raw.ndim == 1:
            raise
        return False
    return True
