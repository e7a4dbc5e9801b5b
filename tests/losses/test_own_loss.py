"""Losses that users write: scalar functions with any number of shape parameters."""

import pickle

import numpy as np
import pytest
from exact import RAW
from scipy.special import expit, log_expit, softmax
from sklearn.base import clone

import boostloss as bl
from boostloss import CrossEntropy, FocalLoss
from boostloss.kernels import Row, log
from boostloss.losses import Loss, TrainingRun, scalar


class Squared(Loss):
    """Brier's score: no shape parameter, and ``__init__`` of the base."""

    name = "squared"

    @scalar
    def value(row):
        return 0.5 * row.q * row.q

    @scalar
    def slope(row):
        return row.p * row.q * row.q


class GeneralizedCrossEntropy(Loss):
    """One shape parameter, a number or one for each class."""

    name = "gce"

    def __init__(self, a=0.7, *, class_weight=None, beta=0.9999):
        self.a = a
        self.class_weight = class_weight
        self.beta = beta
        self.check_params()

    def shape_params(self, n_classes):
        return {"a": self.a}

    @scalar
    def value(row, a):
        return (1.0 - row.p**a) / a

    @scalar
    def slope(row, a):
        return row.p**a * row.q


@scalar
def polynomial(q, *coefficients):
    """What a helper does, and one that it calls."""
    return square(q) * coefficients[0] + q * coefficients[1]


@scalar
def square(x):
    return x * x


class Two(Loss):
    """Cross-entropy with a weight ``1 + a q**2 + b q``, in another order than it is given."""

    name = "two"

    def __init__(self, a=0.5, b=2.0, *, class_weight=None, beta=0.9999):
        self.a = a
        self.b = b
        self.class_weight = class_weight
        self.beta = beta
        self.check_params()

    def shape_params(self, n_classes):
        return {"b": self.b, "unused": 7.0, "a": self.a}

    @scalar
    def value(row, a, b):
        # the integral of (1 + a q**2 + b q) q dm, with dq = -p q dm: of (1 + a q**2 + b q) / p dq
        return (1 + a + b) * row.neg_log_p - (a + b) * row.q - 0.5 * a * row.q * row.q

    @scalar
    def slope(row, a, b):
        return (1.0 + polynomial(row.q, a, b)) * row.q

    @scalar
    def curvature(row, a, b):
        q = row.q
        return max(row.p * q * (1.0 + 3.0 * a * square(q) + 2.0 * b * q), 0.0)


class Three(Two):
    """And a third: a floor of the weight."""

    name = "three"

    def __init__(self, a=0.5, b=2.0, c=0.25, *, class_weight=None, beta=0.9999):
        self.c = c
        super().__init__(a, b, class_weight=class_weight, beta=beta)

    def shape_params(self, n_classes):
        return {"a": self.a, "b": self.b, "c": self.c}

    @scalar
    def value(row, a, b, c):
        return (c + a + b) * row.neg_log_p - (a + b) * row.q - 0.5 * a * row.q * row.q

    @scalar
    def slope(row, a, b, c):
        return (c + polynomial(row.q, a, b)) * row.q

    @scalar
    def curvature(row, a, b, c):
        q = row.q
        return row.p * q * (c + 3.0 * a * square(q) + 2.0 * b * q)


LOSSES = [Squared(), GeneralizedCrossEntropy(0.5), Two(), Three(1.0, 0.5, 2.0)]
PER_CLASS = [
    GeneralizedCrossEntropy([0.3, 0.9]),
    Two(a=np.array([0.1, 2.0])),
    Three([0, 1], 2.0, (3, 0.5)),
]


def shape_of(loss, n_classes):
    """Shape parameters of each class, as a user gave them."""
    names = {0: (), 1: ("a",), 2: ("a", "b"), 3: ("a", "b", "c")}[LOSSES.index(loss) if loss in LOSSES else {
        GeneralizedCrossEntropy: 1, Two: 2, Three: 3}[type(loss)]]  # fmt: skip
    columns = [np.broadcast_to(getattr(loss, name), n_classes) for name in names]
    return [tuple(float(column[k]) for column in columns) for k in range(n_classes)]


def by_hand(loss, y, raw, class_weight, factor):
    """Value, gradient and Hessian out of the scalar functions, called as Python."""
    wide = raw if raw.ndim == 2 else np.stack([np.zeros_like(raw), raw], axis=1)
    p_all, functions = softmax(wide, axis=1), type(loss).functions
    shape, n_classes = shape_of(loss, wide.shape[1]), wide.shape[1]
    value, gradient, hessian = [], np.zeros(wide.shape), np.zeros(wide.shape)
    for i, t in enumerate(y):
        p = p_all[i, t]
        q = np.delete(p_all[i], t).sum()
        row = Row(p, q, -np.log(p), -np.log(q), -np.log(q), 0.0)
        w = class_weight[t]
        value.append(w * functions.value(row, *shape[t]))
        slope = functions.slope(row, *shape[t])
        curve = slope * p if functions.curvature is None else functions.curvature(row, *shape[t])
        for k in range(n_classes):
            p_k = p_all[i, k]
            gradient[i, k] = -w * slope if k == t else w * slope / q * p_k
            hessian[i, k] = factor * w * (curve if k == t else slope / q * p_k * (1 - p_k))
    if raw.ndim == 1:
        return value, gradient[:, 1], np.choose(y, hessian.T / factor)
    return value, gradient, hessian


