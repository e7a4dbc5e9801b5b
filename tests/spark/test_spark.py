"""On a real local Spark (``make spark``): equal to one machine."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from local_java import java_version

pytest.importorskip("pyspark", reason="pyspark (400 MB) is installed by make spark")

if java_version() < 17:
    pytest.skip(
        f"Spark needs Java 17 or newer, here is {java_version() or 'none'}", allow_module_level=True
    )
os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
os.environ["OMP_NUM_THREADS"] = "1"

import pandas as pd
import xgboost as xgb
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import StringIndexer, VectorAssembler
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import SparkSession, functions

import boostloss.xgboost
from boostloss import CrossEntropy, FocalLoss, GHMLoss, ImbalancedXGBClassifier
from boostloss.spark import SparkImbalancedXGBClassifier, SparkImbalancedXGBClassifierModel
from boostloss.xgboost import predict_proba, spark_train

LOSSES = [
    CrossEntropy(class_weight="balanced"),
    FocalLoss(2.0, class_weight="effective"),
    GHMLoss(),
    GHMLoss(momentum=0.5),
]
PARAMS = {"max_depth": 3, "eta": 0.3, "tree_method": "hist", "nthread": 1}
NAMES = list("abcd")


@pytest.fixture(scope="module")
def session():
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    for name, value in {
        "sql.shuffle.partitions": 2, "driver.host": "127.0.0.1",
        "sql.execution.arrow.pyspark.enabled": "true",
        # for many small jobs instead of few large ones
        "driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        "sql.codegen.factoryMode": "NO_CODEGEN", "sql.codegen.wholeStage": "false",
        "sql.adaptive.enabled": "false",
    }.items():  # fmt: skip
        builder = builder.config(f"spark.{name}", value)
    made = builder.getOrCreate()
    yield made
    made.stop()


def table(n_classes):
    """Few distinct values, so that XGBoost's bins are exact; some are missing."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(0, 8, (1200, 4)).astype(float), columns=NAMES)
    score = frame["a"] + 0.5 * frame["b"] + rng.normal(0, 2, 1200)
    frame.loc[::9, "c"] = np.nan
    frame["label"] = np.searchsorted(np.quantile(score, [0.9, 0.96][: n_classes - 1]), score)
    frame["weight"] = rng.integers(1, 4, 1200).astype(float)
    frame["held_out"] = rng.random(1200) < 0.25
    return frame.sort_values("label", kind="stable", ignore_index=True)


@pytest.fixture(scope="module", params=[2, 3], ids=["binary", "softmax"])
def data(request, session):
    frame = table(request.param)
    return frame, session.createDataFrame(frame).cache()


def alone(frame, loss, rounds, **keywords):
    learn, held = frame[~frame["held_out"]], frame[frame["held_out"]]
    d = xgb.QuantileDMatrix(learn[NAMES], learn["label"], weight=learn["weight"])
    v = xgb.QuantileDMatrix(held[NAMES], held["label"], weight=held["weight"], ref=d)
    seen = {}
    booster = boostloss.xgboost.train(
        PARAMS, d, rounds, loss=loss, evals=[(d, "training"), (v, "validation")],
        evals_result=seen, verbose_eval=False, **keywords,
    )  # fmt: skip
    raw = booster.predict(xgb.DMatrix(learn[NAMES]), output_margin=True)
    return booster, seen, loss.fit(learn["label"], raw, learn["weight"])


