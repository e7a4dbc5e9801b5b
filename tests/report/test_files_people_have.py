"""Small files of every kind that people have: what is read of each, and what is said."""

import gzip
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from boostloss.report import table
from boostloss.report.columns import Reading, names_for_engines, read_columns
from boostloss.report.new_rows import BadInput, features, read_new_rows
from boostloss.report.source import Format

N = 60
LABELS = ["yes" if i % 4 == 0 else "no" for i in range(N)]
NUMBERS = [f"{(i * 37) % 59 + 0.5}" for i in range(N)]


def csv(columns, separator=",", end="\n"):
    """A file of columns by name, a text for each row."""
    lines = [separator.join(columns), *map(separator.join, zip(*columns.values(), strict=True))]
    return end.join(lines) + end


def column(values):
    """60 rows that repeat these texts."""
    return [values[i % len(values)] for i in range(N)]


def with_column(values, name="x"):
    return csv({"a": NUMBERS, name: column(values), "target": LABELS})


def read(tmp_path, data, name="data.csv", *, form=None, reading=None, **options):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return table.read(
        path, "target", form=Format(**(form or {})), reading=Reading(**(reading or {})), **options
    )


def found(data, name):
    """A column's record and first values."""
    (record,) = [c for c in data.columns if c.name == name]
    return record, data.X[record.inside].head(4).tolist() if record.inside else None


def said(data):
    counts = {str(k): int(n) for k, n in zip(*np.unique(data.y, return_counts=True), strict=True)}
    return "\n".join(table.describe(data, data.X.shape, counts))


nan = float("nan")
COLUMNS = {
    # texts: kind, first values, words of the remark
    "numbers": (["1", "2.5", "-3e2", "4"], "numbers", [1, 2.5, -300, 4], ""),
    "blank": (["1", "", "3", "4"], "numbers", [1, nan, 3, 4], "15 missing"),
    "question mark": (["1", "?", "3", "4"], "numbers", [1, nan, 3, 4], "15 '?' read as missing"),
    "space and question mark": (["1", " ?", "3", "4"], "numbers", [1, nan, 3, 4], "15 '?' read as missing"),
    "NA": (["1", "NA", "3", "4"], "numbers", [1, nan, 3, 4], "15 'NA' read as missing"),
    "None": (["1", "None", "3", "4"], "numbers", [1, nan, 3, 4], "15 'None' read as missing"),
    "nan": (["1", "nan", "3", "4"], "numbers", [1, nan, 3, 4], "15 'nan' read as missing"),
    "Excel's errors": (["1", "#DIV/0!", "3", "4"], "numbers", [1, nan, 3, 4], "15 '#DIV/0!' read"),
    "SAS's point": (["1", ".", "3", "4"], "numbers", [1, nan, 3, 4], "15 '.' read as missing"),
    "percent": (["1%", "2.5 %", "", "4%"], "numbers", [1, 2.5, nan, 4], "percent signs removed, 5% is 5"),
    "dollars": (["$1", "-$2.5", "$3", "$4"], "numbers", [1, -2.5, 3, 4], "$ removed"),
    "euros behind": (["1 €", "2.5 €", "3€", "4€"], "numbers", [1, 2.5, 3, 4], "€ removed"),
    "thousands": (['"1,234.5"', '"12,000,000"', "3", "4"], "numbers", [1234.5, 12e6, 3, 4], "thousands' marks removed"),
    "spaces for thousands": (["1 234", "12 000 000.5", "3", "4"], "numbers", [1234, 12000000.5, 3, 4], "thousands' marks"),
    "spaces around numbers": ([" 1", "2.5 ", "3", "4"], "numbers", [1, 2.5, 3, 4], ""),
    "booleans": (["True", "False", "False", "True"], "true/false", [True, False, False, True], ""),
    "booleans with blanks": (["True", "", "FALSE", "true "], "true/false", [1, nan, 0, 1], "15 missing"),
    "infinite": (["1", "inf", "-inf", "4"], "numbers", [1, nan, nan, 4], "30 infinite read as missing"),
    "all empty": (["", "", "", ""], "left out", None, "empty"),
    "all NA": (["NA", "NA", "", "?"], "left out", None, "empty"),
    "constant": (["7", "7", "7", "7"], "numbers", [7, 7, 7, 7], "constant"),
    "categories": (["b", "a", "c", "a"], "categories", ["b", "a", "c", "a"], "3: a, b, c"),
    "spaces around categories": (["b ", "b", " a", "a"], "categories", ["b", "b", "a", "a"], "spaces removed in 1"),
    "categories, some missing": (["b", "NA", "", "a"], "categories", ["b", nan, nan, "a"], "15 'NA' read as missing"),
    "few numbers and text": (["0", "1", "2", "3+"], "categories", ["0", "1", "2", "3+"], "4: 0, 1, 2, 3+"),
    "quotes": (['"a, b"', '"c ""d"""', "e", "e"], "categories", ["a, b", 'c "d"', "e", "e"], "3: "),
}  # fmt: skip


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_column_of(kind, tmp_path):
    texts, expected, values, words = COLUMNS[kind]
    data = read(tmp_path, with_column(texts))
    record, first = found(data, "x")
    assert record.kind == expected
    assert words in record.remark
    if values is None:
        assert "x" not in data.X
        assert "left out: x (" in said(data)
        return
    pd.testing.assert_series_equal(pd.Series(first), pd.Series(values), check_dtype=False)
    assert f"{expected}: " in said(data)
    assert record.remark in said(data)
    # and the script that a user gets for a new file reads the same
    columns = {c.name: c.how for c in data.columns}
    new = read_new_rows(tmp_path / "data.csv", asdict(data.form), columns)
    X = features(new, columns, sorted(data.reading.means_missing), data.reading.decimal)
    pd.testing.assert_series_equal(X["x"], data.X["x"], check_dtype=False)


