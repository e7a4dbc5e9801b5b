"""The recorder against counts made by hand, on both engines; memory bounded, nothing leaks."""

import copy
import pickle

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from scipy.special import expit, softmax
from sklearn.datasets import make_classification

import boostloss.lightgbm
import boostloss.xgboost
from boostloss import (
    CrossEntropy,
    FocalLoss,
    GHMLoss,
    ImbalancedLGBMClassifier,
    ImbalancedXGBClassifier,
    Recorder,
    focal_obj,
)
from boostloss.losses import TrainingRun


@pytest.fixture(scope="module")
def data():
    return make_classification(1500, 8, weights=[0.9], flip_y=0.05, random_state=0)


def train(engine, X, y, rounds, loss, recorder, **params):
    if engine == "xgboost":
        d = xgb.DMatrix(X, y)
        return boostloss.xgboost.train(params, d, rounds, loss=loss, recorder=recorder)
    params = {"verbose": -1, **params}
    return boostloss.lightgbm.train(params, lgb.Dataset(X, y), rounds, loss=loss, recorder=recorder)


def raw_after(engine, booster, X, rounds):
    if engine == "xgboost":
        span = (0, rounds) if rounds else (0, 0)
        return booster.predict(xgb.DMatrix(X), output_margin=True, iteration_range=span)
    return booster.predict(X, raw_score=True, num_iteration=rounds)


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_counts_weights_and_crossings_are_those_of_the_models_own_scores(engine, n_classes):
    X, y = make_classification(
        900, 8, n_informative=5, n_classes=n_classes, flip_y=0.1, random_state=1
    )
    loss, recorder = FocalLoss(gamma=2), Recorder(bins=20)
    booster = train(engine, X, y, 5, loss, recorder)
    run = recorder.run
    assert run.rounds.tolist() == [0, 1, 2, 3, 4]
    was_hard = None
    for k in range(1, 5):
        raw = raw_after(engine, booster, X, k)
        p = (
            np.where(y == 1, expit(raw), expit(-raw))
            if raw.ndim == 1
            else softmax(raw, axis=1)[np.arange(len(y)), y]
        )
        norms = 1.0 - p
        for c in range(n_classes):
            counted = np.histogram(norms[y == c], run.edges)[0]
            # a norm on a border may fall to the other side in float32
            assert np.abs(np.cumsum(counted) - np.cumsum(run.counts[k, c])).max() <= 2
            full = run.counts[k, c] > 0
            centre = run.edges[:-1] + 0.025
            given = run.weights[k, c]
            assert np.isnan(given[~full]).all()
            u = -np.log1p(-centre)
            exact = centre**2 + 2 * (1 - centre) * centre * u
            np.testing.assert_allclose(given[full], exact[full], rtol=0.25, atol=0.01)
        hard = norms > 0.5
        if was_hard is not None:
            for c in range(n_classes):
                share = (hard & ~was_hard)[y == c].mean()
                assert run.hardened[k, c] == pytest.approx(share, abs=2 / (y == c).sum())
                share = (~hard & was_hard)[y == c].mean()
                assert run.eased[k, c] == pytest.approx(share, abs=2 / (y == c).sum())
        was_hard = hard
    assert run.flips[0] == 0.0


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("loss", [CrossEntropy(), GHMLoss()])
def test_recording_changes_no_model(engine, loss, data):
    X, y = data
    plain, seen = (train(engine, X, y, 8, loss, r) for r in (None, Recorder()))
    raw, recorded = raw_after(engine, plain, X, 8), raw_after(engine, seen, X, 8)
    if isinstance(loss, CrossEntropy):  # without a recorder the engine's own objective trains
        np.testing.assert_allclose(raw, recorded, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(raw, recorded)


@pytest.mark.parametrize("model", [ImbalancedXGBClassifier, ImbalancedLGBMClassifier])
def test_classifiers_record(model, data):
    recorder = Recorder()
    quiet = {"verbose": -1} if model is ImbalancedLGBMClassifier else {}
    model(n_estimators=7, **quiet).fit(*data, recorder=recorder)
    assert len(recorder.runs) == 1
    assert recorder.run.counts.sum(axis=(1, 2)).tolist() == [1500] * 7


def test_each_fold_is_a_run(data):
    X, y = data
    recorder = Recorder()
    keywords = {"loss": FocalLoss(), "recorder": recorder, "nfold": 3}
    boostloss.xgboost.cv({}, xgb.DMatrix(X, y), 4, **keywords)
    assert [len(run.rounds) for run in recorder.runs] == [4, 4, 4]
    boostloss.lightgbm.cv({"verbose": -1}, lgb.Dataset(X, y), 4, **keywords)
    assert [len(run.rounds) for run in recorder.runs] == [4] * 6


def test_long_runs_are_thinned_and_lose_no_crossing():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200).astype(float)
    scores = rng.normal(size=(45, 200))
    whole, thinned = Recorder(bins=5), Recorder(bins=5, max_rounds=6)
    for recorder in (whole, thinned):
        recording = None
        for raw in scores:
            recording = recorder.record(recording, TrainingRun(y=y), raw, expit(raw) - y)
    assert thinned.run.rounds.tolist() == [0, 8, 16, 24, 32, 40]
    np.testing.assert_array_equal(thinned.run.counts, whole.run.counts[::8])
    between = [whole.run.hardened[max(k - 7, 0) : k + 1].mean(axis=0) for k in range(0, 45, 8)]
    np.testing.assert_allclose(thinned.run.hardened, between)


