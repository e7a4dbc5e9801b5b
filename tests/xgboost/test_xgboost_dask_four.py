"""XGBoost on four workers. Apart from test_xgboost_dask.py: of two clusters at once the older stands still."""

import pytest

distributed = pytest.importorskip("distributed")
pytest.importorskip("dask.dataframe")

from placing import cluster_of  # noqa: E402
from test_xgboost_dask import (  # noqa: E402
    LOSSES,
    assert_one_machines_model,
    assert_right_where_rows_are_few,
)


@pytest.fixture(scope="module")
def four_workers():
    with cluster_of(4) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_the_model_of_one_machine(four_workers, rows, loss):
    assert_one_machines_model(four_workers, rows, loss, None)


def test_workers_without_rows_or_unequally_full(four_workers, rows):
    assert_right_where_rows_are_few(four_workers, rows, 3)
