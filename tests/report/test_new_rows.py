"""``use_model.py`` reads any file as the comparison read its own, and predicts what it predicted."""

import gzip
import importlib
import importlib.util
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from boostloss.report import model, table, training
from boostloss.report.columns import Reading
from boostloss.report.compare import cross_validate
from boostloss.report.new_rows import BadInput
from boostloss.report.scores import Comparison
from boostloss.report.source import Format
from boostloss.report.training import Settings

ENGINES = ["xgboost", "lightgbm", "hist"]
N = 320
RNG = np.random.default_rng(0)
Z = RNG.integers(0, 4, N)
"""What x tells of each row."""

Y = np.where(RNG.random(N) < np.array([0.05, 0.9, 0.3, 0.6])[Z], "yes", "no")
A = [f"{v:.3f}" for v in RNG.normal(size=N)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    for engine in ("xgboost", "lightgbm"):
        importlib.import_module(engine)  # which loads the OpenMP that is limited
    with threadpool_limits(1, user_api="openmp"):
        yield


def texts_of(four):
    return [four[z] for z in Z]


def csv(x, separator=",", decimal=".", name="x"):
    a = [v.replace(".", decimal) for v in A]
    rows = [separator.join([name, "a", "target"])]
    rows += [separator.join(row) for row in zip(texts_of(x), a, Y, strict=True)]
    return "\n".join(rows) + "\n"


def indexed(text, order):
    head, *rows = text.splitlines()
    return "\n".join([f",{head}", *(f"{i},{row}" for i, row in zip(order, rows, strict=True))]) + "\n"


PLAIN = ["1", "2.5", "-3", "40"]
WORDS = ["low", "high", "", "middling"]
as_category = {"categories": frozenset({"x"})}
CSV = {
    # the file, options on the format, on the columns
    "numbers": (csv(PLAIN), {}, {}),
    "numbers and blanks": (csv(["1", "", "-3", "40"]), {}, {}),
    "NA among numbers": (csv(["1", "NA", "-3", "40"]), {}, {}),
    "another mark of missing": (csv(["1", "unknown", "-3", "40"]), {}, {"missing": ("unknown",)}),
    "infinite": (csv(["1", "inf", "-3", "40"]), {}, {}),
    "spaces": (csv(["1", " 2.5", "-3 ", " 40 "]), {}, {}),
    "thousands": (csv(['"1,234.5"', '"12,000"', "3", "40"]), {}, {}),
    "thousands with --decimal": (csv(['"1,234"', '"12,000"', "3", "40"]), {"decimal": "."}, {}),
    "percent": (csv(["1%", "2.5 %", "", "40%"]), {}, {}),
    "currency": (csv(["$1", "-$2.5", "$3", "$40"]), {}, {}),
    "decimal commas": (csv(["1,5", "2", "-3,25", "40"], ";", ","), {}, {}),
    "decimal commas and NA": (csv(["1,5", "NA", "-3,25", "40"], ";", ","), {}, {}),
    "whole numbers and NA beside decimal commas": (csv(["15", "NA", "38", "40"], ";", ","), {}, {}),
    "points for thousands": (csv(["1.234,5", "NA", "12.000", "40"], ";", ","), {}, {}),
    "decimal commas with --decimal": (csv(["1,234", "2,345", "0,5", "40"], ";", ","), {"decimal": ","}, {}),
    "percent and decimal commas": (csv(["1,5%", "?", "3%", "40%"], ";", ","), {}, {}),
    "words": (csv(WORDS), {}, {}),
    "words with spaces": (csv(["low ", " high", "NA", "mid  dle"]), {}, {}),
    "codes with leading zeros": (csv(["031", "041", "051", "061"]), {}, as_category),
    "codes with blanks": (csv(["4", "5", "", "7"]), {}, as_category),
    "codes with decimals": (csv(["4.0", "5.0", "", "7.50"]), {}, as_category),
    "codes and words": (csv(["0", "1", "2", "3+"]), {}, {}),
    "booleans": (csv(["True", "False", "False", "True"]), {}, {}),
    "booleans with blanks": (csv(["True", "False", "", "True"]), {}, {}),
    "booleans with NA": (csv(["TRUE", "false", "NA", "True"]), {}, {}),
    "booleans as categories": (csv(["True", "False", "", "True"]), {}, as_category),
    "dates as days": (csv(["2024-01-31", "2024-02-01T12:00", "", "2025-01-01 00:00"]), {}, {"numbers": frozenset({"x"})}),
    "other words than numbers": (csv([*PLAIN[:3], "none of it"]), {}, {"numbers": frozenset({"x"})}),
    "a name that engines refuse": (csv(PLAIN, name='"x [<5], y"'), {}, {}),
    "a name with quotes": (csv(WORDS, name="it's \\x"), {}, {}),
    "tabs": (csv(WORDS, "\t"), {}, {}),
    "bars": (csv(WORDS, "|"), {}, {}),
    "another separator": (csv(WORDS, "#"), {"separator": "#"}, {}),
    "Excel's first line": ("sep=;\n" + csv(WORDS, ";"), {}, {}),
    "trailing separators": (csv(WORDS).replace("yes\n", "yes,\n"), {}, {}),
    "an index": (indexed(csv(WORDS), range(N)), {}, {}),
    "an index as a feature": (indexed(csv(WORDS), RNG.permutation(N)), {}, {"numbers": frozenset({"Unnamed: 0"})}),
    "spaces around names": (csv(WORDS).replace("x,a", " x , a"), {}, {}),
    "blank lines": (csv(WORDS).replace("no\n", "no\n\n"), {}, {}),
    "rows of commas": (csv(WORDS) + ",,\n,,\n", {}, {}),
    "Windows' line ends": (csv(WORDS).replace("\n", "\r\n"), {}, {}),
    "a byte order mark": (csv(["ä", "ö", "", "é"]).encode("utf-8-sig"), {}, {}),
    "UTF-16": (csv(["ä", "ö", "", "é"]).encode("utf-16"), {}, {}),
    "cp1252": (csv(["ä", "ö", "", "€"], name="Größe").encode("cp1252"), {"encoding": "cp1252"}, {}),
    "packed": (gzip.compress(csv(WORDS).encode()), {}, {}),
}  # fmt: skip

four = np.array
PARQUET = {
    "floats": (four([1, 2.5, np.nan, np.inf]), {}),
    "whole numbers": (pd.array([1, 2, None, 4], dtype="Int64"), {}),
    "booleans": (pd.array([True, False, None, True], dtype="boolean"), {}),
    "booleans without blanks": (four([True, False, False, True]), {}),
    "strings": (four(["low", "high", None, "NA"], object), {}),
    "numbers in strings": (four(["1.5", "?", None, "40"], object), {}),
    "decimal commas in strings": (four(["1,5", "NA", None, "40"], object), {}),
    "decimal commas with --decimal": (four(["1,234", "2,345", None, "40"], object), {"form": {"decimal": ","}}),
    "categories": (pd.Categorical(["low", "high", None, " high"]), {}),
    "categories of numbers": (pd.Categorical([1, 2, None, 4]), {}),
    "numbers as categories": (four([4.0, 5.5, np.nan, 7.0]), as_category),
    "booleans as categories": (pd.array([True, False, None, True], dtype="boolean"), as_category),
    "times": (pd.to_datetime(["2024-01-31", "2024-02-01T12:00", None, "2025-01-01"], format="ISO8601"), {"numbers": frozenset({"x"})}),
    "times of a zone": (pd.to_datetime(["2024-01-31", "2024-02-01T12:00", None, "2025-01-01"], format="ISO8601").tz_localize("Europe/Paris"), {"numbers": frozenset({"x"})}),
    "durations": (pd.to_timedelta([1, 2, None, 4], unit="D"), {}),
}  # fmt: skip


def written(data, folder, engine, monkeypatch, best="built-in", positive="yes"):
    """The script as a module, and the probabilities of the model that the comparison trained."""
    trained = []
    train = training.train
    monkeypatch.setattr(training, "train", lambda *args: trained.append(train(*args)) or trained[-1])
    monkeypatch.setattr(Comparison, "best", property(lambda self: best))
    losses = {} if best == "built-in" else [best]
    settings = Settings(engine, "log_loss", 10, 0.3, {}, 0)
    found = cross_validate(data, settings, losses=losses, folds=2, progress=False, positive=positive)
    folder.mkdir(exist_ok=True)
    script, _ = model.write_model(found, folder)
    (folder / "use_model.py").write_text(script, encoding="utf-8")
    raw = trained[-1].raw(found.rows.X, max(1, round(float(np.median(found.values(best, "rounds"))))))
    expected = training.posterior(found.losses[best], found.rows, raw, raw)
    return module_of(folder / "use_model.py"), expected


def module_of(path):
    spec = importlib.util.spec_from_file_location("use_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path, form=None, **options):
    return table.read(path, "target", form=Format(**(form or {})), reading=Reading(**options))


def predictions(module, path):
    return module.predict(module.read_new_rows(path, module.FORMAT, module.COLUMNS))


def check_matters(p):
    """What x says counts: with another one the predictions would differ."""
    assert np.std([p[z == Z].mean() for z in range(4)]) > 0.05


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", CSV)
def test_a_csv_file_with(kind, engine, tmp_path, monkeypatch, capsys):
    content, form, reading = CSV[kind]
    name = "d.csv.gz" if kind == "packed" else "d.csv"
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    module, expected = written(
        read(tmp_path / name, form, **reading), tmp_path / "out", engine, monkeypatch
    )
    p = predictions(module, tmp_path / name)
    np.testing.assert_allclose(p, expected, atol=1e-6, rtol=0)
    check_matters(p)
    said = capsys.readouterr().err
    if kind == "rows of commas":
        assert said == "left out: 2 rows without any value at the end\n"
    elif kind == "blank lines":
        n = (Y[:-1] == "no").sum()
        assert said == f"left out: {n} blank lines, which have no prediction\n"
    elif kind == "other words than numbers":
        n = (Z == 3).sum()
        assert f"column 'x': the values of {n} rows cannot be read as numbers" in said
    else:
        assert said == ""


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", PARQUET)
def test_a_parquet_file_with(kind, engine, tmp_path, monkeypatch, capsys):
    values, reading = PARQUET[kind]
    form = reading.get("form")
    options = {name: value for name, value in reading.items() if name != "form"}
    frame = pd.DataFrame({"x": pd.Series(values).take(Z).reset_index(drop=True)})
    frame = frame.assign(a=np.array(A, float), target=Y)
    frame.to_parquet(tmp_path / "d.parquet")
    data = read(tmp_path / "d.parquet", form, **options)
    module, expected = written(data, tmp_path / "out", engine, monkeypatch)
    p = predictions(module, tmp_path / "d.parquet")
    np.testing.assert_allclose(p, expected, atol=1e-6, rtol=0)
    check_matters(p)
    assert capsys.readouterr().err == ""


FRAMES = {
    # how a user may read the file, and what is then said
    "whole numbers and NA beside decimal commas": ({"sep": ";", "decimal": ","}, ""),
    "decimal commas and NA": ({"sep": ";", "decimal": ","}, ""),
    "decimal commas with --decimal": ({"sep": ";", "decimal": ","}, ""),
    "NA among numbers": ({}, ""),
    "thousands": ({}, ""),
    "codes with leading zeros": ({"dtype": str}, ""),
    "codes with blanks": ({}, ""),
    "codes with decimals": ({"dtype": str}, ""),
    "booleans": ({}, ""),
    "booleans with blanks": ({}, ""),
    "booleans as categories": ({}, ""),
    "words": ({}, ""),
}


@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_that_pandas_read(kind, strings, tmp_path, monkeypatch, capsys):
    """Numbers that are read already stay; strings are read as those of the file."""
    content, form, reading = CSV[kind]
    path = tmp_path / "d.csv"
    path.write_text(content)
    module, expected = written(read(path, form, **reading), tmp_path / "out", "hist", monkeypatch)
    options, words = FRAMES[kind]
    frame = pd.read_csv(path, **{**options, **({"dtype": str} if strings else {})})
    np.testing.assert_allclose(module.predict(frame), expected, atol=1e-6, rtol=0)
    assert capsys.readouterr().err == words


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("best", ["focal", "balanced"])
def test_a_loss_is_undone(best, engine, tmp_path, monkeypatch):
    (tmp_path / "d.csv").write_text(csv(WORDS))
    module, expected = written(
        read(tmp_path / "d.csv"), tmp_path / "out", engine, monkeypatch, best
    )
    np.testing.assert_allclose(predictions(module, tmp_path / "d.csv"), expected, atol=1e-6, rtol=0)


CHANGED = {
    # in another file: what is said, or raised
    "a lacking column": (csv(WORDS).replace("x,a", "x,b"), "got no 'a'", True),
    "a new category": (csv(["low", "high", "", "new"]), "are not among the 3 categories of the training rows and count as missing: 'new'", False),
    "a word among numbers": (csv(WORDS).replace(f",{A[0]},", ",much,", 1), "column 'a': the values of 1 rows cannot be read as numbers and count as missing: 'much'", False),
    "percent of numbers": (csv(WORDS).replace(",yes", "%,yes").replace(",no", "%,no"), "column 'a': the numbers have % here and no sign in the training rows", False),
    "two units": (csv(WORDS).replace(",yes", "%,yes"), "may differ in their unit", True),
    "commas of two meanings": (csv(WORDS).replace(f",{A[0]},", ',"1,234",', 1), "column 'a': '1,234' may be thousands or have a decimal comma: write it without the comma", True),
    "commas of two meanings beside words": (csv(WORDS).replace(f",{A[0]},", ',"1,234",', 1).replace(f",{A[1]},", ',"none, sorry",', 1), "column 'a': '1,234' may be thousands or have a decimal comma", True),
    "decimal commas": (csv(WORDS).replace(f",{A[0]},", ',"1,234",', 1).replace(f",{A[1]},", ',"2,5",', 1), "column 'a' must have decimal points, got", True),
    "commas of thousands": (csv(WORDS).replace(f",{A[0]},", ',"1,234.5",', 1), "", False),
    "a short line": (csv(WORDS) + "1\n", "must have 3 fields on every line, got 1", True),
    "a name twice": (csv(WORDS).replace("target", "x"), "got more than one 'x'", True),
    "other bytes": (csv(["low", "é", "", ""]).encode("cp1252"), "must be utf-8, got other bytes on line", True),
    "no rows": ("x,a,target\n", "must be at least one, got none", True),
    "nothing": ("", "cannot be read as CSV: No columns to parse", True),
    "a workbook": (b"PK\x03\x04" + bytes(50), "got Excel", True),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGED)
def test_another_file_with(kind, tmp_path, monkeypatch, capsys):
    (tmp_path / "d.csv").write_text(csv(WORDS))
    module, _ = written(read(tmp_path / "d.csv"), tmp_path / "out", "hist", monkeypatch)
    content, words, is_raised = CHANGED[kind]
    new = tmp_path / "new.csv"
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setattr(sys, "argv", ["use_model.py", str(new), str(tmp_path / "p.csv")])
    assert module.main() == (2 if is_raised else 0)
    assert words in capsys.readouterr().err
    assert (tmp_path / "p.csv").exists() != is_raised


def test_parquet_that_is_none_and_a_format_that_is_not_known(tmp_path, monkeypatch, capsys):
    pd.DataFrame({"x": texts_of(WORDS), "a": np.array(A, float), "target": Y}).to_parquet(
        tmp_path / "d.parquet"
    )
    module, expected = written(
        read(tmp_path / "d.parquet"), tmp_path / "out", "hist", monkeypatch
    )
    for name, words in (
        ("new.parquet", "cannot be read as Parquet"),
        ("new.csv", "must be a Parquet file, as that of the training rows was"),
        ("nowhere.parquet", "got no such file"),
    ):
        if "nowhere" not in name:
            (tmp_path / name).write_text(csv(WORDS))
        monkeypatch.setattr(sys, "argv", ["use_model.py", str(tmp_path / name)])
        assert module.main() == 2
        assert words in capsys.readouterr().err
    # rows of a CSV file in a Parquet file
    (tmp_path / "d.csv").write_text(csv(WORDS))
    module, expected = written(read(tmp_path / "d.csv"), tmp_path / "two", "hist", monkeypatch)
    np.testing.assert_allclose(predictions(module, tmp_path / "d.parquet"), expected, atol=1e-6)


def test_a_row_without_values_has_a_prediction_in_its_place(tmp_path, monkeypatch, capsys):
    (tmp_path / "d.csv").write_text(csv(WORDS))
    module, expected = written(read(tmp_path / "d.csv"), tmp_path / "out", "hist", monkeypatch)
    head, *rows = csv(WORDS).splitlines()
    (tmp_path / "new.csv").write_text("\n".join([head, *rows[:5], ",,", *rows[5:], ",,", ",,"]))
    p = predictions(module, tmp_path / "new.csv")
    np.testing.assert_allclose(np.delete(p, 5), expected, atol=1e-6, rtol=0)
    assert capsys.readouterr().err == (
        "left out: 2 rows without any value at the end\n"
        "1 rows have no value, and get predictions all the same\n"
    )


def test_columns_that_differ_by_spaces(tmp_path, monkeypatch, capsys):
    frame = pd.DataFrame({"x": texts_of(WORDS), "a": np.array(A, float), "target": Y})
    frame.assign(**{"a ": 1.0}).to_parquet(tmp_path / "d.parquet")
    with pytest.raises(BadInput, match="columns must have different names, got more than one a"):
        read(tmp_path / "d.parquet")
    frame.to_parquet(tmp_path / "good.parquet")
    module, _ = written(read(tmp_path / "good.parquet"), tmp_path / "out", "hist", monkeypatch)
    monkeypatch.setattr(sys, "argv", ["use_model.py", str(tmp_path / "d.parquet")])
    assert module.main() == 2
    assert "different names, got more than one 'a'" in capsys.readouterr().err


def test_help_of_a_label_with_a_percent_sign(tmp_path, monkeypatch, capsys):
    (tmp_path / "d.csv").write_text(csv(WORDS).replace("yes", "5%"))
    module, _ = written(
        read(tmp_path / "d.csv"), tmp_path / "out", "hist", monkeypatch, positive="5%"
    )
    monkeypatch.setattr(sys, "argv", ["use_model.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        module.main()
    assert "Predict probability_5%" in capsys.readouterr().out


def test_codes_that_became_numbers_are_said(tmp_path, monkeypatch, capsys):
    path = tmp_path / "d.csv"
    path.write_text(CSV["codes with leading zeros"][0])
    module, _ = written(read(path, **as_category), tmp_path / "out", "hist", monkeypatch)
    module.predict(pd.read_csv(path))
    said = capsys.readouterr().err
    assert f"the values of {N} rows are not among the 4 categories" in said
    assert "read them as strings" in said
    module.predict(pd.read_csv(path, dtype={"x": str}))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_the_command_runs_without_boostloss(engine, tmp_path, monkeypatch):
    """In another process, from another directory."""
    (tmp_path / "d.csv").write_text(csv(WORDS))
    _, expected = written(read(tmp_path / "d.csv"), tmp_path / "out", engine, monkeypatch)
    (tmp_path / "boostloss.py").write_text("raise ImportError('boostloss is not needed')")
    command = [sys.executable, "out/use_model.py", "d.csv"]
    environment = {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    assert printed.stderr == b""
    lines = printed.stdout.decode().split()
    assert lines[0] == "probability_yes"
    np.testing.assert_allclose(np.array(lines[1:], float), expected, atol=1e-6)
    subprocess.run([*command, "p.csv"], cwd=tmp_path, env=environment, check=True)
    np.testing.assert_allclose(pd.read_csv(tmp_path / "p.csv")["probability_yes"], expected, atol=1e-6)
    refused = subprocess.run([*command, "d.csv"], cwd=tmp_path, env=environment, capture_output=True)
    assert refused.returncode == 2
    assert b"another file" in refused.stderr
