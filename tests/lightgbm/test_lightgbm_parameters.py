"""Every parameter of LightGBM does under a callable what it does under the built-in objective."""

import lightgbm as lgb
import numpy as np
import pytest

import boostloss.lightgbm as bl
from boostloss import CrossEntropy, FocalLoss, ImbalancedLGBMClassifier, Recorder
from boostloss.lightgbm.parameters import NAMES, with_defaults

QUIET = {"verbose": -1, "num_threads": 1, "num_leaves": 7}
BAGGED = {"bagging_freq": 1, "bagging_fraction": 0.5}
DART = {"boosting": "dart", "drop_rate": 0.5}
QUANTISED = {"use_quantized_grad": True}
MONOTONE = {"monotone_constraints": "-1,0,0,0,0"}
CATEGORY = {"categorical_feature": "4"}

TRIED = {
    "alpha": (0.5,), "auc_mu_weights": ("0,1,2,1,0,3,2,1,0",), "bagging_by_query": (True,),
    "bagging_fraction": (0.5, {"bagging_freq": 1}), "bagging_freq": (1, {"bagging_fraction": 0.5}),
    "bagging_seed": (9, BAGGED), "bin_construct_sample_cnt": (100,), "boost_from_average": (False,),
    "cat_l2": (100, CATEGORY), "cat_smooth": (100, CATEGORY), "categorical_feature": ("4",),
    "cegb_penalty_feature_coupled": ("9,1,1,1,1",), "cegb_penalty_feature_lazy": ("1,1,1,1,1",),
    "cegb_penalty_split": (0.01,), "cegb_tradeoff": (0.5,), "data_random_seed": (3,),
    "data_sample_strategy": ("goss",), "deterministic": (True,), "enable_bundle": (False,),
    "extra_seed": (1, {"extra_trees": True}), "extra_trees": (True,), "fair_c": (2,),
    "feature_contri": ("0.1,1,1,1,1",), "feature_fraction_bynode": (0.5,),
    "feature_pre_filter": (False,), "force_col_wise": (True,), "force_row_wise": (True,),
    "histogram_pool_size": (10,), "interaction_constraints": ("[0,1],[2,3]",),
    "is_enable_sparse": (False,), "is_unbalance": (True,), "label_gain": ("0,1,3",),
    "lambda_l1": (3,), "lambda_l2": (10,), "lambdarank_norm": (False,),
    "lambdarank_position_bias_regularization": (1.0,), "lambdarank_truncation_level": (5,),
    "learning_rate": (0.3,), "linear_lambda": (1,), "max_bin": (15,),
    "max_bin_by_feature": ("5,5,5,5,5",), "max_cat_threshold": (2, CATEGORY),
    "max_cat_to_onehot": (1, CATEGORY), "max_delta_step": (0.05,), "max_depth": (2,),
    "min_data_in_bin": (50,), "min_data_in_leaf": (100,), "min_data_per_group": (300, CATEGORY),
    "min_gain_to_split": (5,), "min_sum_hessian_in_leaf": (10,), "monotone_constraints": ("-1,0,0,0,0",),
    "monotone_constraints_method": ("advanced", MONOTONE), "monotone_penalty": (2, MONOTONE),
    "multi_error_top_k": (2,), "num_grad_quant_bins": (8, QUANTISED), "num_leaves": (4,),
    "objective_seed": (9,), "other_rate": (0.3, {"data_sample_strategy": "goss"}),
    "path_smooth": (20,), "poisson_max_delta_step": (0.1,),
    "quant_train_renew_leaf": (True, QUANTISED), "refit_decay_rate": (0.1,), "reg_sqrt": (True,),
    "saved_feature_importance_type": (1,), "scale_pos_weight": (7,), "seed": (7,), "sigmoid": (2.0,),
    "stochastic_rounding": (False, QUANTISED), "top_k": (1,),
    "top_rate": (0.4, {"data_sample_strategy": "goss"}), "tree_learner": ("feature",),
    "tweedie_variance_power": (1.2,), "use_missing": (False,), "use_quantized_grad": (True,),
    "zero_as_missing": (True,), "boosting": ("rf", BAGGED), "linear_tree": (True,),
    "pos_bagging_fraction": (0.3, {"bagging_freq": 1}), "neg_bagging_fraction": (0.3, {"bagging_freq": 1}),
}  # fmt: skip
"""A value of each parameter that differs from its default, and parameters without which it is idle."""