def probabilities(fitted, raw):
    p = fitted.posterior(raw)
    return p if p.ndim == 2 else np.column_stack([1.0 - p, p])


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_train_equals_one_machine(loss, data):
    frame, rows = data
    found = spark_train(
        PARAMS, rows, 8, loss=loss, features=NAMES, weight="weight",
        validation_indicator="held_out", num_workers=2,
    )  # fmt: skip
    booster, seen, fitted = alone(frame, loss, 8)
    d = xgb.DMatrix(frame[NAMES])
    raw = found["booster"].predict(d, output_margin=True)
    np.testing.assert_allclose(raw, booster.predict(d, output_margin=True), rtol=0, atol=2e-5)
    np.testing.assert_allclose(
        found["loss"].posterior(raw), fitted.posterior(raw), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_array_equal(
        predict_proba(found["booster"], frame[NAMES]), probabilities(found["loss"], raw)
    )
    for name, log in seen.items():
        np.testing.assert_allclose(
            found["history"][name]["posterior_log_loss"], log["posterior_log_loss"], rtol=1e-5
        )


def test_a_worker_with_one_class_and_one_without_rows(session):
    frame = table(2)
    rows = session.createDataFrame(frame.iloc[[0, 1, -1, -2]])
    found = spark_train(PARAMS, rows, 2, loss="ghm", features=NAMES, num_workers=2)
    assert found["booster"].num_boosted_rounds() == 2
    only = session.createDataFrame(frame.iloc[[0, -1]]).coalesce(1)
    found = spark_train(PARAMS, only, 2, loss=FocalLoss(), features=NAMES, num_workers=2)
    assert found["booster"].num_boosted_rounds() == 2


def positives_as(rows, label):
    """The label 1 replaced by another."""
    other = functions.when(rows["label"] == 1, functions.lit(label)).otherwise(rows["label"])
    return rows.withColumn("label", other)


def test_a_code_without_rows_is_a_class_without_rows(session):
    frame = table(2)
    rows = positives_as(session.createDataFrame(frame), 2)
    common = {"loss": "focal", "features": NAMES, "num_workers": 2}
    with pytest.raises(ValueError, match=r"unless params\['num_class'\] says .*, got 0, 2$"):
        spark_train(PARAMS, rows, 2, **common)
    three = PARAMS | {"num_class": 3}
    found = spark_train(three, rows, 2, **common)
    d = xgb.QuantileDMatrix(frame[NAMES], 2 * frame["label"])
    alone = boostloss.xgboost.train(three, d, 2, loss="focal")
    got, want = found["booster"].predict(d), alone.predict(d)
    assert want.shape == (len(frame), 3)
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-6)


def test_vectors_early_stopping_and_what_is_refused(session):
    frame = table(2)
    dense = frame.fillna({"c": -1.0})
    vectors = [
        Vectors.sparse(4, {k: float(v) for k, v in enumerate(row) if v})
        for row in dense[NAMES].to_numpy()
    ]
    columns = zip(vectors, frame["label"].tolist(), frame["held_out"].tolist(), strict=True)
    rows = session.createDataFrame(list(columns), ["features", "label", "held_out"])
    common = {"loss": FocalLoss(), "validation_indicator": "held_out", "num_workers": 2}
    found = spark_train(PARAMS, rows, 300, missing=-1.0, early_stopping_rounds=3, **common)
    plain = session.createDataFrame(frame)
    other = spark_train(PARAMS, plain, 300, features=NAMES, early_stopping_rounds=3, **common)
    log = found["history"]["validation"]["posterior_log_loss"]
    assert found["booster"].num_boosted_rounds() == int(np.argmin(log)) + 1 < 300
    d = xgb.DMatrix(frame[NAMES])
    np.testing.assert_allclose(found["booster"].predict(d), other["booster"].predict(d), atol=1e-5)
    for change, error, words in [
        ({"features": "nothing"}, ValueError, "column 'nothing'"),
        ({"features": "weight"}, ValueError, "vectors or arrays"),
        ({"num_workers": 0}, ValueError, "num_workers"),
        ({"loss": "focus"}, ValueError, "loss must be"),
        ({"features": NAMES, "label": "a"}, ValueError, "got twice: a"),
    ]:
        with pytest.raises(error, match=words):
            spark_train(PARAMS, plain, 2, **{"loss": FocalLoss(), "num_workers": 2, **change})
    with pytest.raises(ValueError, match="at least two classes"):
        spark_train(
            PARAMS, plain.filter("label = 0"), 2, features=NAMES, loss="focal", num_workers=2
        )
    for label, words in [
        (-1.0, "y must contain whole numbers from 0 to .*, got -1"),
        (0.5, "y must contain whole numbers from 0 to .*, got 0.5"),
        (np.nan, "y must contain whole numbers from 0 to .*, got NaN"),
        (None, "y must contain whole numbers from 0 to .*, got NaN"),
    ]:
        with pytest.raises(ValueError, match=words):
            spark_train(PARAMS, positives_as(plain, label), 2, features=NAMES, loss="focal")
    for name in ("label", "weight", "a"):
        text = plain.withColumn(name, plain[name].cast("string"))
        with pytest.raises(ValueError, match=f"column '{name}' must contain numbers .* got string"):
            spark_train(PARAMS, text, 2, features=NAMES, weight="weight", loss="focal")
    with pytest.raises(TypeError, match="data must be a Spark data frame"):
        spark_train(PARAMS, frame, 2, loss="focal")