@pytest.mark.parametrize("loss", [*LOSSES, *PER_CLASS], ids=repr)
@pytest.mark.parametrize("columns", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loops_are_made_of_the_scalar_functions(loss, columns, dtype):
    n_classes = max(columns, 2)
    if columns == 4:
        params = {name: np.resize(value, 4) if np.ndim(value) else value
                  for name, value in loss.get_params().items() if name in "abc"}  # fmt: skip
        loss = type(loss)(**params)
    rng = np.random.default_rng(0)
    y = rng.integers(0, n_classes, 200)
    raw = rng.normal(0, 3, 200 if columns == 1 else (200, columns)).astype(dtype)
    class_weight = [0.5, 2.0, 1.0, 3.0][:n_classes]
    weighted = clone(loss).set_params(class_weight=class_weight)
    value, gradient, hessian = by_hand(loss, y, raw.astype(float), class_weight, 3.0)
    got = weighted.gradient_hessian(y, raw, factor=3.0)
    np.testing.assert_allclose(weighted.value(y, raw), value, rtol=2e-6)
    np.testing.assert_allclose(got[0], gradient, rtol=2e-6, atol=1e-12)
    np.testing.assert_allclose(got[1], hessian, rtol=2e-6, atol=1e-12)
    if columns > 1:  # LightGBM's memory order
        turned = weighted.gradient_hessian(y, np.asfortranarray(raw), factor=3.0)
        np.testing.assert_array_equal(turned, got)


@pytest.mark.parametrize("loss", [*LOSSES, *PER_CLASS], ids=repr)
def test_slope_is_the_derivative_of_the_value(loss):
    raw, step = np.linspace(-6, 6, 49), 1e-5
    for y in (np.zeros(49), np.ones(49)):
        numeric = (loss.value(y, raw + step) - loss.value(y, raw - step)) / (2 * step)
        np.testing.assert_allclose(loss.gradient_hessian(y, raw)[0], numeric, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("loss", [Two(), Three([0, 1], 2.0, (3, 0.5))], ids=repr)
def test_an_own_curvature_is_used(loss):
    """The default is ``slope * p``, never negative; that of a loss may be the exact one."""
    raw, step = np.linspace(-6, 6, 49), 1e-2
    for y in (np.zeros(49), np.ones(49)):
        up, down = (loss.gradient_hessian(y, raw + d)[0].astype(float) for d in (step, -step))
        numeric, hessian = (up - down) / (2 * step), loss.gradient_hessian(y, raw)[1]
        rises = numeric > 1e-3
        assert rises.sum() > 10
        # dq/dm = -p q; the derivative of (c + a q**2 + b q) q
        np.testing.assert_allclose(hessian[rises], numeric[rises], rtol=1e-3, atol=2e-5)


def test_the_default_curvature_is_that_of_cross_entropy_with_the_same_weight():
    raw = np.linspace(-6, 6, 49)
    for loss in (Squared(), GeneralizedCrossEntropy()):
        gradient, hessian = loss.gradient_hessian(np.ones(49), raw)
        np.testing.assert_allclose(hessian, -gradient * expit(raw), rtol=1e-6)


@pytest.mark.parametrize("loss", [*LOSSES, *PER_CLASS], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_at_any_score(loss, dtype):
    raw = RAW.astype(dtype)
    for y in (0, 1):
        for array in loss.gradient_hessian(np.full(len(raw), y), raw):
            assert np.isfinite(array).all()
    wide = np.stack([raw, -raw], axis=1)
    for array in loss.gradient_hessian(np.arange(len(raw)) % 2, wide):
        assert np.isfinite(array).all()
    posterior = loss.fit([0, 1]).posterior(raw)
    assert ((posterior >= 0) & (posterior <= 1)).all()


def test_generalized_cross_entropys_posterior_and_start():
    """Its weight is p**a: P_k ~ p_k**(1 - a)."""
    raw = np.linspace(-30, 30, 61)
    fitted = GeneralizedCrossEntropy(0.4).fit([0, 1])
    np.testing.assert_allclose(fitted.posterior(raw), expit(0.6 * raw), rtol=1e-9)
    assert GeneralizedCrossEntropy(0.4).init_score([0, 0, 0, 1]) == pytest.approx(
        -np.log(3) / 0.6, abs=1e-9
    )
    wide = np.random.default_rng(0).normal(0, 2, (20, 3))
    want = softmax(0.6 * wide, axis=1)
    np.testing.assert_allclose(
        GeneralizedCrossEntropy(0.4).fit([0, 1, 2]).posterior(wide), want, rtol=1e-9
    )


def test_it_is_an_object_as_scikit_learns():
    for loss in (*LOSSES, *PER_CLASS):
        assert clone(loss) == loss
        assert pickle.loads(pickle.dumps(loss)) == loss
        if not any(isinstance(value, np.ndarray) for value in loss.get_params().values()):
            assert eval(repr(loss)) == loss
    assert Squared().get_params() == {"class_weight": None, "beta": 0.9999}
    assert Two(a=3.0).get_params()["a"] == 3.0
    function = pickle.loads(pickle.dumps(GeneralizedCrossEntropy.functions.slope))
    assert function is GeneralizedCrossEntropy.functions.slope


def test_objectives_and_metrics_take_it():
    y, raw = np.array([0, 1, 1, 0]), np.array([0.5, -1.0, 2.0, -3.0])
    for loss in LOSSES:
        objective = pickle.loads(pickle.dumps(bl.objective(loss)))
        np.testing.assert_array_equal(objective(y, raw), loss.gradient_hessian(y, raw))
        assert bl.metric(loss)(y, raw) == pytest.approx(loss.value(y, raw).mean())
        assert bl.metric(loss).__name__ == f"{loss.name}_loss"
        run = TrainingRun()
        for _ in range(2):
            np.testing.assert_array_equal(
                loss.gradient_hessian(y, raw, run=run), loss.gradient_hessian(y, raw)
            )


def test_a_loss_that_only_changes_a_parents_value_keeps_the_rest():
    class Halved(CrossEntropy):
        name = "halved"

        @scalar
        def value(row):
            return 0.5 * row.neg_log_p

    y, raw = [0, 1], [0.5, 2.0]
    np.testing.assert_allclose(Halved().value(y, raw), 0.5 * CrossEntropy().value(y, raw))
    np.testing.assert_array_equal(
        Halved().gradient_hessian(y, raw), CrossEntropy().gradient_hessian(y, raw)
    )
    assert CrossEntropy().value([1], [0.0])[0] == pytest.approx(np.log(2))


def test_functions_a_loss_may_call():
    class WithLog(Loss):
        name = "with_log"

        @scalar
        def value(row):
            return -log(max(row.p, 1e-300))

        @scalar
        def slope(row):
            return row.q

    raw = np.linspace(-30, 30, 31)
    np.testing.assert_allclose(
        WithLog().value(np.ones(31), raw), -log_expit(raw), rtol=1e-9, atol=1e-15
    )


# -- what is said where one is wrong -------------------------------------------------------------


def test_functions_of_one_loss_take_the_same_parameters():
    with pytest.raises(
        TypeError, match="scalar functions must take the same parameters, got"
    ) as error:

        class Wrong(Loss):
            name = "wrong"

            @scalar
            def value(row, a):
                return a * row.q

            @scalar
            def slope(row, b):
                return b * row.q

    assert "'Wrong.value': ('a',), 'Wrong.slope': ('b',)" in str(error.value)


def test_a_child_must_keep_its_parents_parameters():
    with pytest.raises(TypeError, match="scalar functions must take the same parameters"):

        class Wrong(FocalLoss):
            @scalar
            def slope(row, gamma, other):
                return row.q


def test_a_shape_parameter_has_one_number_or_one_for_each_class():
    loss = GeneralizedCrossEntropy([0.5, 0.5, 0.5])
    for call in (loss.value, loss.gradient_hessian, loss.fit):
        with pytest.raises(
            ValueError, match="a must be one number or one for each of 2 classes, got 3"
        ):
            call([0, 1], [0.0, 0.0])
    loss.value([0, 1], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="a must be one number or one for each of 2 classes"):
        GeneralizedCrossEntropy([[0.5, 0.5]]).value([0, 1], [0.0, 0.0])


def test_a_loss_without_slope_or_value():
    with pytest.raises(TypeError, match="slope"):

        class Half(Loss):
            name = "half"

            @scalar
            def value(row):
                return row.q


class WithoutClassWeight(Loss):
    name = "without_class_weight"

    def __init__(self, a=1.0):
        self.a = a

    @scalar
    def value(row):
        return row.neg_log_p

    @scalar
    def slope(row):
        return row.q


class WithItsOwnClassWeight(WithoutClassWeight):
    """It sets the attributes, but a copy cannot be given others."""

    def __init__(self, a=1.0):
        self.a, self.class_weight, self.beta = a, None, 0.9999


class WithoutBeta(WithoutClassWeight):
    def __init__(self, a=1.0, *, class_weight=None):
        self.a, self.class_weight = a, class_weight


@pytest.mark.parametrize("kind", [WithoutClassWeight, WithItsOwnClassWeight, WithoutBeta])
@pytest.mark.parametrize("use", [
    lambda loss: loss.fit([0, 1]),
    lambda loss: loss.fit([0, 1], [0.0, 1.0]),
    lambda loss: loss.init_score([0, 1]),
    lambda loss: loss.value([0, 1], [0.0, 1.0]),
    lambda loss: loss.gradient_hessian([0, 1], [0.0, 1.0]),
])  # fmt: skip
def test_a_class_weight_must_be_taken(kind, use):
    with pytest.raises(
        TypeError, match=rf"{kind.__name__}.__init__ must take class_weight and beta"
    ):
        use(kind())
