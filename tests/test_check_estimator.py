"""scikit-learn's own checks, with default parameters, for every loss."""

from functools import partial

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from boostloss.hist import ImbalancedHistGradientBoostingClassifier
from boostloss.hist.sklearn_loss import FIT_TAKES_VALIDATION
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.xgboost import ImbalancedXGBClassifier

WEIGHTS = ("check_sample_weight_equivalence_on_dense_data",
           "check_sample_weight_equivalence_on_sparse_data")  # fmt: skip
REASON = (
    "XGBoost takes gradients in float32: w*g is rounded once, where w equal rows add g exactly. "
    "Probabilities differ by 1e-7 relative, the check's own tolerance."
)
BINS = (
    "Before 1.7 scikit-learn's bins know nothing of weights: its own classifier is expected to fail."
)
KINDS = (
    ImbalancedXGBClassifier,
    ImbalancedLGBMClassifier,
    partial(ImbalancedHistGradientBoostingClassifier, max_iter=20),
)
NAMES = ["cross_entropy", "balanced", "focal", "ghm"]


def expected_failures(estimator):
    if isinstance(estimator, ImbalancedXGBClassifier):
        return dict.fromkeys(WEIGHTS, REASON)
    hist = isinstance(estimator, ImbalancedHistGradientBoostingClassifier)
    if hist and not FIT_TAKES_VALIDATION and estimator.loss == "balanced":
        return {WEIGHTS[0]: BINS}
    return {}


@parametrize_with_checks(
    [kind(loss=name) for name in NAMES for kind in KINDS],
    expected_failed_checks=expected_failures,
)  # fmt: skip
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("name", WEIGHTS)
def test_sample_weights_where_rounding_stays_below_the_tolerance(name, loss):
    """The same checks pass on XGBoost where leaves, and their rounding errors, are small."""
    check = getattr(estimator_checks, name)
    check("small leaves", ImbalancedXGBClassifier(loss=loss, n_estimators=3, reg_lambda=1e4))