# -- the estimator --------------------------------------------------------------------------


def estimator(loss, **params):
    return SparkImbalancedXGBClassifier(
        loss=loss, features_col=NAMES, label_col="label", max_depth=3, learning_rate=0.3,
        **{"n_estimators": 8, "num_workers": 2, **params},
    )  # fmt: skip


def columns_of(model, rows):
    got = model.transform(rows).select("probability", "prediction", "rawPrediction").toPandas()
    return [np.stack([np.asarray(v) for v in got[name]]) for name in got]


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_estimator_equals_the_classifier(loss, data, tmp_path):
    frame, rows = data
    model = estimator(loss, weight_col="weight", validation_indicator_col="held_out").fit(rows)
    learn = frame[~frame["held_out"]]
    ours = ImbalancedXGBClassifier(
        loss=loss, n_estimators=8, max_depth=3, learning_rate=0.3, n_jobs=1
    ).fit(learn[NAMES], learn["label"], sample_weight=learn["weight"])
    probability, prediction, _ = columns_of(model, rows)
    np.testing.assert_allclose(probability, ours.predict_proba(frame[NAMES]), rtol=1e-4, atol=2e-6)
    np.testing.assert_array_equal(prediction, ours.predict(frame[NAMES]))
    weight = learn["weight"] / learn["weight"].sum()
    shares = weight.groupby(learn["label"]).sum()
    np.testing.assert_allclose(weight @ probability[learn.index], shares, rtol=1e-6)
    carried = predict_proba(model.get_booster(), frame[NAMES])
    np.testing.assert_allclose(carried, probability, rtol=0, atol=1e-9)
    path = str(tmp_path / "model")
    model.write().save(path)
    model.write().overwrite().save(path)
    read = SparkImbalancedXGBClassifierModel.load(path)
    assert read.loss_ == model.loss_
    np.testing.assert_array_equal(columns_of(read, rows)[0], probability)
    np.testing.assert_array_equal(predict_proba(read.get_booster(), frame[NAMES]), carried)


def test_dart_ends_with_the_class_shares(session):
    frame = table(3)
    rows = session.createDataFrame(frame)
    dart = {"booster": "dart", "rate_drop": 0.5}
    share = np.bincount(frame["label"]) / len(frame)
    model = estimator("cross_entropy", **dart).fit(rows)
    np.testing.assert_allclose(columns_of(model, rows)[0].mean(axis=0), share, rtol=1e-6)
    common = {"loss": "cross_entropy", "features": NAMES, "num_workers": 2}
    booster = spark_train({**PARAMS, **dart}, rows, 4, **common)["booster"]
    p = predict_proba(booster, frame[NAMES])
    np.testing.assert_allclose(p.mean(axis=0), share, rtol=1e-6)


