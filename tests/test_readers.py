"""What other readers of a saved model say: the table in docs/serve.md, one by one."""

import ctypes
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from scipy.special import expit, softmax
from test_carried import rows

from boostloss import ImbalancedLGBMClassifier, ImbalancedXGBClassifier

SHORT = {"n_estimators": 30, "learning_rate": 0.3, "n_jobs": 1}
LOSSES = ["cross_entropy", "balanced", "focal", "ghm"]
NAMES = np.array(["usual", "a rare one", "rare"])  # not in the order of the alphabet


def of_xgboost(**params):
    return ImbalancedXGBClassifier(**SHORT, **params)


def of_lightgbm(**params):
    return ImbalancedLGBMClassifier(verbose=-1, **SHORT, **params)


def two_columns(p):
    p = np.asarray(p, dtype=np.float64)
    return p if p.ndim == 2 else np.column_stack([1.0 - p, p])


def treelite(path, X, engine):
    """Compiles a model for other languages; ``gtil`` is its own interpreter."""
    reader = pytest.importorskip("treelite", reason="needs the group 'test'")
    load = reader.frontend.load_xgboost_model if engine == "xgboost" else reader.frontend.load_lightgbm_model
    model = load(path)
    p = reader.gtil.predict(model, X.astype(np.float32 if engine == "xgboost" else np.float64))
    p = p.reshape(len(X), -1)
    return two_columns(p[:, 0] if p.shape[1] == 1 else p)


def xgboost_in_c(path, X, engine):
    """The functions that XGBoost offers to C, called as a C program would."""
    library, rows_, model = xgb.core._LIB, ctypes.c_void_p(), ctypes.c_void_p()
    values = np.ascontiguousarray(X, dtype=np.float32)

    def call(status):
        assert status == 0, library.XGBGetLastError()

    pointer = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    n_rows, n_columns = map(ctypes.c_uint64, X.shape)
    call(library.XGDMatrixCreateFromMat(pointer, n_rows, n_columns, ctypes.c_float(np.nan), ctypes.byref(rows_)))
    call(library.XGBoosterCreate(None, 0, ctypes.byref(model)))
    call(library.XGBoosterLoadModel(model, str(path).encode()))
    length, out = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()
    call(library.XGBoosterPredict(model, rows_, 0, 0, 0, ctypes.byref(length), ctypes.byref(out)))
    p = np.ctypeslib.as_array(out, (length.value,)).copy().reshape(len(X), -1)
    call(library.XGBoosterFree(model))
    call(library.XGDMatrixFree(rows_))
    return two_columns(p[:, 0] if p.shape[1] == 1 else p)


def lightgbm_in_c(path, X, engine):
    """The functions that LightGBM offers to C."""
    library, model, rounds = lgb.basic._LIB, ctypes.c_void_p(), ctypes.c_int()
    values = np.ascontiguousarray(X, dtype=np.float64)
    out, length = np.empty(len(X) * 3), ctypes.c_int64()

    def call(status):
        assert status == 0, library.LGBM_GetLastError()

    file = ctypes.c_char_p(str(path).encode())
    call(library.LGBM_BoosterCreateFromModelfile(file, ctypes.byref(rounds), ctypes.byref(model)))
    call(library.LGBM_BoosterPredictForMat(
        model, values.ctypes.data_as(ctypes.c_void_p), ctypes.c_int(1), ctypes.c_int32(X.shape[0]),
        ctypes.c_int32(X.shape[1]), ctypes.c_int(1), ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(-1),
        ctypes.c_char_p(b""), ctypes.byref(length), out.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
    ))  # fmt: skip
    call(library.LGBM_BoosterFree(model))
    p = out[: length.value].reshape(len(X), -1)
    return two_columns(p[:, 0] if p.shape[1] == 1 else p)


READERS = {
    "treelite, XGBoost": (treelite, of_xgboost, "xgboost"),
    "treelite, LightGBM": (treelite, of_lightgbm, "lightgbm"),
    "XGBoost from C": (xgboost_in_c, of_xgboost, "xgboost"),
    "LightGBM from C": (lightgbm_in_c, of_lightgbm, "lightgbm"),
}


def link(raw):
    return two_columns(expit(raw)) if raw.ndim == 1 else softmax(raw, axis=1)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reader", READERS)
def test_the_default_file_gives_the_link(reader, loss, n_classes, tmp_path):
    """Columns are in the order of ``classes_``; all rounds of a saved model count."""
    read, make, engine = READERS[reader]
    X, y = rows(n_classes)
    model, path = make(loss=loss).fit(X, NAMES[y]), tmp_path / "model.json"
    model.save_model(path)
    np.testing.assert_allclose(read(path, X, engine), link(model.raw_score(X)), atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("reader", READERS)
def test_the_calibrated_file_gives_the_probabilities(reader, n_classes, tmp_path):
    read, make, engine = READERS[reader]
    X, y = rows(n_classes)
    model, path = make(loss="balanced").fit(X, NAMES[y]), tmp_path / "model.json"
    model.save_model(path, calibrated=True)
    np.testing.assert_allclose(read(path, X, engine), model.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_code_that_m2cgen_writes_of_lightgbm(loss, n_classes):
    m2cgen = pytest.importorskip("m2cgen", reason="needs the group 'test'")
    X, y = rows(n_classes)
    model = of_lightgbm(loss=loss).fit(X, NAMES[y])
    written: dict = {}
    exec(m2cgen.export_to_python(model.engine_model()), written)
    p = np.array([written["score"](row) for row in X[:50].tolist()])
    np.testing.assert_allclose(two_columns(p), link(model.raw_score(X[:50])), atol=1e-6)


def test_early_stopping_and_the_other_readers(tmp_path):
    """LightGBM's file ends with the best round; XGBoost's holds all of them, and says which it is."""
    X, y = rows(2)
    train, stop = slice(0, len(y) // 2), slice(len(y) // 2, None)
    stopped = of_lightgbm(loss="balanced", early_stopping_round=3).set_params(n_estimators=300)
    stopped.fit(X[train], y[train], eval_set=[(X[stop], y[stop])])
    stopped.save_model(tmp_path / "model.txt", calibrated=True)
    assert stopped.best_iteration_ < 300
    for read in (treelite, lightgbm_in_c):
        p = read(tmp_path / "model.txt", X, "lightgbm")
        np.testing.assert_allclose(p, stopped.predict_proba(X), atol=1e-6, err_msg=read.__name__)
    stopped = of_xgboost(loss="balanced", early_stopping_rounds=3).set_params(n_estimators=300)
    stopped.fit(X[train], y[train], eval_set=[(X[stop], y[stop])], verbose=False)
    stopped.save_model(tmp_path / "model.json", calibrated=True)
    rounds = stopped.get_booster().num_boosted_rounds()
    assert stopped.best_iteration + 1 < rounds
    every_round = stopped.predict_proba(X, iteration_range=(0, rounds))
    for read in (treelite, xgboost_in_c):
        p = read(Path(tmp_path / "model.json"), X, "xgboost")
        np.testing.assert_allclose(p, every_round, atol=1e-6, err_msg=read.__name__)
