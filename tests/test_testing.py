"""check_loss passes for what keeps its promises, and names what does not."""

from fractions import Fraction

import numpy as np
import pytest

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.kernels import RowFunctions
from boostloss.losses import Loss, register, scalar
from boostloss.testing import check_loss


@register
class GeneralizedCrossEntropy(Loss):
    name = "gce_of_test_testing"

    def __init__(self, a=0.7, *, class_weight=None, beta=0.9999):
        self.a, self.class_weight, self.beta = a, class_weight, beta

    def shape_params(self, n_classes):
        return {"a": self.a}

    @scalar
    def value(row, a):
        return (1.0 - row.p**a) / a

    @scalar
    def slope(row, a):
        return row.p**a * row.q


SHIPPED = [
    CrossEntropy(),
    CrossEntropy(class_weight="balanced"),
    CrossEntropy(class_weight="effective", beta=0.99),
    CrossEntropy(class_weight=3.0),
    FocalLoss(0),
    FocalLoss(0.5),
    FocalLoss(5),
    FocalLoss([1.0, 2.5]),
    FocalLoss(2, alpha=0.25),
    FocalLoss(1.5, hessian="exact"),
    AsymmetricLoss(2, 0, 0),
    AsymmetricLoss(1, 2, 0.01),
    AsymmetricLoss(0, 0, 0.2),
    GHMLoss(density="bins"),
    GHMLoss(density="window"),
    GHMLoss(momentum=0.5, class_weight="balanced"),
]


@pytest.mark.parametrize("loss", SHIPPED, ids=repr)
def test_shipped_losses_pass(loss):
    check_loss(loss, engines=[])


@pytest.mark.parametrize(
    "loss",
    [CrossEntropy(class_weight="balanced"), FocalLoss(), AsymmetricLoss(), GHMLoss(),
     GeneralizedCrossEntropy()],
    ids=repr,
)  # fmt: skip
def test_they_pass_on_both_engines(loss):
    check_loss(loss)


def broken(name, function=None, **attributes):
    kind = type(f"Broken{name.title()}", (GeneralizedCrossEntropy,), {"name": f"broken_{name}"})
    if function is not None:
        functions = kind.functions._asdict()
        kind.functions = RowFunctions(**{**functions, attributes.pop("replaces"): function})
    for attribute, value in attributes.items():
        setattr(kind, attribute, value)
    globals()[kind.__name__] = kind  # for its pickle
    return register(kind)(0.7)


class Unregistered(GeneralizedCrossEntropy):
    """A name of its own, which nobody knows."""

    name = "unregistered"


class Leaking(GeneralizedCrossEntropy):
    """Weights that depend on the calls before."""

    name, seen = "leaking", 0

    def class_weights(self, counts, n_classes):
        type(self).seen += 1
        return super().class_weights(counts, n_classes) * (1 + type(self).seen % 3)


@scalar
def twice_the_slope(row, a):
    return 2.0 * row.p**a * row.q


@scalar
def minus_the_value(row, a):
    return -(1.0 - row.p**a) / a


@scalar
def without_log_p(row, a):
    # 0 / 0 where q underflows the square
    tiny = row.q**10
    return row.p**a * row.q * tiny / tiny


@scalar
def nothing_easy(row, a):
    return row.p**a * row.q if row.q > 0.5 else 0.0


@scalar
def value_of_nothing_easy(row, a):
    return (1.0 - row.p**a) / a - (1.0 - 0.5**a) / a if row.q > 0.5 else 0.0


@scalar
def negative_curvature(row, a):
    return row.p**a * row.q * (row.p - 0.5)


@scalar
def another_weight(row, a):
    return -0.5 * a * row.neg_log_p


def test_a_wrong_slope():
    with pytest.raises(AssertionError, match=r"(?s)check_slope_is_derivative failed.*slope at"):
        check_loss(broken("slope", twice_the_slope, replaces="slope"), engines=[])


def test_a_value_of_the_wrong_sign():
    with pytest.raises(AssertionError, match="check_slope_is_derivative"):
        check_loss(broken("value", minus_the_value, replaces="value"), engines=[])


def test_nan_in_the_tails():
    loss = broken("nan", without_log_p, replaces="slope")
    type(loss).tail_power = lambda self, n_classes: 0.2  # holds no score back
    with pytest.raises(AssertionError, match="NaN or infinite"):
        check_loss(loss, engines=[])