OTHER_DRAWS = {"feature_fraction", "feature_fraction_seed"}
"""Work, with other random numbers than under the built-in objective: LightGBM draws once more."""

OTHER_START = {"drop_rate", "drop_seed", "max_drop", "skip_drop", "uniform_drop", "xgboost_dart_mode"}
"""Of DART: under a callable the intercept is no part of the tree that may be dropped."""

NOT_OF_TRAINING = {
    # of the task, the log and files
    "config", "convert_model", "convert_model_language", "data", "forcedbins_filename",
    "forcedsplits_filename", "group_column", "header", "ignore_column", "input_model",
    "label_column", "metric_freq", "num_iteration_predict", "output_model", "output_result",
    "parser_config_file", "precise_float_parser", "pre_partition", "predict_contrib",
    "predict_disable_shape_check", "predict_leaf_index", "predict_raw_score", "save_binary",
    "snapshot_freq", "start_iteration_predict", "task", "two_round", "valid", "verbosity",
    "weight_column", "is_provide_training_metric",
    # of prediction
    "pred_early_stop", "pred_early_stop_freq", "pred_early_stop_margin",
    # of devices and networks
    "device_type", "gpu_device_id", "gpu_device_id_list", "gpu_platform_id", "gpu_use_dp",
    "local_listen_port", "machine_list_filename", "machines", "num_gpu", "num_machines",
    "num_threads", "time_out",
}  # fmt: skip

ELSEWHERE = {
    "objective", "num_class", "num_iterations", "metric", "early_stopping_round",
    "early_stopping_min_delta", "first_metric_only", "eval_at",
}  # fmt: skip
"""What names the problem, the rounds and the metrics: other tests."""

CHANGED_BY_SCALE = {"scale_pos_weight": 7.0, "is_unbalance": None}
"""LightGBM leaves them out of its start; with boost_from_average=False both are the same."""


REFUSED = ("boosting", "linear_tree", "sigmoid", "pos_bagging_fraction", "neg_bagging_fraction")


@pytest.fixture(scope="module", params=[2, 3])
def rows(request):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 5))
    X[:, 4] = rng.integers(0, 6, 400)
    score = X[:, 0] + rng.normal(0, 0.7, 400)
    return X, np.digitize(score, [1.0] if request.param == 2 else [0.3, 1.2])


def engine_parameters():
    """Names by LightGBM's own list, each with its aliases."""
    return {name: {name, *others} for name, others in lgb.basic._ConfigAliases._get_all_param_aliases().items()}


def raw(params, rows, callable_):
    X, y = rows
    data = lgb.Dataset(X, y, params={**QUIET, **params})
    if callable_:  # a recorder needs the callable
        booster = bl.train({**QUIET, **params}, data, 4, loss=CrossEntropy(), recorder=Recorder())
    else:
        objective = {"objective": "binary"} if y.max() == 1 else {"objective": "multiclass", "num_class": 3}
        booster = lgb.train({**QUIET, **params, **objective}, data, 4)
    return booster.predict(X, raw_score=True)


def test_each_parameter_of_lightgbm_has_its_place():
    known = {*TRIED, *OTHER_DRAWS, *OTHER_START, *NOT_OF_TRAINING, *ELSEWHERE}
    assert set(engine_parameters()) <= known


def test_aliases_are_those_of_lightgbm():
    theirs = engine_parameters()
    for name, ours in NAMES.items():
        assert set(ours) == theirs[name], name


@pytest.mark.parametrize("name", sorted(TRIED))
def test_acts_as_under_the_built_in_objective_or_is_refused(name, rows):
    value, *beside = TRIED[name]
    params = {**(beside[0] if beside else {}), name: value}
    if name == "auc_mu_weights" and rows[1].max() == 1:
        params[name] = "1"
    if name in CHANGED_BY_SCALE:
        if rows[1].max() == 2:
            pytest.skip("LightGBM ignores it with several classes: see below")
        params["boost_from_average"] = False
    if name in REFUSED:
        with pytest.raises(ValueError, match=name):
            raw(params, rows, callable_=True)
        return
    found = raw(params, rows, callable_=True)
    np.testing.assert_allclose(found, raw(params, rows, callable_=False), atol=1e-4)


@pytest.mark.parametrize("name", sorted(OTHER_DRAWS))
def test_works_with_other_draws(name, rows):
    value = {"feature_fraction": 0.5, "feature_fraction_seed": 9}[name]
    beside = {} if name == "feature_fraction" else {"feature_fraction": 0.5}
    assert (raw({**beside, name: value}, rows, True) != raw(beside, rows, True)).any()