def test_pipeline_search_and_files(session, tmp_path):
    frame = table(2)
    frame["name"] = np.where(frame["label"] == 1, "rare", "usual")
    rows = session.createDataFrame(frame.drop(columns="label").fillna(-1.0))
    classifier = SparkImbalancedXGBClassifier(
        loss=FocalLoss(gamma=1.0), features_col="features", label_col="code", n_estimators=4,
        num_workers=2, missing=-1.0,
    )  # fmt: skip
    stages = [
        StringIndexer(inputCol="name", outputCol="code"),
        VectorAssembler(inputCols=NAMES, outputCol="features"),
        classifier,
    ]
    pipeline = Pipeline(stages=stages)
    for thing in (pipeline, classifier):
        thing.write().overwrite().save(str(tmp_path / "thing"))
        read = type(thing).load(str(tmp_path / "thing"))
        again = read.getStages()[-1] if thing is pipeline else read
        assert again.loss == FocalLoss(gamma=1.0)
    model = pipeline.fit(rows)
    model.write().save(str(tmp_path / "model"))
    read = PipelineModel.load(str(tmp_path / "model"))
    want, got = (columns_of(m, rows)[0] for m in (model, read))
    np.testing.assert_array_equal(got, want)
    grid = ParamGridBuilder().addGrid(classifier.max_depth, [1, 4]).build()
    evaluator = BinaryClassificationEvaluator(labelCol="code", metricName="areaUnderPR")
    search = CrossValidator(
        estimator=pipeline, estimatorParamMaps=grid, evaluator=evaluator, numFolds=2, seed=0
    )
    found = search.fit(rows)
    assert len(set(found.avgMetrics)) == 2
    assert found.bestModel.stages[-1].loss_.loss == FocalLoss(1.0, class_weight=[1.0, 1.0])


def test_estimator_refuses(session):
    rows = session.createDataFrame(table(2))
    with pytest.raises(ValueError, match="loss must be"):
        estimator("focus").fit(rows)
    with pytest.raises(ValueError, match="rawPredictionCol must be a column's name"):
        estimator("focal", raw_prediction_col="").fit(rows)
    codes = "label must contain codes 0 to K-1 of at least two classes, each with rows"
    for label, shown in {
        2: "0, 2", np.nan: "nan", np.inf: "inf", 1e9: "1000000000.0", -1.0: "-1.0", 0.5: "0.5",
        None: "None", 0: "0",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=rf"{codes} .*, got {shown}$"):
            estimator("focal").fit(positives_as(rows, label))
    with pytest.raises(ValueError, match=rf"{codes} .*, got 1, 2$"):
        estimator("focal").fit(rows.withColumn("label", rows["label"] + 1))
    with pytest.raises(ValueError, match=rf"{codes} .* got '0', '1'$"):
        estimator("focal").fit(rows.withColumn("label", rows["label"].cast("string")))


def test_estimator_refuses_classes_that_no_training_row_has(session):
    rows = session.createDataFrame(table(3))
    held_out = rows.withColumn("held_out", rows["label"] == 2)
    validated = estimator("focal", validation_indicator_col="held_out")
    with pytest.raises(ValueError, match="of the training rows, 0, 1, if held_out is true, got 2"):
        validated.fit(held_out)
    unknown = functions.when(rows["label"] == 2, None).otherwise(rows["held_out"])
    with pytest.raises(ValueError, match="held_out must be true or false in each row, got null"):
        validated.fit(rows.withColumn("held_out", unknown))


@pytest.mark.parametrize("method", ["_get_xgb_parameters", "_pyspark_model_cls"])
def test_an_xgboost_whose_private_methods_have_other_names(method, session, monkeypatch):
    """It would train without the loss, or give a model without its posterior."""
    rows, classifier = session.createDataFrame(table(2)), estimator("focal", n_estimators=1)
    before = set(vars(classifier))
    monkeypatch.delattr(SparkImbalancedXGBClassifier, method)
    with pytest.raises(NotImplementedError, match=r"XGBoost .* use boostloss\.xgboost"):
        classifier.fit(rows)
    assert set(vars(classifier)) == before


DECISIONS = {
    "costs": [[0.0, 1.0], [7.0, 0.0]],
    "costs by code": {0: {1: 1.0}, 1: {0: 7.0}},
    "a threshold": 0.2,
    "balanced": "balanced",
    "raw": "raw",
}