@pytest.mark.filterwarnings("ignore:invalid value encountered in add")
def test_a_weight_of_0_that_is_not_declared():
    loss = broken("zero", nothing_easy, replaces="slope")
    type(loss).functions = type(loss).functions._replace(value=value_of_nothing_easy)
    with pytest.raises(AssertionError, match="weight_may_be_zero"):
        check_loss(loss, engines=[])


def test_a_negative_curvature():
    with pytest.raises(AssertionError, match=r"curvature at margin .* is -"):
        check_loss(broken("curvature", negative_curvature, replaces="curvature"), engines=[])


def test_a_posterior_that_does_not_undo_the_weight():
    with pytest.raises(AssertionError, match=r"check_(intercept|posterior) failed"):
        check_loss(broken("weight", another_weight, replaces="log_weight"), engines=[])


def test_a_parameter_that_a_copy_loses():
    def init(self, a=0.7, *, class_weight=None, beta=0.9999):
        self.a, self.class_weight, self.beta = a / 2, class_weight, beta

    loss = broken("copy", __init__=init)
    with pytest.raises(AssertionError, match="check_copies failed"):
        check_loss(loss, engines=[])


def test_a_loss_without_a_registered_name():
    with pytest.raises(AssertionError, match=r"(?s)check_copies failed.*only a registered loss"):
        check_loss(Unregistered(), engines=[])


def test_a_parameter_that_get_params_loses():
    def get_params(self, deep=True):
        return {"class_weight": self.class_weight, "beta": self.beta}

    loss = type(broken("params", get_params=get_params))(0.3)
    with pytest.raises(AssertionError, match=r"(?s)check_copies failed.*loses a shape parameter"):
        check_loss(loss, engines=[])


def test_a_parameter_that_fit_loses():
    def with_class_weight(self, class_weight):
        return type(self)(class_weight=class_weight.tolist())

    loss = type(broken("fit", with_class_weight=with_class_weight))(0.3)
    with pytest.raises(AssertionError, match=r"(?s)check_copies failed.*fit loses a shape param"):
        check_loss(loss, engines=[])


def test_a_parameter_that_no_file_can_hold():
    loss = type(broken("file"))(Fraction(7, 10))
    with pytest.raises(AssertionError, match=r"check_copies failed.*not JSON serializable"):
        check_loss(loss, engines=[])


def test_a_softmax_of_two_that_is_not_the_binary_loss():
    def gradient_hessian(self, y, raw, sample_weight=None, **keywords):
        gradient, hessian = Loss.gradient_hessian(self, y, raw, sample_weight, **keywords)
        return (2 * gradient, 2 * hessian) if np.ndim(raw) == 2 else (gradient, hessian)

    loss = broken("softmax", gradient_hessian=gradient_hessian)
    with pytest.raises(AssertionError, match=r"(?s)check_softmax_of_two failed.*gradient"):
        check_loss(loss, engines=[])


def test_entry_points_of_different_results():
    rounds = []

    def gradient_hessian(self, y, raw, sample_weight=None, *, run=None, **keywords):
        if run is not None:  # in training
            rounds.append(run)
        if len(rounds) > 5:  # after the first of the models that are compared
            sample_weight = np.arange(len(raw)) + 1.0
        return Loss.gradient_hessian(self, y, raw, sample_weight, run=run, **keywords)

    loss = broken("entry", gradient_hessian=gradient_hessian)
    with pytest.raises(
        AssertionError, match=r"(?s)check_entry_points failed.*train and the engine"
    ):
        check_loss(loss, engines=["xgboost"])


@pytest.mark.parametrize(("replaces", "function", "words"), [
    ("slope", twice_the_slope, ("BrokenSlope()", "slope at margin", "shape parameters 0.7")),
    ("slope", without_log_p, ("gradient is NaN or infinite: label 0, raw score",)),
])  # fmt: skip
def test_messages_say_where(replaces, function, words):
    loss = broken("slope", function, replaces=replaces)
    type(loss).tail_power = lambda self, n_classes: 0.2
    with pytest.raises(AssertionError) as caught:
        check_loss(loss, engines=[])
    assert all(word in str(caught.value) for word in words), caught.value


def test_state_that_leaks():
    with pytest.raises(AssertionError, match="check_"):
        check_loss(register(Leaking)(), engines=[])
