"""Early stopping on rows that are not learned from."""

import numpy as np
import pytest

from boostloss.report.training import CHECK_EVERY, EarlyStopping, Rows, Settings


def test_stops_when_no_metric_improves_any_more():
    y = np.array([0, 0, 1, 1])
    stopping = EarlyStopping(Rows(None, y, None, 2), ("roc_auc", "log_loss"), patience=2)
    ranking = np.array([0.1, 0.2, 0.3, 0.4])  # perfect from the first check on
    better = [ranking, ranking + 0.1, ranking + 0.2]  # as log loss sees it
    assert [stopping.should_stop(p) for p in better] == [False] * 3
    assert [stopping.should_stop(ranking) for _ in range(2)] == [False, True]
    assert stopping.best_rounds("roc_auc") == CHECK_EVERY
    assert stopping.best_rounds("log_loss") == 3 * CHECK_EVERY


@pytest.mark.parametrize(
    ("name", "words"),
    [("loss", "the argument losses sets it"), ("max_iter", "the argument rounds sets it"),
     ("scoring", "the argument metric sets it"), ("prior", "HistGradientBoostingClassifier, got"),
     ("desicion", "HistGradientBoostingClassifier, got")],
)  # fmt: skip
def test_parameters_that_scikit_learns_trees_would_not_get(name, words):
    with pytest.raises(ValueError, match=words):
        Settings("hist", "log_loss", 10, 0.3, {name: "ghm"}, 0)
