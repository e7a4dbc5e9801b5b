from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, settings
from sklearn.datasets import make_classification

# the same examples in every run; --hypothesis-profile=hunt draws new ones, and more of them
shared = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("fixed", derandomize=True, database=None, max_examples=100, **shared)
# for many runs of which most fail: what fails need not be made small
unshrunk = {"phases": [Phase.explicit, Phase.generate], "report_multiple_bugs": False}
settings.register_profile(
    "few", derandomize=True, database=None, max_examples=6, **unshrunk, **shared
)
settings.register_profile("hunt", max_examples=1000, **shared)
settings.load_profile("fixed")


def _problem(n_classes):
    X, y = make_classification(
        3000,
        10,
        n_classes=n_classes,
        n_informative=6,
        weights=[0.9, 0.1] if n_classes == 2 else [0.9, 0.07, 0.03],
        random_state=0,
    )
    return SimpleNamespace(
        X=X[:2000], y=y[:2000], X_valid=X[2000:], y_valid=y[2000:], n_classes=n_classes
    )


@pytest.fixture(params=[2, 3], ids=["binary", "softmax"], scope="session")
def problem(request):
    return _problem(request.param)


@pytest.fixture(scope="session")
def binary():
    return _problem(2)


@pytest.fixture(scope="session", params=[2, 3], ids=["binary", "softmax"])
def rows(request):
    """For several workers: few distinct values, so that an engine's bins are exact.

    Sorted by class, so that most workers hold no positives.
    """
    rng = np.random.default_rng(0)
    X = rng.integers(0, 8, (6000, 6)).astype(np.float32)
    score = X[:, 0] + 0.5 * X[:, 1] + rng.normal(0, 2, 6000)
    y = (score > np.quantile(score, 0.93)).astype(int)
    if request.param == 3:
        y += score > np.quantile(score, 0.98)
    order = np.argsort(-y, kind="stable")
    weight = rng.integers(0, 4, 6000).astype(np.float32)
    return SimpleNamespace(X=X[order], y=y[order], weight=weight, n_classes=request.param)


@pytest.fixture(scope="session")
def claims():
    """Features a to f and kind, a patient for every three rows, a day, and what to find."""
    X, y = make_classification(900, 6, weights=[0.9], flip_y=0.02, random_state=0)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    frame["kind"] = np.where(frame["a"] > 0, "x", "y")
    frame["patient"] = np.arange(900) // 3
    frame["day"] = np.random.default_rng(0).permutation(900)
    return frame.assign(target=np.where(y == 1, "fraud", "fine"))


@pytest.fixture
def few_rows_are_many(monkeypatch):
    """Threads of the kernels share 1,000 rows already."""
    for name in ("jit", "binary", "softmax", "histogram"):
        monkeypatch.setattr(f"boostloss.kernels.{name}.WORTHWHILE", 1000)
    monkeypatch.setattr("boostloss.objectives.MANY_SCORES", 1000)
