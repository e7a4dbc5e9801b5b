"""Every parameter of XGBoost does under a callable what it does under the built-in objective."""

import json

import numpy as np
import pytest
import xgboost as xgb

import boostloss.xgboost as bx
from boostloss import CrossEntropy, FocalLoss, ImbalancedXGBClassifier, Recorder
from boostloss.xgboost.parameters import NAMES, with_defaults

QUIET = {"nthread": 1, "max_depth": 3}
DART = {"booster": "dart", "rate_drop": 0.5}
HALF = {"subsample": 0.5}
LINEAR = {"booster": "gblinear", "updater": "coord_descent"}

TRIED = {
    "alpha": (3,), "base_score": (0.5,), "booster": ("gblinear",), "colsample_bylevel": (0.5,),
    "colsample_bynode": (0.5,), "colsample_bytree": (0.5,), "default_direction": ("left", {"tree_method": "exact"}),
    "disable_default_eval_metric": (1,), "eta": (0.1,), "feature_selector": ("greedy", LINEAR),
    "gamma": (3,), "grow_policy": ("lossguide",), "interaction_constraints": ("[[0,1],[2,3]]",),
    "lambda": (10,), "learning_rate": (0.1,), "max_bin": (8,), "max_cat_threshold": (2,),
    "max_cat_to_onehot": (1,), "max_delta_step": (0.05,), "max_depth": (2,),
    "max_leaves": (3, {"grow_policy": "lossguide"}), "min_child_weight": (10,), "min_split_loss": (3,),
    "monotone_constraints": ("(-1,0,0,0,0)",), "multi_strategy": ("multi_output_tree",),
    "normalize_type": ("forest", DART), "num_parallel_tree": (3, HALF), "one_drop": (1, DART),
    "opt_dense_col": (0.5, {"tree_method": "exact"}), "rate_drop": (0.5, {"booster": "dart"}),
    "reg_alpha": (3,), "reg_lambda": (10,), "refresh_leaf": (0,), "sample_type": ("weighted", DART),
    "sampling_method": ("gradient_based", HALF), "scale_pos_weight": (7,), "seed": (7, HALF),
    "random_state": (7, HALF), "seed_per_iteration": (1, HALF), "skip_drop": (0.5, DART),
    "sketch_ratio": (0.5, {"tree_method": "approx"}), "sparse_threshold": (0.9,), "subsample": (0.5,), "tolerance": (0.5, {"booster": "gblinear"}),
    "top_k": (1, {**LINEAR, "feature_selector": "greedy"}), "tree_method": ("exact",),
    "updater": ("grow_colmaker",), "boost_from_average": (0,), "num_target": (2,),
}  # fmt: skip
"""A value of each parameter that differs from its default, and parameters without which it is idle."""

NOT_OF_TRAINING = {
    "device", "fail_on_invalid_gpu_id", "n_jobs", "nthread", "validate_parameters", "debug_synchronize",
    "max_cached_hist_node", "max_row_perbatch", "process_type", "cache_opt", "extmem_single_page",
}  # fmt: skip
"""Of devices, threads, checks and memory; and process_type, which trains nothing new."""

OF_THE_MODEL = {
    "name", "num_class", "num_feature", "num_trees", "objective", "rng_state", "specified_updater", "updater_seq",
}  # fmt: skip
"""Notes of XGBoost on its model, and the problem's name."""

REFUSED = ("boost_from_average", "num_target")


@pytest.fixture(scope="module", params=[2, 3])
def rows(request):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5))
    score = X[:, 0] + rng.normal(0, 0.7, 400)
    return X, np.digitize(score, [1.0] if request.param == 2 else [0.3, 1.2])


def leaves(config):
    for name, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value)
        elif isinstance(value, list):
            for one in value:
                yield from leaves(one) if isinstance(one, dict) else ()
        else:
            yield name


