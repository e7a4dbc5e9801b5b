"""The blocks of the page "With other tools" run, and do what the page says (`make other-tools`)."""

import re
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.pipeline
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss

from boostloss import FocalLoss, ImbalancedXGBClassifier

PAGE = Path(__file__).parents[2] / "docs" / "other_tools.md"
SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
FENCE = re.compile(r"^```py\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = {
    title: [block[1] for block in FENCE.finditer(text)]
    for title, text in SECTION.findall(PAGE.read_text(encoding="utf-8"))
}
NEEDED = {
    "MLflow": ("mlflow", "skops"),
    "FLAML": ("flaml.automl",),
    "Optuna": ("optuna_integration.xgboost",),
    "imbalanced-learn": ("imblearn",),
    "MAPIE": ("mapie",),
    "AutoGluon": ("autogluon.tabular",),
    "SHAP of the posterior": ("shap",),
    "CatBoost's focal loss": ("catboost",),
}
# foreign packages warn of what their own dependencies deprecate
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def names(monkeypatch, tmp_path):
    """What the page takes as given: rows, a fitted model, and XGBoost's data sets."""
    import xgboost as xgb

    monkeypatch.chdir(tmp_path)
    X, y = make_classification(3000, weights=[0.93], flip_y=0.01, class_sep=1.5, random_state=0)
    train, test, calibration = slice(0, 2000), slice(2000, 2500), slice(2500, None)
    model = ImbalancedXGBClassifier(loss=FocalLoss(2.0), n_estimators=20, n_jobs=1)
    page = types.ModuleType("page")  # whose classes can be pickled
    monkeypatch.setitem(sys.modules, "page", page)
    vars(page).update({
        "X": X[train], "y": y[train], "X_test": X[test], "y_test": y[test],
        "X_calibration": X[calibration], "y_calibration": y[calibration],
        "model": model.fit(X[train], y[train]),
        "dtrain": xgb.DMatrix(X[train], y[train]), "dvalid": xgb.DMatrix(X[test], y[test]),
    })  # fmt: skip
    return vars(page)


def run(section, names, *shorter):
    """Run the section's blocks, in order, and return the names that they leave."""
    for package in NEEDED[section]:
        pytest.importorskip(package, reason=f"{package} is not installed: make other-tools")
    for code in BLOCKS[section]:
        for long, short in shorter:
            code = code.replace(long, short)
        exec(compile(code, f"{PAGE}, {section}", "exec"), names)
    return names


def test_every_section_with_code_is_tested():
    assert {title for title, code in BLOCKS.items() if code} == set(NEEDED)


def test_mlflow(names, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    names["sklearn"] = sklearn
    found = run("MLflow", names)
    served = found["mlflow"].pyfunc.load_model(found["info"].model_uri).predict(names["X_test"])
    np.testing.assert_allclose(served, names["model"].predict_proba(names["X_test"]), rtol=1e-6)
    logged = found["mlflow"].last_active_run().data.params
    assert logged["imbalancedxgbclassifier__loss__gamma"] == "2.0"


def test_flaml(names):
    automl = run("FLAML", names, ("time_budget=60", "time_budget=5"))["automl"]
    assert automl.best_estimator == "focal"
    p = automl.predict_proba(names["X"])[:, 1]
    assert p.mean() == pytest.approx(names["y"].mean(), rel=0.02)


def test_optuna(names):
    run("Optuna", names, ("n_trials=50", "n_trials=3"))
    optuna = names["optuna"]
    study = optuna.create_study(pruner=optuna.pruners.ThresholdPruner(upper=0.0))
    study.optimize(names["objective"], n_trials=1)
    assert study.trials[0].state.name == "PRUNED"


def test_imbalanced_learn(names):
    run("imbalanced-learn", names)
    X, y, X_test, y_test = (names[name] for name in ("X", "y", "X_test", "y_test"))

    def loss(seed, prior):
        sampler = names["RandomUnderSampler"](random_state=seed)
        model = names["make_pipeline"](sampler, ImbalancedXGBClassifier(n_jobs=1, prior=prior))
        return log_loss(y_test, model.fit(X, y).predict_proba(X_test))

    found = [np.mean([loss(seed, prior) for seed in range(5)]) for prior in (None, names["share"])]
    print("log loss without and with prior:", found)
    assert found[1] < 0.7 * found[0]


def test_autogluon(names):
    frame = pd.DataFrame(names["X_test"]).add_prefix("x").assign(target=names["y_test"])
    frame["sign"] = pd.Categorical(np.where(frame["x0"] > 0, "above", "below"))
    names["frame"] = frame
    predictor = run("AutoGluon", names)["predictor"]
    assert {"Focal", "LightGBM"} <= set(predictor.model_names())
    p = predictor.predict_proba(frame, model="Focal")[1]
    assert p.mean() == pytest.approx(frame["target"].mean(), rel=0.2)
    again = type(predictor).load(predictor.path)
    np.testing.assert_array_equal(again.predict_proba(frame, model="Focal")[1], p)


def test_mapie(names):
    found = run("MAPIE", names)
    sets = found["sets"][:, :, 0]
    assert sets[np.arange(500), names["y_test"]].mean() > 0.85


def test_shap_of_the_posterior(names):
    explained = run("SHAP of the posterior", names)["explainer"](names["X"][:5])
    total = explained.values.sum(axis=1) + explained.base_values
    p = names["model"].predict_proba(names["X"][:5])[:, 1]
    np.testing.assert_allclose(total, np.log(p / (1 - p)), rtol=1e-4)


def test_catboost(names):
    loud = "focal_gamma=2.0\")"
    found = run("CatBoost's focal loss", names, (loud, loud[:-1] + ", verbose=0)"))
    link = found["model"].predict_proba(names["X_test"])[:, 1]
    raw = found["model"].predict(names["X_test"], prediction_type="RawFormulaVal")
    posterior = found["fitted"].posterior(raw)
    found = log_loss(names["y_test"], link), log_loss(names["y_test"], posterior)
    print("log loss of the link and the posterior:", found)
    assert found[1] < 0.7 * found[0]
