"""Test objectives and metrics with engines that are too old for the classifiers.

``make old-engines`` runs this with XGBoost 2.1 and LightGBM 4.0. It stops at the first difference.
"""

import lightgbm as lgb
import numpy as np
import xgboost as xgb

import boostloss as bl
from boostloss.optional import OLDEST

TOLERANCE = 1e-6
ENGINES = {"xgboost": xgb, "lightgbm": lgb}


def numbers(version):
    return tuple(int(part) for part in version.split(".")[:2])


def problem(n_classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    score = X[:, 0] + rng.normal(0, 0.7, 600)
    return X, np.digitize(score, [0.8] if n_classes == 2 else [0.3, 1.2])


def check_xgboost(X, y, n_classes):
    """Check that focal loss with γ=0 equals the built-in objective, and that all callables train."""
    several = {"objective": "multi:softprob", "num_class": n_classes}
    params = {"base_score": 0.5, "nthread": 1, "max_depth": 3}
    params |= {"objective": "binary:logistic"} if n_classes == 2 else several
    data = xgb.DMatrix(X, y)
    native = xgb.train(params, data, 10).predict(data)
    for objective in objectives():
        metric = bl.posterior_log_loss(objective.loss)
        seen = {}
        keywords = {"obj": objective, "custom_metric": metric, "verbose_eval": False}
        booster = xgb.train(
            params, data, 10, evals=[(data, "train")], evals_result=seen, **keywords
        )
        assert len(seen["train"]["posterior_log_loss"]) == 10
        if objective.loss == bl.FocalLoss(gamma=0):
            np.testing.assert_allclose(booster.predict(data), native, atol=TOLERANCE)
        history = xgb.cv(
            params, data, 3, nfold=3, obj=objective, custom_metric=metric, as_pandas=False
        )
        assert len(history["test-posterior_log_loss-mean"]) == 3
        xgb.XGBClassifier(objective=objective, n_estimators=3, n_jobs=1).fit(X, y).predict_proba(X)


def check_lightgbm(X, y, n_classes):
    """Do the checks of :func:`check_xgboost`."""
    params = {"verbose": -1, "num_threads": 1, "boost_from_average": False}
    params |= {} if n_classes == 2 else {"num_class": n_classes}
    name = "binary" if n_classes == 2 else "multiclass"
    native = lgb.train({**params, "objective": name}, lgb.Dataset(X, y), 10)
    for objective in objectives():
        metric = bl.posterior_log_loss(objective.loss)
        seen = {}
        booster = lgb.train(
            {**params, "objective": objective}, lgb.Dataset(X, y), 10, feval=metric,
            valid_sets=[lgb.Dataset(X, y)], callbacks=[lgb.record_evaluation(seen)],
        )  # fmt: skip
        assert len(seen["valid_0"]["posterior_log_loss"]) == 10
        if objective.loss == bl.FocalLoss(gamma=0):
            raw = native.predict(X, raw_score=True)
            np.testing.assert_allclose(booster.predict(X), raw, atol=TOLERANCE)
        data = lgb.Dataset(X, y)
        history = lgb.cv({**params, "objective": objective}, data, 3, nfold=3, feval=metric)
        assert history
        settings = {"n_estimators": 3, "n_jobs": 1, "verbose": -1}
        lgb.LGBMClassifier(objective=objective, **settings).fit(X, y).predict(X)


def objectives():
    return [bl.focal_obj(gamma=0), bl.focal_obj(gamma=2), bl.balanced_ce_obj(), bl.ghm_obj()]


def check_refused(name):
    """Check that importing a module that needs a newer engine raises an error with both versions."""
    try:
        __import__(f"boostloss.{name}")
        said = "nothing"
    except ImportError as error:
        said = str(error)
    versions = ENGINES[name].__version__, OLDEST[name]
    if not all(version in said for version in versions):
        raise SystemExit(f"boostloss.{name} must name {versions} and not be imported, said {said}")


def main():
    for name, engine in ENGINES.items():
        if numbers(engine.__version__) >= numbers(OLDEST[name]):
            raise SystemExit(f"{name} {engine.__version__} is not older than {OLDEST[name]}")
        check_refused(name)
    for n_classes in (2, 3):
        X, y = problem(n_classes)
        check_xgboost(X, y, n_classes)
        check_lightgbm(X, y, n_classes)
    found = ", ".join(f"{name} {engine.__version__}" for name, engine in ENGINES.items())
    print(f"objectives and metrics work with {found}")


if __name__ == "__main__":
    main()