def engine_parameters():
    """Names by XGBoost's own configuration, of all its boosters and updaters."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    data, found = xgb.DMatrix(X, X[:, 0] > 0), set()
    for params in (
        {}, {"booster": "dart"}, {"booster": "gblinear"}, LINEAR, {"tree_method": "exact"},
        {"tree_method": "approx"}, {"objective": "multi:softprob", "num_class": 2},
    ):  # fmt: skip
        booster = xgb.train({"objective": "binary:logistic", "nthread": 1, **params}, data, 1)
        found |= set(leaves(json.loads(booster.save_config())))
    return found


WRONG_START = tuple(int(part) for part in xgb.__version__.split(".")[:2]) < (3, 2)
"""Before 3.2 XGBoost's softmax started from the classes' shares where their logarithms belong."""


def raw(params, rows, callable_):
    X, y = rows
    data = xgb.DMatrix(X, y)
    trees = params.get("booster") != "gblinear"  # a linear model has biases of its own
    if WRONG_START and not callable_ and y.max() == 2 and trees and "base_score" not in params:
        data.set_base_margin(np.tile(CrossEntropy().init_score(y, n_classes=3), (len(y), 1)))
    if callable_:  # a recorder needs the callable
        booster = bx.train({**QUIET, **params}, data, 4, loss=CrossEntropy(), recorder=Recorder())
    else:
        several = {"objective": "multi:softprob", "num_class": 3}
        objective = {"objective": "binary:logistic"} if y.max() == 1 else several
        booster = xgb.train({**QUIET, **params, **objective}, data, 4)
    scores = booster.predict(data, output_margin=True)
    return scores - scores.mean(axis=1, keepdims=True) if scores.ndim == 2 else scores


def test_each_parameter_of_xgboost_has_its_place():
    assert engine_parameters() <= {*TRIED, *NOT_OF_TRAINING, *OF_THE_MODEL}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(TRIED))
def test_acts_as_under_the_built_in_objective_or_is_refused(name, rows):
    value, *beside = TRIED[name]
    params = {**(beside[0] if beside else {}), name: value}
    if name in REFUSED or (name == "scale_pos_weight" and rows[1].max() == 2):
        with pytest.raises(ValueError, match=name):
            raw(params, rows, callable_=True)
        return
    if name == "scale_pos_weight":
        params["base_score"] = 0.5  # XGBoost's own start is one step, not the minimum
    try:
        wanted = raw(params, rows, False)
    except xgb.core.XGBoostError:  # not on this machine, or not in this version
        with pytest.raises(xgb.core.XGBoostError):
            raw(params, rows, True)
        return
    np.testing.assert_allclose(raw(params, rows, True), wanted, atol=1e-4)


def test_alike_by_every_door(rows):
    X, y = rows
    data, loss = xgb.DMatrix(X, y), FocalLoss(2)
    for name, value in (("scale_pos_weight", 7), ("boost_from_average", 0), ("num_target", 2)):
        params = {**QUIET, name: value}
        model = ImbalancedXGBClassifier(loss=loss, n_estimators=4, max_depth=3, n_jobs=1, **{name: value})
        doors = (
            lambda params=params: bx.train(params, data, 4, loss=loss).predict(data, output_margin=True),
            lambda params=params: bx.cv(params, data, 2, loss=loss, nfold=2, as_pandas=False),
            lambda model=model: model.fit(X, y).raw_score(X),
        )
        if name != "scale_pos_weight" or y.max() == 2:
            for door in doors:
                with pytest.raises(ValueError, match=name):
                    door()
            continue
        heavier = FocalLoss(2, class_weight=7.0)
        wanted = bx.train(QUIET, data, 4, loss=heavier).predict(data, output_margin=True)
        np.testing.assert_allclose(doors[0](), wanted, rtol=1e-6)
        np.testing.assert_allclose(doors[2](), wanted, rtol=1e-6)
        assert doors[1]() == bx.cv(QUIET, data, 2, loss=heavier, nfold=2, as_pandas=False)


def test_second_names_are_those_of_xgboost():
    """Setting a parameter by one name changes what the configuration says under the other."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    data = xgb.DMatrix(X, X[:, 0] > 0)
    for first, second in NAMES.values():
        for name in (first, second):
            said = dict(pairs(xgb.train({name: 2}, data, 1)))
            assert said[first] == said[second] == "2"
    assert with_defaults({"eta": 0.1, "seed": 0}, {"learning_rate": 0.3}) == {"seed": 0, "learning_rate": 0.3}


def pairs(booster):
    def walk(config):
        for name, value in config.items():
            if isinstance(value, dict):
                yield from walk(value)
            elif isinstance(value, str):
                yield name, value

    return walk(json.loads(booster.save_config())["learner"])


def test_class_weight_belongs_to_the_loss(rows):
    with pytest.raises(ValueError, match="pass it to the loss"):
        bx.train({"class_weight": "balanced"}, xgb.DMatrix(*rows), 2, loss=FocalLoss())