def test_copies_share_the_recorder_and_a_pickle_leaves_it_behind():
    objective = focal_obj(recorder=Recorder())
    assert copy.deepcopy(objective).recorder is objective.recorder
    assert pickle.loads(pickle.dumps(objective)).recorder is None


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="bins must be"):
        Recorder(bins=0)
    with pytest.raises(ValueError, match="hard must be"):
        Recorder(hard=1.0)
    with pytest.raises(ValueError, match="max_rounds must be"):
        Recorder(max_rounds=1)
    with pytest.raises(TypeError, match="recorder must be"):
        focal_obj(recorder=[])
    with pytest.raises(ValueError, match="no run"):
        _ = Recorder().run


def test_records_do_not_depend_on_threads():
    rng = np.random.default_rng(0)
    y = (rng.random(600_000) < 0.05).astype(np.float32)
    recorders, recordings = [Recorder(), Recorder()], [None, None]
    for _ in range(2):
        raw = rng.normal(-2, 2, len(y)).astype(np.float32)
        gradient, _ = FocalLoss(2).gradient_hessian(y, raw)
        for k in (0, 1):
            run = TrainingRun(y=y, n_threads=k + 1)
            recordings[k] = recorders[k].record(recordings[k], run, raw, gradient)
    one, two = (recorder.run for recorder in recorders)
    np.testing.assert_array_equal(one.counts, two.counts)
    np.testing.assert_array_equal(one.weights, two.weights)
    np.testing.assert_array_equal(one.flips, two.flips)
    assert one.counts.sum() == 2 * len(y)


@pytest.mark.parametrize("order", ["binary", "C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_round_is_recorded_as_counted_by_hand(order, dtype):
    """Norm 1 belongs to the last bin, whatever class and memory order."""
    rng = np.random.default_rng(0)
    n_classes = 2 if order == "binary" else 3
    y = rng.integers(0, n_classes, 500)
    raw = rng.normal(0, 3, 500 if order == "binary" else (500, 3)).astype(dtype)
    raw[0] = -200 * (2 * y[0] - 1) if order == "binary" else -200.0 * (np.arange(3) == y[0])
    raw = np.asarray(raw, order="F" if order == "F" else "C")
    gradient, _ = FocalLoss(1).gradient_hessian(y, raw)
    before = raw.copy(), gradient.copy()
    recorder = Recorder(bins=4)
    recorder.record(None, TrainingRun(y=y.astype(np.float32)), raw, gradient)
    for array, copied in zip((raw, gradient), before, strict=True):
        np.testing.assert_array_equal(array, copied)
    p = (
        expit(np.where(y == 1, raw, -raw))
        if order == "binary"
        else softmax(raw, axis=1)[np.arange(500), y]
    )
    slopes = np.abs(gradient if order == "binary" else gradient[np.arange(500), y])
    norms = 1 - p.astype(float)
    assert norms.max() == 1
    for c in range(n_classes):
        rows = y == c
        counts, edges = np.histogram(norms[rows], recorder.run.edges)
        np.testing.assert_array_equal(recorder.run.counts[0, c], counts)
        bin_of = np.clip(np.digitize(norms, edges) - 1, 0, 3)
        for k in range(4):
            here = rows & (bin_of == k)
            want = slopes[here].sum(dtype=float) / norms[here].sum()
            assert recorder.run.weights[0, c, k] == pytest.approx(want, rel=1e-4)
