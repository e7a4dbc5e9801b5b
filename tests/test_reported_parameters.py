"""Reports on parameters and metrics from public trackers, each in its smallest form."""

import re

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.metrics import log_loss

import boostloss.lightgbm as bg
import boostloss.xgboost as bx
from boostloss import CrossEntropy, FocalLoss, Recorder
from boostloss import classifier as shared
from boostloss.hist import ImbalancedHistGradientBoostingClassifier
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.lightgbm.parameters import ENGINE_NAMES as lightgbm_names
from boostloss.xgboost import ImbalancedXGBClassifier
from boostloss.xgboost.parameters import ENGINE_NAMES as xgboost_names

RNG = np.random.default_rng(0)
X = RNG.normal(size=(900, 4))
Y = (X[:, 0] + RNG.normal(0, 0.7, 900) > 1.3).astype(int)
TRAIN, STOP = slice(0, 600), slice(600, 900)
QUIET = {"verbose": -1, "num_threads": 1, "num_leaves": 7}
RATIO = float((Y[TRAIN] == 0).sum() / (Y[TRAIN] == 1).sum())


def classifier(**params):
    model = ImbalancedLGBMClassifier(n_estimators=8, num_leaves=7, n_jobs=1, verbose=-1, **params)
    return model.fit(X[TRAIN], Y[TRAIN])


def curves(rounds=8, **keywords):
    """What ``boostloss.lightgbm.train`` records of the rows to stop by."""
    seen = {}
    train = lgb.Dataset(X[TRAIN], Y[TRAIN], params=QUIET)
    valid = lgb.Dataset(X[STOP], Y[STOP], reference=train, params=QUIET)
    keywords["callbacks"] = [lgb.record_evaluation(seen), *keywords.get("callbacks", [])]
    params = {**QUIET, **keywords.pop("params", {})}
    booster = bg.train(params, train, rounds, valid_sets=[valid], **keywords)
    return booster, seen["valid_0"]


def test_scale_pos_weight_with_a_custom_objective():
    """XGBoost 3007: it has no effect there."""
    data = xgb.DMatrix(X, Y)
    heavy = bx.train({"nthread": 1, "scale_pos_weight": 9}, data, 5, loss=FocalLoss(2))
    same = bx.train({"nthread": 1}, data, 5, loss=FocalLoss(2, class_weight=9.0))
    plain = bx.train({"nthread": 1}, data, 5, loss=FocalLoss(2))
    raw = [one.predict(data, output_margin=True) for one in (heavy, same, plain)]
    np.testing.assert_allclose(raw[0], raw[1], rtol=1e-6)
    assert (raw[0] - raw[2]).mean() > 0.1


def test_is_unbalance_in_the_constructor():
    """LightGBM 6359: probabilities are no longer those of the population."""
    balanced = classifier(loss="cross_entropy", is_unbalance=True)
    assert balanced.raw_score(X[TRAIN]).mean() > classifier().decision_function(X[TRAIN]).mean() + 1
    assert balanced.predict_proba(X[TRAIN])[:, 1].mean() == pytest.approx(Y[TRAIN].mean(), rel=1e-6)


def test_three_ways_to_weigh_the_classes():
    """LightGBM 6807: class weights, is_unbalance and scale_pos_weight give three models."""
    ways = (
        {"loss": FocalLoss(2, class_weight=[1.0, RATIO])},
        {"loss": FocalLoss(2), "class_weight": {0: 1.0, 1: RATIO}},
        {"loss": FocalLoss(2), "scale_pos_weight": RATIO},
        {"loss": FocalLoss(2), "is_unbalance": True},
    )
    raw = [classifier(**way).raw_score(X) for way in ways]
    for other in raw[1:]:
        np.testing.assert_allclose(other, raw[0], atol=1e-9)


def test_log_loss_under_is_unbalance_is_that_of_the_rows():
    """LightGBM 3687: the training rows' is weighted, the other rows' is not."""
    params = {"is_unbalance": True, "metric": "binary_logloss"}
    booster, seen = curves(loss=CrossEntropy(), params=params)
    raw = booster.predict(X[STOP], raw_score=True)
    posterior = 1.0 / (1.0 + np.exp(np.log(RATIO) - raw))
    assert seen["binary_logloss"][-1] == pytest.approx(log_loss(Y[STOP], posterior), rel=1e-9)


def test_a_metric_of_ones_own_is_the_only_one():
    """LightGBM 1371: the default metric stops the training beside ``feval``."""
    rounds = iter(range(100))

    def best_in_the_fourth(raw, data):
        return "own", float(-abs(next(rounds) - 3)), True

    stop = lgb.early_stopping(2, verbose=False)
    booster, seen = curves(50, loss="focal", feval=best_in_the_fourth, callbacks=[stop])
    assert set(seen) == {"own"}
    assert booster.best_iteration == 4


@pytest.mark.parametrize("names", [["auc", "binary_logloss"], ["binary_logloss", "auc"]])
def test_the_first_metric_is_the_one_named_first(names):
    """LightGBM 6223: ``first_metric_only`` goes by another one."""
    params = {"metric": names, "first_metric_only": True, "early_stopping_round": 3}
    booster, seen = curves(60, loss="focal", params=params)
    assert list(seen) == names
    best = np.argmax if names[0] == "auc" else np.argmin
    assert booster.best_iteration == best(seen[names[0]]) + 1