@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "ghm"])
def test_prior_and_decision_as_the_classifier_has_them(loss, session, tmp_path):
    frame = table(2)
    rows = session.createDataFrame(frame)
    params = {"loss": loss, "prior": 0.02}
    model = estimator(**params, decision=0.3).fit(rows)
    ours = ImbalancedXGBClassifier(
        **params, n_estimators=8, max_depth=3, learning_rate=0.3, n_jobs=1
    ).fit(frame[NAMES], frame["label"])
    np.testing.assert_allclose(model.class_share_, ours.class_share_)
    carried = predict_proba(model.get_booster(), frame[NAMES])
    np.testing.assert_allclose(carried, columns_of(model, rows)[0], rtol=0, atol=1e-9)
    assert carried[:, 1].mean() < frame["label"].mean() / 2
    for prior in (0.02, {0: 0.6, 1: 0.4}, None):
        model.prior = prior
        ours.set_params(prior=prior)
        for decision in DECISIONS.values():
            model.decision = decision
            ours.set_params(decision=decision)
            probability, prediction, _ = columns_of(model, rows)
            want = ours.predict_proba(frame[NAMES])
            np.testing.assert_allclose(probability, want, rtol=1e-4, atol=2e-6)
            np.testing.assert_array_equal(prediction, ours.predict(frame[NAMES]))
    model.prior, model.decision = 0.02, DECISIONS["costs"]
    probability, prediction, _ = columns_of(model, rows)
    model.write().save(str(tmp_path / "model"))
    read = SparkImbalancedXGBClassifierModel.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(columns_of(read, rows)[0], probability)
    np.testing.assert_array_equal(columns_of(read, rows)[1], prediction)
    with pytest.raises(ValueError, match="prior must be"):
        model.prior = 2.0
    with pytest.raises(ValueError, match="decision must be"):
        model.decision = "best"


def test_prior_and_decision_of_the_estimator(session, tmp_path):
    frame = table(2)
    rows = session.createDataFrame(frame)
    for decision in DECISIONS.values():
        for prior in (None, 0.1, {0: 0.5, 1: 0.5}):
            made = estimator("focal", prior=prior, decision=decision, n_estimators=1)
            made.write().overwrite().save(str(tmp_path / "estimator"))
            read = SparkImbalancedXGBClassifier.load(str(tmp_path / "estimator"))
            assert read.prior == prior
            kept = DECISIONS["costs"] if isinstance(decision, dict) else decision
            assert read.decision == kept
    for change, words in [({"prior": 1.5}, "prior must be"), ({"decision": 3}, "decision must be")]:
        with pytest.raises(ValueError, match=words):
            estimator("focal", **change).fit(rows)
    held = {"loss": "cross_entropy", "validation_indicator_col": "held_out", "n_estimators": 200}
    found = {}
    for prior in (None, 0.6):
        model = estimator(**held, prior=prior, early_stopping_rounds=3).fit(rows)
        alone = ImbalancedXGBClassifier(
            n_estimators=200, max_depth=3, learning_rate=0.3, n_jobs=1, prior=prior,
            early_stopping_rounds=3,
        )  # fmt: skip
        learn, other = frame[~frame["held_out"]], frame[frame["held_out"]]
        alone.fit(learn[NAMES], learn["label"], eval_set=[(other[NAMES], other["label"])],
                  verbose=False)  # fmt: skip
        found[prior] = model.get_booster().best_iteration
        assert found[prior] == alone.best_iteration
    assert len(set(found.values())) == 2


def test_threads_fit_one_estimator_to_different_rows(session):
    frames = [table(2), table(2).assign(label=lambda f: (f["d"] > 6).astype(int))]
    tables = [session.createDataFrame(frame) for frame in frames]
    shared = estimator("ghm", n_estimators=3, num_workers=1)
    want = [columns_of(shared.fit(rows), rows)[0] for rows in tables]
    with ThreadPoolExecutor(2) as pool:
        models = list(pool.map(shared.fit, tables * 2))
    for model, rows, probability in zip(models, tables * 2, want * 2, strict=True):
        np.testing.assert_array_equal(columns_of(model, rows)[0], probability)
