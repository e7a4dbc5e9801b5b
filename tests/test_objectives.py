"""Objectives: one callable for both engines, which knows its training or finds it on the stack."""

import copy
import pickle
import warnings

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.datasets import make_classification

import boostloss as bl
import boostloss.lightgbm
import boostloss.xgboost
from boostloss import (
    AsymmetricLoss,
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    Recorder,
    metric,
    posterior_log_loss,
)
from boostloss.losses import ALONE, TrainingRun, Workers, named
from boostloss.objectives import (
    Objective,
    TrainingObjective,
    check_sums_needed,
    check_two_classes,
    training_objective,
)

Y, RAW = np.array([0.0, 0, 0, 1]), np.array([-1.0, 0.5, 2.0, -0.5])
LOSSES = [
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2),
    GHMLoss(),
    GHMLoss(density="bins", momentum=0.7),
    AsymmetricLoss(),
]
CASES = [(loss, k) for loss in LOSSES for k in (2, 3) if k == 2 or not loss.binary_only]


@pytest.fixture(scope="module")
def sets():
    """Rows of two and of three classes."""
    return {
        k: make_classification(600, 6, n_informative=4, n_classes=k, weights=share, random_state=0)
        for k, share in ((2, [0.7]), (3, [0.6, 0.3]))
    }


def train(engine, f, X, y, rounds=6, weight=None):
    """Scores of a model that the engine's own train makes with a callable."""
    k = int(max(y)) + 1
    if engine == "xgboost":
        params = {"nthread": 1, "max_depth": 3, "base_score": 0.3}
        params |= {"num_class": k, "base_score": 0.5} if k > 2 else {}
        data = xgb.DMatrix(X, y, weight=weight)
        return xgb.train(params, data, rounds, obj=f).predict(data, output_margin=True)
    params = {"num_threads": 1, "num_leaves": 7, "verbose": -1, "objective": f}
    params |= {"num_class": k} if k > 2 else {}
    return lgb.train(params, lgb.Dataset(X, y, weight=weight), rounds).predict(X, raw_score=True)


