"""Rows of each fold: groups apart, time in order, few groups, rows without a group."""

import numpy as np
import pandas as pd
import pytest

from boostloss.report.folds import group_codes, make_folds

y = (np.random.default_rng(0).random(600) < 0.2).astype(int)


def of(groups, split):
    return [set(groups[part].tolist()) for part in split]


def test_groups_stay_apart_and_time_in_order(claims):
    codes = (claims["target"] == "fraud").astype(int).to_numpy()
    patients = claims["patient"].to_numpy()
    found = make_folds(codes, 2, 4, patients, False, 0)
    assert found.notes == []
    for split in found.splits:
        learn, stop, test = of(patients, split)
        assert learn.isdisjoint(stop | test)
        assert stop.isdisjoint(test)
    for learn, stop, test in make_folds(codes, 2, 4, None, True, 0).splits:
        assert learn.max() < stop.min() <= stop.max() < test.min()


@pytest.mark.parametrize(
    ("n_groups", "folds"), [(g, f) for g in range(2, 7) for f in range(2, g + 1)]
)
def test_two_to_six_groups(n_groups, folds):
    groups = np.arange(600) % n_groups
    found = make_folds(y, 2, folds, groups, False, 0)
    alone = 0
    for split in found.splits:
        learn, stop, test = of(groups, split)
        assert test
        assert test.isdisjoint(learn | stop)
        alone += len(learn | stop) == 1
        # a single group to train on cannot be parted, and the run says so
        assert learn.isdisjoint(stop) == (len(learn | stop) > 1)
    assert [note.split(" folds")[0] for note in found.notes] == (
        [f"in {alone} of {folds}"] if alone else []
    )
    with pytest.raises(ValueError, match=f"number of groups, {n_groups}"):
        make_folds(y, 2, n_groups + 1, groups, False, 0)


@pytest.mark.parametrize(
    "missing", [None, float("nan"), pd.NA, pd.NaT], ids=["None", "NaN", "NA", "NaT"]
)
def test_rows_without_a_group_are_groups_of_their_own(missing):
    groups = np.array([missing if i % 50 == 0 else f"g{i // 20}" for i in range(600)], object)
    for given in (groups, pd.Series(groups), groups.tolist()):
        codes, notes = group_codes(given, 600)
        assert notes == ["12 rows without a group are each a separate group"]
        assert len(np.unique(codes)) == 30 + 12
        assert codes[0] != codes[50]
    assert make_folds(y, 2, 3, groups, False, 0).notes == notes


def test_as_many_folds_as_groups_of_unequal_size():
    # scikit-learn #33085 and #34828: StratifiedGroupKFold may leave a fold empty
    rng = np.random.default_rng(0)
    for seed in range(20):
        sizes = rng.integers(20, 200, 5)
        groups = np.repeat(np.arange(5), sizes)
        codes = (rng.random(len(groups)) < 0.3).astype(int)
        found = make_folds(codes, 2, 5, groups, False, seed)
        assert sorted(set(groups[split.test].tolist()).pop() for split in found.splits) == [
            *range(5)
        ]
