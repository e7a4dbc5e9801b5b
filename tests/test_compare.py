"""The comparison of losses: figures by hand, the command's files, and every bad input."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from scipy.stats import ttest_rel
from sklearn.datasets import make_classification

from boostloss import CrossEntropy, FocalLoss, compare
from boostloss.__main__ import main
from boostloss.report import compare as module
from boostloss.report import table


@pytest.fixture(scope="module")
def frame():
    X, y = make_classification(900, 6, weights=[0.9], flip_y=0.02, random_state=0)
    frame = pd.DataFrame(X, columns=list("abcdef"))
    frame["kind"] = np.where(frame["a"] > 0, "x", "y")
    frame["patient"] = np.arange(900) // 3
    frame["day"] = np.random.default_rng(0).permutation(900)
    return frame.assign(target=np.where(y == 1, "fraud", "fine"))


@pytest.fixture
def csv(frame, tmp_path):
    path = tmp_path / "data.csv"
    frame.to_csv(path, index=False)
    return path


SHORT = {"rounds": 40, "folds": 3, "progress": False, "learning_rate": 0.1}


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_cross_entropy_through_us_is_the_built_in(engine, frame):
    X, y = frame[list("abcdef")], frame["target"]
    found = compare(X, y, losses={"ours": CrossEntropy(), "focal": "focal"}, engine=engine, **SHORT)
    assert list(found.index) == ["built-in", "ours", "focal"]
    for figure in ("average_precision", "roc_auc", "log_loss", "brier", "f1"):
        assert found.loc["ours", figure] == pytest.approx(found.loc["built-in", figure], abs=2e-3)
        assert found.loc["built-in", f"{figure}_difference"] == 0.0
    assert found["average_precision"].min() > 0.5
    assert found["log_loss"].max() < 0.3
    assert found.attrs["sentences"][0] == "Positive class: fraud."
    assert len(found.attrs["sentences"]) == 4


def test_the_same_call_twice_gives_the_same(frame):
    X, y = frame[list("abcdef")], frame["target"]
    one, two = (compare(X, y, losses=["ghm"], **SHORT) for _ in range(2))
    timed = [name for name in one.columns if name.startswith("seconds")]
    pd.testing.assert_frame_equal(one.drop(columns=timed), two.drop(columns=timed))


def test_three_classes_and_arrays():
    X, y = make_classification(
        900, 8, n_informative=5, n_classes=3, weights=[0.8, 0.15], random_state=1
    )
    found = compare(X, y, losses=[FocalLoss(1)], engine="lightgbm", metric="log_loss", **SHORT)
    assert found["log_loss"].max() < 0.7
    assert list(found.index) == ["built-in", "FocalLoss(gamma=1)"]


def done(metric="average_precision", **folds):
    names = ["built-in" if name == "built_in" else name for name in folds]
    labels, losses = np.array(["a", "b", "c"]), dict.fromkeys(names)
    result = module.Comparison(metric, "xgboost", labels, losses, np.empty(0), 1 / 3)
    for name, values in folds.items():
        rows = [dict.fromkeys(module.FIGURES, 0.1) | {metric: v, "rounds": 10.0} for v in values]
        result.folds["built-in" if name == "built_in" else name] = rows
    return result


def test_differences_are_paired_and_the_interval_is_wider_than_the_t_tests():
    found = done(built_in=[0.5, 0.6, 0.7, 0.4], a=[0.52, 0.63, 0.71, 0.43])
    difference, half = found.difference("a", "average_precision")
    assert difference == pytest.approx(0.0225)
    plain = ttest_rel([0.52, 0.63, 0.71, 0.43], [0.5, 0.6, 0.7, 0.4]).confidence_interval(0.95)
    ratio = np.sqrt((1 / 4 + 1 / 3) / (1 / 4))  # Nadeau and Bengio's correction
    assert half == pytest.approx((plain.high - plain.low) / 2 * ratio)


def test_words():
    better = done(built_in=[0.5, 0.6, 0.7], good=[0.6, 0.7, 0.8], bad=[0.3, 0.4, 0.5])
    assert better.best == "good"
    said = better.sentences()
    assert said[0].startswith("good improves average precision by 0.1000 ± 0.0000")
    assert said[1].startswith("bad makes average precision worse by 0.2000")
    assert said[2] == "Best by average precision: good."
    same = done(built_in=[0.5, 0.6, 0.7], other=[0.6, 0.6, 0.6])
    assert same.best == "built-in"
    assert "No loss is surely better" in same.sentences()[-1]
    smaller = done("log_loss", built_in=[0.5, 0.6, 0.7], good=[0.4, 0.5, 0.6])
    assert smaller.best == "good"
    assert "improves log loss" in smaller.sentences()[0]


def test_time_order_counts_its_smaller_training_sets(frame):
    X, y = frame[list("abcdef")], frame["target"]
    found = module.run(X, y, losses=["focal"], time_order=True, **SHORT)
    # three tests of a quarter, after one, two and three quarters
    assert found.test_over_train == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert module.run(X, y, losses=["focal"], **SHORT).test_over_train == pytest.approx(1 / 2)


def test_folds_keep_groups_apart_and_time_in_order(frame):
    rows = module.Rows(frame, (frame["target"] == "fraud").astype(int).to_numpy(), None, 2)
    patients = frame["patient"].to_numpy()
    for learn, stop, test in module._splits(rows, 4, patients, False, 0):
        sets = [set(patients[part]) for part in (learn, stop, test)]
        assert sets[0].isdisjoint(sets[1] | sets[2])
        assert sets[1].isdisjoint(sets[2])
    for learn, stop, test in module._splits(rows, 4, None, True, 0):
        assert learn.max() < stop.min() <= stop.max() < test.min()


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
@pytest.mark.parametrize("losses", [["built-in"], ["focal"]])
def test_the_command_writes_what_loads_alone(engine, losses, csv, tmp_path, monkeypatch, capsys):
    # whichever is best, its model and its snippet must work
    monkeypatch.setattr(module.Comparison, "best", property(lambda self: losses[0]))
    output = tmp_path / "deep" / "out"
    options = ["--target", "target", "--drop", "patient", "day", "--engine", engine, "--folds", "2",
               "--rounds", "20", "--losses", *losses, "--output", str(output)]  # fmt: skip
    assert main(["compare", str(csv), *options]) == 0
    suffix = "json" if engine == "xgboost" else "txt"
    names = {"report.html", "table.csv", f"model.{suffix}", "model_loss.json", "use_model.py"}
    assert {path.name for path in output.iterdir()} == names
    page = (output / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page.replace("<!DOCTYPE html>", "")  # nothing is fetched
    assert "built-in" in pd.read_csv(output / "table.csv")["loss"].tolist()
    assert "report.html" in capsys.readouterr().out
    use = (output / "use_model.py").read_text()
    lines = [
        "import pandas as pd",
        f"X = pd.read_csv({str(csv)!r})",
        use,
        "assert probability.shape == (900,) and 0.05 < probability.mean() < 0.2, probability",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, cwd=output)
    if engine == "xgboost":
        xgb.Booster(model_file=output / "model.json")


def test_parquet_groups_and_time(frame, tmp_path):
    path = tmp_path / "data.parquet"
    frame.to_parquet(path)
    for option, other in (("--groups", "patient"), ("--time-order", "day")):
        output = tmp_path / other
        arguments = ["compare", str(path), "--target", "target", option, other, "--folds", "2",
                     "--rounds", "10", "--losses", "ghm", "--output", str(output)]  # fmt: skip
        assert main(arguments) == 0
        assert (output / "report.html").exists()


def bad(frame, change):
    return change(frame.copy())


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (None, ["--target", "target"], "no such file"),
        (lambda f: f, ["--target", "label"], "--target must be a column"),
        (lambda f: f, ["--target", "target", "--groups", "g"], "--groups must be a column"),
        (lambda f: f.assign(target=1), ["--target", "target"], "at least two classes"),
        (lambda f: f, ["--target", "a"], "900 different values"),
        (lambda f: f.assign(target=f["target"].mask(f["a"] > 1)), ["--target", "target"], "none"),
        (lambda f: f.assign(name=[f"row {i}" for i in range(900)]), ["--target", "target"],
         "'name' holds text with 900"),
        (lambda f: f.rename(columns={"b": "a"}), ["--target", "target"], "more than one a"),
        (lambda f: f[["target"]], ["--target", "target"], "must have features"),
        (lambda f: f, ["--target", "target", "--losses", "focall"], "loss must be"),
        (lambda f: f, ["--target", "target", "--folds", "400"], "folds must be"),
        (lambda f: f, ["--target", "target", "--learning-rate", "0"], "learning_rate must be"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(change, options, words, frame, tmp_path, capsys):
    path = tmp_path / "data.csv"
    if change is not None:
        change(frame.drop(columns=["patient", "day"])).to_csv(path, index=False)
    output = tmp_path / "out"
    assert main(["compare", str(path), *options, "--output", str(output)]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1, said
    assert said[0].startswith("boostloss: ")
    assert words in said[0]
    assert not output.exists()


def test_a_folder_that_cannot_be_written_to(csv, tmp_path, capsys):
    for output in (csv / "below", "/proc/nothing"):
        assert main(["compare", str(csv), "--target", "target", "--output", str(output)]) == 2
        assert "--output must be a folder" in capsys.readouterr().err


def test_times_are_no_features(frame, tmp_path):
    path = tmp_path / "data.parquet"
    frame.assign(when=pd.date_range("2020", periods=900)).to_parquet(path)
    with pytest.raises(table.BadInput, match="'when' holds times"):
        table.read(path, "target")
    assert table.read(path, "target", time="when").X.shape[1] == 9


def test_ctrl_c_leaves_what_was_finished(csv, tmp_path, monkeypatch, capsys):
    one, calls = module._one, []

    def interrupted(done, name, *rest):
        calls.append(name)
        if len(calls) == 4:  # in the second fold
            raise KeyboardInterrupt
        one(done, name, *rest)

    monkeypatch.setattr(module, "_one", interrupted)
    output = tmp_path / "out"
    options = ["--target", "target", "--drop", "patient", "day", "--folds", "3", "--rounds", "10"]
    arguments = ["compare", str(csv), *options, "--losses", "focal", "--output", str(output)]
    assert main(arguments) == 130
    # one fold is whole, of the second focal is missing
    assert pd.read_csv(output / "table.csv")["loss"].tolist() == ["built-in", "focal"]
    said = capsys.readouterr().out
    assert "Interrupted after 3 of 6 models: 1 fold(s) compared." in said
    assert "on a single fold" in said
    assert "keep it" not in said
    assert "Interrupted" in (output / "report.html").read_text()


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("engine", "catboost", ValueError),
        ("metric", "accuracy", ValueError),
        ("folds", 1, ValueError),
        ("rounds", 3, ValueError),
        ("learning_rate", 0.0, ValueError),
        ("losses", [3], TypeError),
        ("groups", [1, 2], ValueError),
        ("sample_weight", [-1.0] * 900, ValueError),
    ],
)
def test_bad_arguments_are_named(argument, value, error, frame):
    X, y = frame[list("abcdef")], frame["target"]
    with pytest.raises(error, match="loss" if argument == "losses" else argument):
        compare(X, y, progress=False, **{argument: value})


def test_the_rarer_class_is_the_positive_one(frame):
    X = frame[list("abcdef")]
    swapped = frame["target"].map({"fraud": "a", "fine": "b"})  # now it sorts first
    one, two = (compare(X, y, losses=["focal"], **SHORT) for y in (frame["target"], swapped))
    assert two.attrs["sentences"][0] == "Positive class: a."
    figures = ["average_precision", "log_loss", "f1"]
    pd.testing.assert_frame_equal(one[figures], two[figures], check_names=False)
    other = compare(X, frame["target"], losses=["focal"], positive="fine", **SHORT)
    assert other["average_precision"].min() > 0.9
    with pytest.raises(ValueError, match="positive must be one of"):
        compare(X, swapped, positive="c", **SHORT)


def test_an_interruption_in_the_first_fold_gives_no_verdict():
    found = done(built_in=[0.5], good=[0.6])
    found.losses["late"], found.n_models = None, 9
    said = found.sentences()
    assert said[0] == "Interrupted after 2 of 9 models: 1 fold(s) compared; not compared: late."
    assert not any("keep it" in line or "Best" in line for line in said[:2])


def test_dates_are_ordered_as_dates_or_refused(frame, tmp_path):
    path = tmp_path / "data.csv"
    days = pd.to_datetime("2020-01-01") + pd.to_timedelta(frame["day"], unit="D")
    frame.assign(day=days.dt.strftime("%Y-%m-%d")).to_csv(path, index=False)
    assert table.read(path, "target", time="day", drop=["patient"]).X["a"].tolist() == (
        pytest.approx(frame.sort_values("day")["a"].tolist())
    )
    frame.assign(day=days.dt.strftime("%d/%m/%Y")).to_csv(path, index=False)
    with pytest.raises(table.BadInput, match="dates such as 2024-01-31"):
        table.read(path, "target", time="day")
    frame.to_csv(path)
    with pytest.raises(table.BadInput, match="column 1 has none"):
        table.read(path, "target")


def test_names_that_engines_do_not_take(frame):
    X = frame[list("abcdef")]
    for names, words in ((["a[0]", *"bcdef"], r"'a\[0\]'"), (["a", "a", *"cdef"], "twice: a")):
        with pytest.raises(ValueError, match=words):
            compare(X.set_axis(names, axis=1), frame["target"], progress=False)
    with pytest.raises(ValueError, match="must not give another loss the name"):
        compare(X, frame["target"], losses={"built-in": "focal"}, progress=False)
    with pytest.raises(TypeError, match="time_order must be"):
        compare(X, frame["target"], time_order="day", progress=False)
    weighted = CrossEntropy(class_weight={"fraud": 5, "fine": 1})
    assert len(compare(X, frame["target"], losses={"weighted": weighted}, **SHORT)) == 2
