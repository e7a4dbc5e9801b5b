"""What a data file may contain, and what is refused."""

import io
import re

import numpy as np
import pandas as pd
import pytest

from boostloss.report import table
from boostloss.report.columns import Reading
from boostloss.report.source import Format


def test_times_are_no_features(claims, tmp_path):
    path = tmp_path / "data.parquet"
    claims.assign(when=pd.date_range("2020", periods=900)).to_parquet(path)
    with pytest.raises(table.BadInput, match="'when' contains times"):
        table.read(path, "target")
    assert table.read(path, "target", time="when").X.shape[1] == 9


def test_dates_are_ordered_as_dates_or_refused(claims, tmp_path):
    path = tmp_path / "data.csv"
    days = pd.to_datetime("2020-01-01") + pd.to_timedelta(claims["day"], unit="D")
    claims.assign(day=days.dt.strftime("%Y-%m-%d")).to_csv(path, index=False)
    assert table.read(path, "target", time="day", drop=["patient"]).X["a"].tolist() == (
        pytest.approx(claims.sort_values("day")["a"].tolist())
    )


DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y %H:%M:%S", "%d.%m.%Y %H:%M"]


@pytest.mark.parametrize("form", DATES)
@pytest.mark.parametrize("padded", [True, False])
def test_time_order_of_dates(form, padded, claims, tmp_path):
    path = tmp_path / "data.csv"
    days = pd.to_datetime("2020-01-01") + pd.to_timedelta(claims["day"], unit="D")
    text = days.dt.strftime(form)
    if not padded and form[1] != "Y":
        text = text.str.replace(r"\b0(\d)([-/.])", r"\1\2", regex=True)
    claims.assign(day=text).to_csv(path, index=False)
    data = table.read(path, "target", time="day", drop=["patient"])
    assert data.X["a"].tolist() == pytest.approx(claims.sort_values("day")["a"].tolist())
    assert len(data.notes) == (form[1] != "Y")
    if data.notes:
        first = {"d": "day", "m": "month"}[form[1]]
        assert f"day: the {first} comes first in dates such as" in data.notes[0]


@pytest.mark.parametrize(
    ("dates", "words"),
    [
        (["01/02/2020", "03/04/2020"], "'01/02/2020', whose day and month are not certain: write"),
        (["13/02/2020", "03/14/2020"], "'13/02/2020', whose day and month are not certain: write"),
        (["31/02/2020", "01/02/2020"], "'31/02/2020' on line 2: write dates as 2024-01-31"),
        (["13/02/2020", "unknown"], "'unknown' on line 3: write dates as 2024-01-31"),
        (["13/02/20", "14/02/20"], "'13/02/20' on line 2: write dates as 2024-01-31"),
        (["2020-01-01", "soon"], "'soon' on line 3: write dates as 2024-01-31"),
        (["2020-01-01", ""], "must have a time in every row, line 3 has none"),
    ],
)
def test_time_order_that_is_not_certain(dates, words, claims, tmp_path):
    path = tmp_path / "data.csv"
    claims.assign(day=dates * 450).to_csv(path, index=False)
    with pytest.raises(table.BadInput, match=words):
        table.read(path, "target", time="day")


INDEX = ["shuffled", "sampled", "saved twice", "strings", "beside its name"]


def with_index(frame, kind):
    """A file as pandas writes it with an index that does not number the rows."""
    frame = frame.sample(frac=0.5 if kind == "sampled" else 1, random_state=0)
    text = frame.to_csv()
    if kind == "saved twice":
        text = pd.read_csv(io.StringIO(text)).sample(frac=1, random_state=1).to_csv()
    if kind == "strings":
        text = frame.set_axis([f"row {i}" for i in frame.index], axis=0).to_csv()
    if kind == "beside its name":
        text = text.replace(",a,", ",Unnamed: 0,", 1)
    return text


@pytest.mark.parametrize("kind", INDEX)
def test_an_index_without_a_name_can_be_left_out_or_used(kind, claims, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(with_index(claims[["a", "b", "target"]], kind))
    twice = kind in ("saved twice", "beside its name")
    unnamed = ["Unnamed: 0.1", "Unnamed: 0"] if twice else ["Unnamed: 0"]
    assert [n for n in pd.read_csv(path).columns if n.startswith("Unnamed")] == unnamed
    with pytest.raises(table.BadInput, match=f"column 1 has none.*--drop '{unnamed[0]}' to leave"):
        table.read(path, "target")
    data = table.read(path, "target", drop=unnamed)
    assert data.X.columns.tolist() == (["b"] if kind == "beside its name" else ["a", "b"])
    if kind != "strings":
        kept = table.read(path, "target", reading=Reading(numbers=frozenset(unnamed)))
        assert [column.name for column in kept.columns][: len(unnamed)] == unnamed
    grouped = table.read(path, "target", groups=unnamed[0], drop=unnamed[1:])
    assert grouped.groups.nunique() > 100


def test_an_index_that_numbers_the_rows_may_be_dropped_by_name(claims, tmp_path):
    path = tmp_path / "data.csv"
    claims[["a", "target"]].to_csv(path)
    for drop in ([], ["Unnamed: 0"]):
        assert table.read(path, "target", drop=drop).X.columns.tolist() == ["a"]


MONEY = [f"{v:,.2f}".translate(str.maketrans(",.", ".,")) for v in np.linspace(-2000, 3000, 900)]
STRINGS = {
    # strings, options: first value or words of the message
    "found": (MONEY, {}, -2000),
    "given": (MONEY, {"form": {"decimal": ","}, "numbers": True}, -2000),
    "not certain": (["1,234", "2,345"] * 450, {}, "may be thousands or have a decimal comma: use --decimal"),
    "not certain, given": (["1,234", "2,345"] * 450, {"form": {"decimal": ","}}, 1.234),
    "not certain, thousands given": (["1,234", "2,345"] * 450, {"form": {"decimal": "."}}, 1234),
    "wrong mark": (MONEY, {"form": {"decimal": "."}}, "has decimal commas, such as '-2.000,00': use --decimal ,"),
    "words": (["low", "high"] * 450, {"numbers": True}, "because of --numbers, got other strings in 900 of 900 rows"),
    "mostly words": (["1", "low", "high"] * 300, {"numbers": True}, "got other strings in 600 of 900 rows"),
    "some words": (["1", "2", "low"] * 300, {"numbers": True}, 1),
    "half words": (["1", "low"] * 450, {"numbers": True}, 1),
    "dates and words": (["2024-01-31", "soon"] * 450, {"numbers": True}, "got other strings in 900 of 900"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("kind", STRINGS)
def test_numbers_in_strings(kind, suffix, claims, tmp_path):
    texts, options, expected = STRINGS[kind]
    path = tmp_path / f"data.{suffix}"
    frame = claims[["target"]].assign(x=texts)
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path, index=False, sep=";")
    keywords = {
        "form": Format(**options.get("form", {})),
        "reading": Reading(numbers=frozenset({"x"} if "numbers" in options else ())),
    }
    if isinstance(expected, str):
        with pytest.raises(table.BadInput, match=re.escape(expected)):
            table.read(path, "target", **keywords)
        return
    data = table.read(path, "target", **keywords)
    assert data.X["x"].dtype == float
    assert data.X["x"][0] == expected


def test_decimal_commas_in_python_are_named(claims):
    with pytest.raises(ValueError, match=r"'x' has decimal commas, such as .*: convert it to numbers"):
        table.from_data(claims[["a"]].assign(x=MONEY), claims["target"])