DISABLED = {
    "scale_pos_weight": 7, "is_unbalance": True, "boost_from_average": False, "sigmoid": 2.0,
    "pos_bagging_fraction": 0.5, "neg_bagging_fraction": 0.5, "linear_tree": True, "boosting": "rf",
}  # fmt: skip
ALIASED = [(name, alias) for name in DISABLED for alias in NAMES[name]]


@pytest.mark.parametrize(("name", "alias"), ALIASED)
def test_what_a_callable_disables_alike_by_every_door(name, alias, rows):
    """The same effect, or the same refusal, by train, cv and the classifier, by any alias."""
    X, y = rows
    params = {"bagging_freq": 1, "bagging_fraction": 0.7, alias: DISABLED[name]}
    data = lgb.Dataset(X, y, params=QUIET, free_raw_data=False)
    loss = FocalLoss(2)
    model = ImbalancedLGBMClassifier(loss=loss, n_estimators=4, **{**QUIET, **params})
    doors = (
        lambda: bl.train({**QUIET, **params}, data, 4, loss=loss).predict(X, raw_score=True),
        lambda: bl.cv({**QUIET, **params}, data, 2, loss=loss, nfold=2)["valid posterior_log_loss-mean"],
        lambda: model.fit(X, y).raw_score(X),
    )
    refused = name in ("sigmoid", "pos_bagging_fraction", "neg_bagging_fraction", "linear_tree", "boosting")
    refused |= name == "scale_pos_weight" and y.max() == 2
    if refused:
        for door in doors:
            with pytest.raises(ValueError, match=name):
                door()
        return
    plain = {**QUIET, "bagging_freq": 1, "bagging_fraction": 0.7}
    without = bl.train(plain, data, 4, loss=loss).predict(X, raw_score=True)
    trained = doors[0]()
    assert np.abs(trained - without).max() > 0.1
    np.testing.assert_allclose(trained, doors[2](), atol=1e-9)
    assert doors[1]() != bl.cv(plain, data, 2, loss=loss, nfold=2)["valid posterior_log_loss-mean"]


def test_class_weights_of_lightgbm_multiply_those_of_the_loss(rows):
    X, y = rows
    counts = np.bincount(y)
    given = np.arange(1.0, len(counts) + 1)
    for params, factor in (
        ({"is_unbalance": True}, counts.max() / counts),
        *([({"scale_pos_weight": "7"}, [1.0, 7.0])] if len(counts) == 2 else []),
    ):
        loss = FocalLoss(2, class_weight=given.tolist())
        product = FocalLoss(2, class_weight=(given * factor).tolist())
        found = bl.train({**QUIET, **params}, lgb.Dataset(X, y), 4, loss=loss)
        wanted = bl.train(QUIET, lgb.Dataset(X, y), 4, loss=product)
        np.testing.assert_allclose(found.predict(X), wanted.predict(X), rtol=1e-9)


def test_messages_say_what_to_use():
    X = np.random.default_rng(0).normal(size=(60, 2))
    data = lgb.Dataset(X, (X[:, 0] > 1).astype(int))
    for params, message in (
        ({"pos_bagging": 0.5}, "use bagging_fraction, or CrossEntropy with class_weight"),
        ({"class_weight": "balanced"}, "pass it to the loss"),
        ({"scale_pos_weight": 3, "is_unbalance": True}, "left out with is_unbalance"),
        ({"scale_pos_weight": -1}, "scale_pos_weight"),
    ):
        with pytest.raises(ValueError, match=message):
            bl.train({**QUIET, **params}, data, 2, loss=FocalLoss())


def test_what_lightgbm_refuses_leaves_the_data_set_alone():
    """LightGBM leaves a pointer to nothing in a data set that it cannot construct."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    for params in ({"auc_mu_weights": "0,1,2"}, {"max_bin": -1}):
        data = lgb.Dataset(X, (X[:, 0] > 1).astype(int))
        with pytest.raises(lgb.basic.LightGBMError, match=next(iter(params))):
            bl.train({**QUIET, **params}, data, 2, loss=FocalLoss())


def test_defaults_give_way_to_any_name():
    assert with_defaults({"learning_rate": 0.1, "seed": 0}, {"eta": 0.3}) == {"seed": 0, "eta": 0.3}
