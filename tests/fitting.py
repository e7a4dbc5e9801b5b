"""Fitting either engine's classifier, ours or the engine's own, in one way."""

import inspect

import lightgbm as lgb
import pytest
import xgboost as xgb

EVAL_X = "eval_X" in inspect.signature(lgb.LGBMClassifier.fit).parameters
OLD_WAY = pytest.mark.filterwarnings("ignore:The argument 'eval_set' is deprecated")
"""For LightGBM's own class, called in the way of its old versions too."""


def fit_with_stopping(model, X, y, X_valid, y_valid, rounds=5, **keywords):
    if isinstance(model, xgb.XGBClassifier):
        model.set_params(early_stopping_rounds=rounds)
        return model.fit(X, y, eval_set=[(X_valid, y_valid)], verbose=False, **keywords)
    keywords["callbacks"] = [lgb.early_stopping(rounds, verbose=False)]
    # before 4.7 there is no eval_X; from 4.7 on eval_set is deprecated
    encoded = EVAL_X and type(model) is not lgb.LGBMClassifier
    sets = {"eval_X": X_valid, "eval_y": y_valid} if encoded else {"eval_set": [(X_valid, y_valid)]}
    return model.fit(X, y, **sets, **keywords)


def best_iteration(model):
    return model.best_iteration if hasattr(model, "best_iteration") else model.best_iteration_


def sets(problem):
    return problem.X, problem.y, problem.X_valid, problem.y_valid


def best_round(model):
    last = best_iteration(model)
    return last if isinstance(model, xgb.XGBClassifier) else last - 1
