"""What a data file may contain, and what is refused."""

import pandas as pd
import pytest

from boostloss.report import table


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
    claims.assign(day=days.dt.strftime("%d/%m/%Y")).to_csv(path, index=False)
    with pytest.raises(table.BadInput, match="dates such as 2024-01-31"):
        table.read(path, "target", time="day")