# -- one that knows its training, and a bare one --------------------------------------------------


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
@pytest.mark.parametrize(("loss", "n_classes"), CASES, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_both_give_the_same_model(engine, n_classes, loss, weighted, sets):
    X, y = sets[n_classes]
    weight = np.random.default_rng(1).random(len(y)).astype(np.float32) if weighted else None
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # nothing is missed
        bare = train(engine, bl.objective(loss), X, y, weight=weight)
        knowing = train(engine, training_objective(loss, engine), X, y, weight=weight)
    np.testing.assert_array_equal(bare, knowing)
    assert np.ptp(bare) > 0.1


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_a_row_by_row_call_of_both_is_the_loss(engine):
    y, raw = np.array([0, 1, 2, 0]), np.outer(RAW, [1, 2, 3])
    factor = 2.0 if engine == "xgboost" else 1.5
    for loss in (FocalLoss(), GHMLoss(), CrossEntropy(class_weight=[1, 2, 3])):
        want = loss.gradient_hessian(y, raw, factor=factor)
        for a, b in zip(training_objective(loss, engine)(y, raw), want, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == np.float32


def test_each_fold_has_a_run_of_its_own(sets):
    """One object drives all folds of a cv; momentum of one is not seen by the others."""
    X, y = sets[2]
    loss, recorders = GHMLoss(momentum=0.7), (Recorder(), Recorder())
    histories = []
    for make, recorder in zip((bl.objective, lambda loss, recorder: training_objective(
            loss, "xgboost", recorder=recorder)), recorders, strict=True):  # fmt: skip
        histories.append(xgb.cv({"nthread": 1, "max_depth": 3}, xgb.DMatrix(X, y), 5, nfold=3, seed=0,
                                obj=make(loss, recorder=recorder)))  # fmt: skip
    assert histories[0].equals(histories[1])
    for recorder in recorders:
        assert [len(run.rounds) for run in recorder.runs] == [5, 5, 5]
    for one, other in zip(recorders[0].runs, recorders[1].runs, strict=True):
        np.testing.assert_array_equal(one.counts, other.counts)


def test_one_object_for_several_trainings_in_turn(sets):
    X, y = sets[2]
    for make in (lambda loss: training_objective(loss, "xgboost"), bl.objective):
        one = make(GHMLoss(momentum=0.9))
        first = train("xgboost", one, X, y)
        np.testing.assert_array_equal(train("xgboost", one, X, y), first)


def test_labels_of_a_data_set_are_read_once_in_a_training_and_anew_in_the_next(sets):
    X, y = sets[2]
    data, objective, seen = xgb.DMatrix(X, y), bl.focal_obj(), []
    get_label = data.get_label
    data.get_label = lambda: seen.append(1) or get_label()
    params = {"nthread": 1, "base_score": 0.3}
    first = xgb.train(params, data, 4, obj=objective)
    assert len(seen) == 1
    data.set_label(1 - y)
    second = xgb.train(params, data, 4, obj=objective)
    assert len(seen) == 2
    raw = [booster.predict(data, output_margin=True) for booster in (first, second)]
    assert np.corrcoef(*raw)[0, 1] < -0.5


@pytest.mark.parametrize("rows", [900, 1100])
def test_many_scores_are_written_to_the_runs_own_arrays(rows, few_rows_are_many):
    """In a training that boostloss drives, where nobody holds what a round gave."""
    rng = np.random.default_rng(0)
    y, raw = rng.integers(0, 2, rows), rng.normal(size=rows)
    knowing, bare = training_objective(FocalLoss(), "lightgbm"), bl.focal_obj()
    for objective, again in ((knowing, rows > 1000), (bare, False)):
        first, second = objective(y, raw), objective(y, raw / 2)
        for a, b, want in zip(first, second, FocalLoss().gradient_hessian(y, raw / 2), strict=True):
            assert np.shares_memory(a, b) == again
            np.testing.assert_array_equal(b, want)
    if rows > 1000:  # another shape, other arrays
        wide, _ = knowing(y, np.stack([raw, -raw], axis=1))
        assert wide.shape == (rows, 2)


def test_a_bare_objectives_arrays_are_never_written_again(few_rows_are_many):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    data, total, held = xgb.DMatrix(np.zeros((2000, 1)), y), 0.0, []

    class Keeping(Objective):
        def __call__(self, scores, data_set):
            gradient, hessian = super().__call__(scores, data_set)
            nonlocal total
            total = total + gradient
            held.append((gradient, gradient.copy(), hessian, hessian.copy()))
            return gradient, hessian

    xgb.train({"nthread": 1}, data, 4, obj=Keeping(FocalLoss()))
    assert len(held) == 4
    for gradient, gradient_then, hessian, hessian_then in held:
        np.testing.assert_array_equal(gradient, gradient_then)
        np.testing.assert_array_equal(hessian, hessian_then)
    np.testing.assert_array_equal(total, sum(gradient for gradient, *_ in held))


# -- where no training is found --------------------------------------------------------------------


MATTERS = {
    "momentum": (bl.ghm_obj(momentum=0.5), RAW),
    "recorder": (bl.focal_obj(recorder=Recorder()), RAW),
    "softmax on LightGBM": (bl.focal_obj(), np.asfortranarray(np.outer(RAW, [1, 2]))),
}


@pytest.mark.parametrize("name", MATTERS)
def test_a_call_by_nobody_warns_where_it_matters(name):
    objective, raw = MATTERS[name]
    with pytest.warns(
        UserWarning, match=f"no training was found .* which matters for {name}: use"
    ) as seen:
        objective(Y, raw)
    assert seen[0].filename == __file__


def test_a_call_by_nobody_among_several_workers_warns(monkeypatch):
    class Apart(Workers):
        alone = False

    monkeypatch.setattr("boostloss.engine_call.xgboost_workers", Apart)
    with pytest.warns(UserWarning, match="which matters for several workers: use"):
        bl.focal_obj()(Y, RAW)
    monkeypatch.setattr("boostloss.engine_call.xgboost_workers", lambda: ALONE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bl.focal_obj()(Y, RAW)


def test_all_that_matters_is_named():
    objective = bl.ghm_obj(momentum=0.5, recorder=Recorder())
    with pytest.warns(
        UserWarning, match="matters for momentum, recorder, softmax on LightGBM: use"
    ):
        objective(Y, np.asfortranarray(np.outer(RAW, [1, 2])))


@pytest.mark.parametrize(
    ("objective", "raw"),
    [
        (bl.focal_obj(), RAW),
        (bl.ghm_obj(), RAW),
        (bl.balanced_ce_obj(), RAW),
        (bl.objective(AsymmetricLoss()), RAW),
        (bl.focal_obj(), np.outer(RAW, [1, 2])),
        (training_objective(GHMLoss(momentum=0.5), "lightgbm", recorder=Recorder()),
         np.asfortranarray(np.outer(RAW, [1, 2]))),
    ],
    ids=repr,
)  # fmt: skip
def test_no_warning_where_it_does_not_matter(objective, raw):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objective(Y, raw)


def test_a_loop_of_ones_own_warns_once_for_each_data_set():
    """A bare call with a data set: its rounds belong together as long as it lives."""
    y, raw = np.arange(60) % 2, np.linspace(-4, 2, 60)
    objective, loss, run = bl.ghm_obj(momentum=0.5), GHMLoss(momentum=0.5), TrainingRun()
    data = xgb.DMatrix(np.zeros((60, 1)), y)
    with pytest.warns(UserWarning, match="momentum"):
        first = objective(raw, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = objective(raw / 2, data)
    np.testing.assert_array_equal(first, loss.gradient_hessian(y, raw, run=run))
    np.testing.assert_array_equal(second, loss.gradient_hessian(y, raw / 2, run=run))
    assert (second[0] != loss.gradient_hessian(y, raw / 2)[0]).any()


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_an_update_by_hand_is_found(engine, sets):
    X, y = sets[2]
    objective = bl.ghm_obj(momentum=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        if engine == "xgboost":
            data = xgb.DMatrix(X, y)
            booster = xgb.Booster({"nthread": 1}, [data])
            for k in range(3):
                booster.update(data, k, fobj=objective)
        else:
            booster = lgb.Booster({"verbose": -1, "num_threads": 1}, lgb.Dataset(X, y))
            for _ in range(3):
                booster.update(fobj=objective)
    assert [run.engine for run in objective._runs.values()] == [engine]


# -- copies, equality, what is refused ----------------------------------------------------------


def test_copies_remember_nothing_of_a_training(sets):
    X, y = sets[2]
    loss, recorder = GHMLoss(momentum=0.5), Recorder()
    for objective in (bl.objective(loss, recorder=recorder),
                      training_objective(loss, "xgboost", n_threads=3, recorder=recorder)):  # fmt: skip
        train("xgboost", objective, X, y)
        assert copy.deepcopy(objective).recorder is recorder
        assert pickle.loads(pickle.dumps(objective)).recorder is None
        for other in (copy.deepcopy(objective), pickle.loads(pickle.dumps(objective))):
            assert type(other) is type(objective)
            assert other == objective
            assert other.loss is not objective.loss
            assert len(other._runs) == 0
            assert repr(other) == repr(objective) == "objective(GHMLoss(momentum=0.5))"
    again = pickle.loads(pickle.dumps(training_objective(FocalLoss(), "lightgbm", n_threads=3)))
    assert (again.engine, again.n_threads, again.recorder) == ("lightgbm", 3, None)
    assert isinstance(again, TrainingObjective)


def test_parameters_go_to_the_loss():
    assert bl.focal_obj(1.5, 0.25, hessian="exact").loss == FocalLoss(1.5, 0.25, hessian="exact")
    assert bl.balanced_ce_obj().loss == CrossEntropy(class_weight="balanced")
    assert bl.balanced_ce_obj("effective", beta=0.9).loss == CrossEntropy(
        class_weight="effective", beta=0.9
    )
    assert bl.ghm_obj(7, "bins", strength=0.5).loss == GHMLoss(7, "bins", strength=0.5)
    assert bl.focal_obj() != bl.ghm_obj()
    assert bl.focal_obj() != FocalLoss()
    assert bl.focal_obj().__name__ == "focal_objective"


def test_a_single_class_is_refused_unless_the_maker_has_looked():
    for y in (np.zeros(4), np.ones(4)):
        with pytest.raises(
            ValueError, match=f"y must contain at least two classes, got only {y[0]:g}"
        ):
            bl.focal_obj()(y, RAW)
        training_objective(FocalLoss(), "xgboost")(y, RAW)
    with pytest.raises(ValueError, match="two classes"):
        check_two_classes([2, 2])
    check_two_classes([2, 1])


def test_losses_that_need_all_rows_are_refused_where_nothing_sums():
    with pytest.raises(ValueError, match="loss must not be GHM with LightGBM on several machines"):
        check_sums_needed(GHMLoss())
    check_sums_needed(FocalLoss())
    with pytest.raises(TypeError, match="loss must be a boostloss loss"):
        check_sums_needed("focal")
    for wrong in (2.0, None, FocalLoss):
        with pytest.raises(TypeError, match="loss must be a boostloss loss"):
            bl.objective(wrong)
    with pytest.raises(TypeError, match=r"recorder must be a boostloss\.Recorder or None"):
        training_objective(FocalLoss(), "xgboost", recorder=[])


@pytest.mark.parametrize("name", ["cross_entropy", "balanced", "focal", "ghm", "asymmetric"])
def test_a_loss_may_be_given_by_its_name(name):
    """As in the classifiers, wherever a loss is asked for."""
    loss, y, raw = named(name), np.array([0, 1, 1, 0, 0]), np.linspace(-2, 2, 5)
    assert bl.objective(name) == bl.objective(loss)
    assert metric(name)(y, raw) == metric(loss)(y, raw)
    assert posterior_log_loss(name)(y, raw) == posterior_log_loss(loss)(y, raw)
    assert boostloss.xgboost.base_score(name, y) == boostloss.xgboost.base_score(loss, y)
    for function in (bl.objective, metric, posterior_log_loss, lambda loss: boostloss.xgboost.base_score(loss, y)):
        with pytest.raises(ValueError, match="'focal'"):
            function("fokal")