@pytest.mark.parametrize("loss", [CrossEntropy(), FocalLoss(0)], ids=repr)
def test_log_loss_under_a_callable_is_the_built_in_one(loss):
    """LightGBM 3312: it is another number, since intercept and link are missing."""
    _, seen = curves(loss=loss, recorder=Recorder(), params={"metric": "binary_logloss"})
    own, train = {}, lgb.Dataset(X[TRAIN], Y[TRAIN], params=QUIET)
    valid = lgb.Dataset(X[STOP], Y[STOP], reference=train, params=QUIET)
    params = {**QUIET, "objective": "binary", "metric": "binary_logloss"}
    lgb.train(params, train, 8, valid_sets=[valid], callbacks=[lgb.record_evaluation(own)])
    wanted = own["valid_0"]["binary_logloss"]
    np.testing.assert_allclose(seen["binary_logloss"], wanted, rtol=1e-6)


ENGINES = [ImbalancedXGBClassifier, ImbalancedLGBMClassifier]


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(
    "name",
    ["los", "losss", "probabilty", "probabilities", "decison", "descision", "decisions",
     "desicion", "priors", "prio"],
)  # fmt: skip
def test_a_parameter_of_ours_with_a_typing_error(kind, name):
    with pytest.raises(ValueError, match=f"{name} is not a parameter: write .*=0.1"):
        kind(**{name: 0.1}).fit(X, Y)


def test_parameters_of_a_loss_among_the_engines():
    for kind, names in {
        ImbalancedLGBMClassifier: {"gamma": 5, "alpha": 0.25, "beta": 0.99},
        ImbalancedXGBClassifier: {"class_weight": "balanced", "beta": 0.99},
    }.items():
        for name, value in names.items():
            with pytest.raises(ValueError, match=rf"{name} must be passed to the loss, as in Focal"):
                kind(loss="focal", **{name: value}).fit(X, Y)
    with pytest.raises(ValueError, match="gamma must be passed to the loss"):
        bg.train({"gamma": 2}, lgb.Dataset(X, Y), 2, loss="focal")
    assert ImbalancedXGBClassifier(loss="focal", gamma=1, alpha=0.5, n_estimators=1).fit(X, Y)


def test_a_nested_parameter_in_a_constructor():
    with pytest.raises(ValueError, match="loss__gamma is for set_params: pass the loss with its"):
        ImbalancedXGBClassifier(loss=FocalLoss(), loss__gamma=5).fit(X, Y)
    with pytest.raises(ValueError, match="loss__gamma is for set_params"):
        bx.train({"loss__gamma": 5}, xgb.DMatrix(X, Y), 1, loss="focal")


def xgboost_parameters():
    config = xgb.train({}, xgb.DMatrix(X, Y), 1).save_config()
    return {*re.findall(r'"(\w+)":', config), *ImbalancedXGBClassifier().get_params()}


def lightgbm_parameters():
    aliases = lgb.basic._ConfigAliases._get_all_param_aliases()
    every = {name for known, others in aliases.items() for name in (known, *others)}
    return every.union(ImbalancedLGBMClassifier().get_params())


@pytest.mark.parametrize(
    ("parameters", "own"),
    [(xgboost_parameters, xgboost_names), (lightgbm_parameters, lightgbm_names)],
)
def test_no_parameter_of_an_engine_is_taken_for_a_typing_error(parameters, own):
    known = parameters().difference(shared.LOSS_PARAMETERS)
    assert len(known) > 70
    shared.check_misplaced(dict.fromkeys(known, 1), CrossEntropy(), own)


class Slow(CrossEntropy):
    """A loss of a user, whose parameter has the name of an engine's."""

    def __init__(self, learning_rate=1.0, class_weight=None, beta=0.999):
        super().__init__(class_weight=class_weight, beta=beta)
        self.learning_rate = learning_rate


@pytest.mark.parametrize("kind", [*ENGINES, ImbalancedHistGradientBoostingClassifier])
def test_a_loss_may_have_a_parameter_of_an_engine(kind):
    rounds = "max_iter" if kind is ImbalancedHistGradientBoostingClassifier else "n_estimators"
    plain, own = (
        kind(loss=loss, learning_rate=0.3, **{rounds: 3}).fit(X, Y)
        for loss in ("cross_entropy", Slow())
    )
    np.testing.assert_allclose(own.raw_score(X), plain.raw_score(X), rtol=0, atol=2e-6)


TRAINERS = {
    "xgboost.train": lambda params: bx.train(params, xgb.DMatrix(X, Y), 2, loss="focal"),
    "xgboost.cv": lambda params: bx.cv(params, xgb.DMatrix(X, Y), 2, loss="focal"),
    "lightgbm.train": lambda params: bg.train(params, lgb.Dataset(X, Y), 2, loss="focal"),
    "lightgbm.cv": lambda params: bg.cv(params, lgb.Dataset(X, Y), 2, loss="focal"),
}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_parameters_of_a_classifier_in_training(trainer):
    for name, value in {"decision": 0.2, "prior": 0.1, "probability": "link"}.items():
        with pytest.raises(ValueError, match=f"params must not contain '{name}', a parameter of"):
            TRAINERS[trainer]({name: value})
    with pytest.raises(ValueError, match=r"'objective'|'loss', which is an argument of its own"):
        TRAINERS[trainer]({"loss": "ghm"})
    with pytest.raises(ValueError, match=r"decisions is not a parameter: write decision=0\.2"):
        TRAINERS[trainer]({"decisions": 0.2})