REFUSED = {
    # texts: words of the message, an option that helps, and what comes of it
    "dates": (["2024-01-31", "2024-02-01"], "contains times: use --time-order x, --drop x or --numbers x", {"numbers": frozenset("x")}, 19753.0),
    "dates with time": (["2024-01-31 12:00", "2024-02-01T00:00:00Z"], "contains times", {"numbers": frozenset("x")}, 19753.5),
    "thousands or decimals": (['"1,234"', '"5,678"'], "may be thousands or have a decimal comma", {"decimal": "."}, 1234),
    "mixed units": (["5%", "0.05", "0.5", "3%"], "may differ in their unit", {"categories": frozenset("x")}, "5%"),
    "numbers and a word": ([*map(str, range(29)), "unknown"], "in 2 rows, 'unknown': use --missing unknown", {"missing": ("unknown",)}, 0),
    "numbers and words": ([*map(str, range(28)), "low", "very low"], "--missing low 'very low'", {"numbers": frozenset("x")}, 0),
    "numbers and words as categories": ([*map(str, range(28)), "low", "high"], "--categories x", {"categories": frozenset("x")}, "0"),
    "free text": ([f"row {i}" for i in range(N)], "60 different strings, too many for a category: use --drop x", {"categories": frozenset("x")}, "row 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_guess_is_refused_and_an_option_decides(kind, tmp_path):
    texts, words, option, first = REFUSED[kind]
    with pytest.raises(BadInput) as error:
        read(tmp_path, with_column(texts))
    assert words in str(error.value)
    assert "'x'" in str(error.value)
    form = {"decimal": option.pop("decimal")} if "decimal" in option else {}
    data = read(tmp_path, with_column(texts), form=form, reading=option)
    assert found(data, "x")[1][0] == first
    assert read(tmp_path, with_column(texts), drop=["x"]).X.columns.tolist() == ["a"]


def test_all_columns_that_need_a_decision_are_named_at_once(tmp_path):
    text = csv({"when": column(["2024-01-31"]), "note": [f"row {i}" for i in range(N)],
                "a": NUMBERS, "target": LABELS})  # fmt: skip
    with pytest.raises(BadInput, match=r"'when' contains times.*'note' contains 60"):
        read(tmp_path, text)


def test_days_before_months_are_no_numbers(tmp_path):
    with pytest.raises(BadInput, match="day and month are not certain"):
        read(tmp_path, with_column(["31/01/2024"]), reading={"numbers": frozenset("x")})


TABLE = {"a": NUMBERS, "b": column(["1.5", "2"]), "target": LABELS}
DECIMALS = {
    "a": [n.replace(".", ",") for n in NUMBERS],
    "b": column(["1,5", "2"]),
    "target": LABELS,
}
THOUSANDS = {**DECIMALS, "b": column(["1.500,25", "2"])}
plain = csv(TABLE)


def padded(text, extra):
    """Something after every line but the first."""
    first, *rest = text.splitlines()
    return "\n".join([first, *(line + extra for line in rest)]) + "\n"


def indexed(name, first=0, text=plain):
    head, *rest = text.splitlines()
    return (
        "\n".join([f"{name},{head}", *(f"{first + i},{line}" for i, line in enumerate(rest))])
        + "\n"
    )


FILES = {
    # bytes, name, words that are said
    "plain": (plain, "d.csv", 'separator ","'),
    "trailing commas in rows": (padded(plain, ","), "d.csv", "empty fields after the last column, on 60 lines"),
    "two trailing commas": (padded(plain, ",,"), "d.csv", "empty fields after the last column"),
    "trailing commas in some rows": (plain.replace("yes\n", "yes,\n"), "d.csv", "on 15 lines"),
    "trailing commas everywhere": (plain.replace("\n", ",\n"), "d.csv", "empty columns without a name"),
    "trailing comma in the header": (plain.replace("target\n", "target,\n"), "d.csv", "empty columns without a name"),
    "unnamed index": (indexed(""), "d.csv", "column 1, which has no name and numbers the rows"),
    "unnamed index from 1, as R writes it": (indexed('""', 1), "d.csv", "numbers the rows"),
    "an index saved twice": (indexed("", text=indexed("Unnamed: 0")), "d.csv", "column 2, which has no name"),
    "spaces around names": (plain.replace("a,b,target", " a ,b,target "), "d.csv", "spaces around names removed: a, target"),
    "spaces around labels": (plain.replace("yes", "yes "), "d.csv", "spaces removed around 15 labels"),
    "blank lines": (plain.replace("no\n", "no\n\n"), "d.csv", "60 rows"),
    "rows of commas": (plain + ",,\n,,\n", "d.csv", "left out: 2 rows without any value"),
    "semicolons": (csv(TABLE, ";"), "d.csv", 'separator ";"'),
    "tabs": (csv(TABLE, "\t"), "d.tsv", "separator tab"),
    "bars": (csv(TABLE, "|"), "d.txt", 'separator "|"'),
    "Excel's first line": ("sep=;\n" + csv(TABLE, ";"), "d.csv", 'separator ";"'),
    "decimal commas": (csv(DECIMALS, ";"), "d.csv", 'decimal mark ","'),
    "decimal commas and points for thousands": (csv(THOUSANDS, ";"), "d.csv", "thousands' marks removed"),
    "Windows' line ends": (csv(TABLE, end="\r\n"), "d.csv", "60 rows"),
    "old line ends": (csv(TABLE, end="\r"), "d.csv", "60 rows"),
    "byte order mark": (plain.encode("utf-8-sig"), "d.csv", "UTF-8"),
    "UTF-16": (plain.encode("utf-16"), "d.csv", "UTF-16"),
    "packed": (gzip.compress(plain.encode()), "d.csv.gz", "60 rows"),
    "capital suffix": (plain, "D.CSV", "60 rows"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_a_file_with(kind, tmp_path):
    content, name, words = FILES[kind]
    data = read(tmp_path, content, name)
    assert words in said(data)
    assert data.y.tolist() == LABELS
    assert data.X.columns.tolist() == ["a", "b"]
    assert data.X["a"].tolist() == [float(n) for n in NUMBERS]
    assert data.X["b"].tolist()[:2] == ([1500.25, 2] if "thousands" in kind else [1.5, 2])


BAD_FILES = {
    "a cell too many": (plain.replace("yes", "yes,1", 1), {}, "must have 3 fields on every line, got 4 on line 2"),
    "R's row names": (padded(plain, ",1"), {}, "first column has no name in the header"),
    "a line cut off": (plain + "1,2\n", {}, "got 2 on line 62: is the line cut off"),
    "a line of comment": (plain + "60 rows exported\n", {}, "got 1 on line 62"),
    "an open quote": (plain.replace("yes", '"yes', 1), {}, "a quote that opens on line 2 is never closed"),
    "an unnamed column of values": (indexed("", 7), {}, "column 1 has none and contains 7"),
    "one column": ("target\n1\n0\n", {}, "must have several columns, got one, 'target'"),
    "nothing": ("", {}, "got an empty file"),
    "Latin letters of Windows": (plain.replace("yes", "ja é").encode("cp1252"), {}, "got other bytes on line 2; use --encoding cp1252"),
    "an unknown encoding": (plain, {"encoding": "utf-99"}, "--encoding must be one that Python knows"),
    "UTF-16 without its mark": (plain.encode("utf-16-le"), {}, "zero bytes"),
    "a workbook": (b"PK\x03\x04" + bytes(50), {}, "got Excel: save the sheet as CSV"),
    "Parquet by another name": (b"PAR1" + bytes(50), {}, "name it .parquet"),
    "a separator of two": (plain, {"separator": "::"}, "--separator must be one character"),
    "names twice": (plain.replace("a,b", "b, b"), {}, "more than one b"),
    "no rows": ("a,target\n", {}, "at least two classes, got no rows"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_is_refused_for(kind, tmp_path):
    content, form, words = BAD_FILES[kind]
    with pytest.raises(BadInput, match=words):
        read(tmp_path, content, form=form)


def test_separator_encoding_and_decimal_mark_that_are_given(tmp_path):
    text = csv({**TABLE, "target": ["été" if x == "yes" else "non" for x in LABELS]}, "#")
    data = read(tmp_path, text.encode("cp1252"), form={"separator": "#", "encoding": "cp1252"})
    assert set(data.y) == {"été", "non"}
    spaced = csv(TABLE, "   ")
    assert read(tmp_path, spaced, form={"separator": "space"}).X.shape == (N, 2)
    ambiguous = csv({**TABLE, "b": column(["1,234", "5,678"])}, ";")
    for mark, value in ((",", 1.234), (".", 1234)):
        assert (
            read(tmp_path, ambiguous.replace(".5", f"{mark}5"), form={"decimal": mark}).X["b"][0]
            == value
        )


TARGETS = {
    # texts, options: labels, words that are said
    "numbers": (["0", "1"], {}, [0, 1], ""),
    "1 for 1.0": (["0", "1.0", "1", "0.0"], {}, [0, 1], ""),
    "true and false": (["TRUE", "false"], {}, [False, True], ""),
    "None is a label": (["None", "Severe"], {}, ["None", "Severe"], ""),
    "NA is a label": (["NA", "EU"], {}, ["EU", "NA"], ""),
    "null and nan are labels": (["null", "nan"], {}, ["nan", "null"], ""),
    "spaces": (["yes", "no ", " yes", "no"], {}, ["no", "yes"], "spaces removed around 15 labels"),
    "case": (["yes", "Yes", "no"], {}, ["Yes", "no", "yes"], "Yes, yes are different classes"),
    "three classes": (["a", "b", "c"], {}, ["a", "b", "c"], ""),
    "dots": (["1.5", "2.5"], {}, [1.5, 2.5], ""),
    "blanks left out": (["a", "b", ""], {"drop_unlabelled": True}, ["a", "b"], "left out: 20 rows without a label"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TARGETS)
def test_a_target_of(kind, tmp_path):
    texts, options, labels, words = TARGETS[kind]
    data = read(tmp_path, csv({"a": NUMBERS, "target": column(texts)}), **options)
    assert np.unique(data.y).tolist() == labels
    assert words in said(data)
    assert len(data.X) == len(data.y)


BAD_TARGETS = {
    "blanks": ([*LABELS[:-1], ""], {}, r"1 have none \(line 61\): use --drop-unlabelled"),
    "a missing one named": ([*LABELS[:-1], "?"], {"missing": ("?",)}, r"1 have none \(line 61\)"),
    "one word among numbers": ([*column(["0", "1"])[:-1], "NA"], {}, r"in 1 rows, NA \(line 61\): use --missing 'NA'"),
    "one class": (column(["a"]), {}, "only 'a'"),
    "a regression": (NUMBERS, {}, "at most 30 classes; it has 59 different values such as 0.5"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_TARGETS)
def test_a_target_is_refused_for(kind, tmp_path):
    texts, reading, words = BAD_TARGETS[kind]
    with pytest.raises(BadInput, match=words):
        read(tmp_path, csv({"a": NUMBERS, "target": texts}), reading=reading)


def test_lines_stay_those_of_the_file(tmp_path):
    lines = plain.splitlines()
    lines[3] = "5,,"  # no label
    lines.insert(2, "")
    text = "\n".join(lines)
    with pytest.raises(BadInput, match="line 5"):
        read(tmp_path, text)
    data = read(tmp_path, text, drop_unlabelled=True, time="a")
    assert data.X["b"].notna().all()
    by_line = dict(enumerate(text.splitlines(), 1))
    for row in range(59):
        line = int(data.where(row).removeprefix("line "))
        assert by_line[line].split(",")[1:] == [f"{data.X['b'][row]:g}", data.y[row]]


def test_weights_groups_and_jobs(tmp_path):
    text = csv(
        {
            "a": NUMBERS,
            "w": column(["1", "2.5"]),
            "g": column([" x", "x", "", "NA"]),
            "target": LABELS,
        }
    )
    data = read(tmp_path, text, weight="w", groups="g")
    assert data.weight[:2].tolist() == [1, 2.5]
    assert data.groups.fillna("none")[:4].tolist() == ["x", "x", "none", "none"]
    assert data.X.columns.tolist() == ["a"]
    assert "w (--weight)" in said(data)
    for bad in ("-1", "", "much", "inf"):
        with pytest.raises(BadInput, match=r"--weight 'w' must contain numbers >= 0.*on line 2"):
            read(tmp_path, text.replace(",1,", f",{bad},", 1), weight="w")
    with pytest.raises(BadInput, match="--weight must be another column than --groups"):
        read(tmp_path, text, weight="g", groups="g")
    for option in ("categories", "numbers"):
        with pytest.raises(BadInput, match=f"--{option} must be a column"):
            read(tmp_path, text, reading={option: frozenset({"nothing"})})


FRAMES = {
    "bool with None": (pd.Series([True, None] * 30, dtype=object), "true/false", [1, nan]),
    "nullable bool": (pd.Series([True, None] * 30, dtype="boolean"), "true/false", [1, nan]),
    "nullable int": (pd.Series([1, None] * 30, dtype="Int64"), "numbers", [1, nan]),
    "numbers as objects": (pd.Series([1, 2.5] * 30, dtype=object), "numbers", [1, 2.5]),
    "texts": (pd.Series(["a", None] * 30), "categories", ["a", nan]),
    "categories": (pd.Series(["a", "b"] * 30, dtype="category"), "categories", ["a", "b"]),
    "text that is numbers": (pd.Series(["1", "2"] * 30), "numbers", [1, 2]),
    "durations": (pd.Series(pd.to_timedelta([36, 48] * 30, unit="h")), "numbers", [1.5, 2]),
    "infinite": (pd.Series([1, np.inf] * 30), "numbers", [1, nan]),
    "empty": (pd.Series([None] * 60), "left out", None),
    "empty numbers": (pd.Series([nan] * 60), "left out", None),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["python", "parquet"])
@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_with(kind, suffix, tmp_path):
    values, expected, first = FRAMES[kind]
    frame = pd.DataFrame({"a": np.arange(60.0), "x": values})
    if suffix == "python":
        data = table.from_data(frame, LABELS)
    else:
        frame.assign(target=LABELS).to_parquet(tmp_path / "d.parquet")
        data = table.read(tmp_path / "d.parquet", "target")
    record, got = found(data, "x")
    assert record.kind == expected
    if first is not None:
        pd.testing.assert_series_equal(pd.Series(got[:2]), pd.Series(first), check_dtype=False)


BAD_FRAMES = {
    "dates": (pd.to_datetime(["2024-01-31"] * 60), "times"),
    "date objects": ([d.date() for d in pd.to_datetime(["2024-01-31"] * 60)], "times"),
    "lists": ([[1]] * 60, "cells of type list"),
    "complex": (np.full(60, 1j), "complex"),
    "periods": (pd.period_range("2024-01", periods=60, freq="M"), "period"),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_a_frame_is_refused_for(kind):
    values, words = BAD_FRAMES[kind]
    frame = pd.DataFrame({"a": np.arange(60.0)})
    frame["x"] = pd.Series(values)
    with pytest.raises(ValueError, match=rf"column 'x'.*{words}.*(leave it out of X|engine accepts)"):
        table.from_data(frame, LABELS)


def test_arrays_and_lists_with_text(tmp_path):
    for X in (np.array([["u", 1.5], ["v", 2]] * 30, object), [["u", 1.5], ["v", 2]] * 30):
        data = table.from_data(X, LABELS)
        assert [c.kind for c in data.columns] == ["categories", "numbers"]
    X = np.ones((60, 2))
    X[3, 1] = np.inf
    assert table.from_data(X, LABELS).notes == [
        "1 infinite values read as missing, in columns [1] of X"
    ]
    assert np.isinf(X[3, 1])  # the caller's


def test_frames_of_other_packages():
    polars, arrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    columns = {"a": np.arange(60.0), "x": ["u", "v"] * 30}
    for X in (polars.DataFrame(columns), arrow.table(columns)):
        assert [c.kind for c in table.from_data(X, LABELS).columns] == ["numbers", "categories"]
    frame = pytest.importorskip("dask.dataframe").from_pandas(pd.DataFrame(columns), 2)
    with pytest.raises(TypeError, match="X must be in this process's memory"):
        table.from_data(frame, LABELS)


def test_an_index_of_a_parquet_file_is_said(tmp_path):
    frame = pd.DataFrame(
        {"a": np.arange(60.0), "target": LABELS}, index=pd.RangeIndex(60, name="id")
    )
    frame.index = pd.Index(np.arange(60), name="id")
    frame.to_parquet(tmp_path / "d.parquet")
    assert table.read(tmp_path / "d.parquet", "target").notes == [
        "left out: id (the frame's index)"
    ]


NAMES = [
    "a[0]",
    "a{0}",
    "a<5",
    'a"b',
    "a:b",
    "a,b",
    "a b",
    "a_b",
    "a\tb",
    "",
    "é",
    "a_0_",
    "x\n",
    "0",
    " ",
]


@pytest.mark.parametrize("engine", ["xgboost", "lightgbm"])
def test_names_that_engines_refuse(engine):
    inside = names_for_engines(NAMES)
    assert len(set(inside)) == len(NAMES)
    X = pd.DataFrame(np.random.default_rng(0).random((60, len(NAMES))), columns=NAMES)
    features = read_columns(X, Reading())
    assert features.X.columns.tolist() == inside
    assert [c.name for c in features.columns] == NAMES
    assert features.renamed["a[0]"] == "a_0__2"
    assert "called 'a_0__2' in the model" in features.columns[0].remark
    y = np.arange(60) % 2
    if engine == "xgboost":
        xgb = pytest.importorskip("xgboost")
        assert xgb.train({}, xgb.DMatrix(features.X, y), 1).feature_names == inside
    else:
        lgb = pytest.importorskip("lightgbm")
        booster = lgb.train({"verbose": -1}, lgb.Dataset(features.X, y), 1)
        assert booster.feature_name() == [name.replace(" ", "_") for name in inside]


def test_cases_from_public_trackers(tmp_path):
    """The inputs as reported; where a report has too few rows they are repeated."""
    # https://github.com/pandas-dev/pandas/issues/9295: a comma too many in the first row shifts all
    text = "DecisionM,IntelligentM,freq,target\n0, 5, 9, 20, \n0, 6, 21,33\n0, 7, 35,20\n"
    data = read(tmp_path, text)
    assert data.X["IntelligentM"].tolist() == [5, 6, 7]
    assert data.y.tolist() == [20, 33, 20]
    # https://github.com/pandas-dev/pandas/issues/41304: quoted, semicolons, one more in each row
    text = (
        '"Местное время";"T";"E\'";"target"\n"04.05.2021";"9.8";"";"a";\n"05.05.2021";"8";"";"b";\n'
    )
    data = read(tmp_path, text, drop=["Местное время"])
    assert data.X["T"].tolist() == [9.8, 8]
    assert [c.kind for c in data.columns] == ["numbers", "left out"]
    # https://github.com/pandas-dev/pandas/issues/10647: NA is North America
    data = read(tmp_path, csv({"a": NUMBERS, "target": column(['"NA"', "EU"])}))
    assert set(data.y) == {"NA", "EU"}
    # https://github.com/pandas-dev/pandas/issues/24681: n/a and N/A among words
    data = read(tmp_path, with_column(["<para>", "n/a", "N/A", "test/ok"]))
    assert "15 'n/a' read as missing; 15 'N/A' read as missing" in found(data, "x")[0].remark
    assert (
        read(tmp_path, with_column(["<para>", "n/a"]), reading={"missing": ("-",)}).X["x"].nunique()
        == 2
    )
    # https://github.com/lightgbm-org/LightGBM/issues/6202: units and brackets in names
    data = read(tmp_path, csv({"[bio].[x]": NUMBERS, '"distance, km"': NUMBERS, "target": LABELS}))
    assert data.X.columns.tolist() == ["_bio_._x_", "distance__km"]
    assert [c.name for c in data.columns] == ["[bio].[x]", "distance, km"]
    # https://github.com/dmlc/xgboost/issues/6330: "inf" in a CSV file
    assert (
        "infinite read as missing"
        in found(read(tmp_path, with_column(["0.5", "inf"])), "x")[0].remark
    )
    # https://github.com/pycaret/pycaret/issues/1099: groups that have NA
    groups = read(tmp_path, with_column(["u", "NA", "v"], "g"), groups="g").groups
    assert groups.isna().sum() == 20
    # http://www.kouhan.cn/en/article/00041397: a typographic apostrophe of Windows
    text = with_column(["Korea, Dem. People’s Rep.".join('""'), "other"]).encode("cp1252")
    with pytest.raises(BadInput, match="line 2; use --encoding cp1252"):
        read(tmp_path, text)
    assert (
        "Korea, Dem. People’s Rep."
        in read(tmp_path, text, form={"encoding": "cp1252"}).X["x"].tolist()
    )
