"""The pictures show what the losses and the recorder say; axes are used where given."""

import matplotlib
import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import average_precision_score, precision_recall_curve

from boostloss import CrossEntropy, FocalLoss, GHMLoss, Recorder, plot
from boostloss.calibration import calibration_groups
from boostloss.decide import cost_matrix, observed_cost
from boostloss.losses import TrainingRun

matplotlib.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.1).astype(int)
    return y, rng.normal(-2, 1, 2000) + 2 * y


@pytest.fixture(scope="module")
def recorder(data):
    recorder, recording = Recorder(bins=10), None
    y, raw = data
    run = TrainingRun(y=y)
    for k in range(6):
        gradient = expit(raw * k / 3) - y
        recording = recorder.record(recording, run, raw * k / 3, gradient)
    return recorder


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_loss_curves_are_the_losses():
    given = [FocalLoss(gamma) for gamma in (0, 2)]
    m = np.linspace(-6, 6, 201)
    for show in ("value", "gradient", "hessian", "weight"):
        drawn = lines(plot.loss_curves(given, show=show))
        q = expit(-m)
        u, w = np.logaddexp(0, -m), q**2 + 2 * (1 - q) * q * np.logaddexp(0, -m)
        want = {"value": q**2 * u, "gradient": w * q, "hessian": w * q * (1 - q), "weight": w}
        np.testing.assert_allclose(drawn["focal γ=2"][:, 0], m)
        np.testing.assert_allclose(drawn["focal γ=2"][:, 1], want[show], rtol=1e-5)
        assert set(drawn) >= {"focal γ=0", "focal γ=2"}


def test_weights_that_depend_on_data_need_data(data):
    for loss in (GHMLoss(), CrossEntropy(class_weight="balanced")):
        with pytest.raises(ValueError, match="data must be given"):
            plot.loss_curves(loss)
        plot.loss_curves(loss, data=data)
    with pytest.raises(ValueError, match="show must be"):
        plot.loss_curves(FocalLoss(), show="slope")


@pytest.mark.parametrize("label", [0, 1])
def test_weight_of_norm(data, label):
    y, raw = data
    given = {
        "GHM": GHMLoss(),
        "published": GHMLoss(density="bins"),
        "balanced": CrossEntropy(class_weight="balanced"),
    }
    drawn = lines(plot.weight_of_norm(given, y, raw, label=label))
    for name in ("GHM", "published"):
        q, weight = drawn[name].T
        want = given[name].weights(y, raw)(q, np.full(len(q), label))
        np.testing.assert_allclose(weight, want, rtol=1e-5)
    np.testing.assert_allclose(drawn["balanced"][:, 1], 2000 / (2 * (y == label).sum()), rtol=1e-5)
    with pytest.raises(ValueError, match="label must be"):
        plot.weight_of_norm(given, y, raw, label=2)


def test_norms_over_rounds(recorder):
    axes = plot.norms_over_rounds(recorder, label=1)
    counts = recorder.run.counts[:, 1]
    drawn = axes.collections[0].get_array()
    np.testing.assert_allclose(
        drawn.filled(0).reshape(10, 6), (counts / counts.sum(axis=1, keepdims=True)).T
    )
    with pytest.raises(ValueError, match="label must be 0 to 1"):
        plot.norms_over_rounds(recorder, label=2)
    with pytest.raises(TypeError, match="runs must be"):
        plot.norms_over_rounds([1, 2])


def test_flips(recorder):
    drawn = lines(plot.flips({"a": recorder, "b": recorder.run}))
    np.testing.assert_array_equal(drawn["a"][:, 1], recorder.run.flips[1:])
    np.testing.assert_array_equal(drawn["a"], drawn["b"])
    by_rate = lines(plot.flips_by_learning_rate({0.3: recorder, 0.1: recorder}))
    assert by_rate["mean round"][:, 0].tolist() == [0.1, 0.3]
    assert by_rate["worst round"][0, 1] == recorder.run.flips[1:].max()


def test_one_round_has_no_crossings(data):
    y, raw = data
    recorder = Recorder()
    recorder.record(None, TrainingRun(y=y), raw, expit(raw) - y)
    with pytest.raises(ValueError, match="at least two recorded rounds"):
        plot.flips_by_learning_rate({0.1: recorder})


def test_precision_recall(data):
    y, raw = data
    drawn = lines(plot.precision_recall(y, {"raw": raw, "flat": np.zeros(len(y))}))
    name = f"raw ({average_precision_score(y, raw):.3f})"
    precision, recall, _ = precision_recall_curve(y, raw)
    np.testing.assert_array_equal(drawn[name], np.column_stack([recall, precision]))


def test_reliability_lies_on_the_diagonal_where_it_should():
    rng = np.random.default_rng(2)
    p = expit(rng.normal(-3, 2, 200_000))
    y = (rng.random(200_000) < p).astype(int)
    drawn = lines(plot.reliability(y, {"true": p, "halved": p / 2}))
    for name, factor in (("true", 1), ("halved", 2)):
        predicted, observed = drawn[name][drawn[name][:, 0] > 0.003].T  # enough positives
        np.testing.assert_allclose(factor * predicted, observed, rtol=0.2)
    assert 8 <= len(drawn["true"]) <= 12


@pytest.mark.parametrize("share", [0.03, 0.0025])
def test_reliability_shows_ends_without_positives(share):
    rng = np.random.default_rng(0)
    p = np.sort(rng.beta(0.3, 0.3 / share, 20_000))
    y = (rng.random(len(p)) < p).astype(int)
    y[:8000] = 0
    found = calibration_groups(y, p)
    axes = plot.reliability(y, {"one": p})
    assert (found.positives == 0).sum() + len(lines(axes)["one"]) == len(found.rows)
    assert [text.get_text() for text in axes.texts] == [str(k) for k in found.positives]
    ends = [bar.get_segments() for bar in axes.collections if hasattr(bar, "get_segments")]
    assert sum(map(len, ends)) == len(found.rows)  # an interval each
    assert axes.get_xlim()[0] < found.predicted.min()


def test_precision_of_rare_classes_is_logarithmic():
    rng = np.random.default_rng(0)
    y = (rng.random(50_000) < 0.002).astype(int)
    axes = plot.precision_recall(y, rng.random(50_000) + y)
    assert axes.get_yscale() == "log"
    assert 0 < axes.get_ylim()[0] < y.mean()


def test_alerts_and_right_ones_over_the_threshold(data):
    y, raw = data
    p = expit(raw)
    drawn = lines(plot.alerts_over_threshold(y, {"a": p}))
    for threshold, alerts in drawn["a alerts"][::200]:
        assert alerts == pytest.approx((p >= threshold).sum())
    for threshold, right in drawn["a right"][::200]:
        assert right == y[p >= threshold].sum()


@pytest.mark.parametrize("by_row", [False, True])
def test_cost_over_the_threshold(data, by_row):
    y, raw = data
    p = expit(raw)
    missed = np.linspace(5, 15, len(y)) if by_row else 10.0
    costs = cost_matrix(false_negative=missed, false_positive=1)
    drawn = lines(plot.cost_over_threshold(y, {"a": p}, costs))
    curve = next(line for name, line in drawn.items() if name.startswith("a (lowest"))
    for threshold, cost in curve[::100]:
        decision = (p >= threshold).astype(int)
        assert cost == pytest.approx(observed_cost(y, decision, costs).mean())
    assert drawn["always class 0"][0, 1] == pytest.approx(np.mean(missed * y))


def test_equal_probabilities_raise_alerts_together():
    y, p = np.array([1, 0, 0, 1, 0, 0]), np.array([0.5, 0.5, 0.5, 0.2, 0.2, 0.1])
    drawn = lines(plot.alerts_over_threshold(y, p))
    np.testing.assert_array_equal(drawn["alerts"], [[0.5, 3], [0.2, 5], [0.1, 6]])
    np.testing.assert_array_equal(drawn["right"], [[0.5, 1], [0.2, 2], [0.1, 2]])
    drawn = lines(plot.cost_over_threshold(y, p, cost_matrix(false_negative=3, false_positive=1)))
    curve = next(line for name, line in drawn.items() if name.startswith("(lowest 0.5 at 0.2)"))
    np.testing.assert_allclose(curve, [[0.5, 5 / 6], [0.2, 3 / 6], [0.1, 4 / 6]])


@pytest.mark.parametrize("separated", [0.0, 6.0])
def test_costs_of_rare_positives_are_told_apart(separated):
    """Calling every row costs 5.4 times what calling none costs, and 100 times the best."""
    rng = np.random.default_rng(0)
    y = (rng.random(40_000) < 0.002).astype(int)
    raw = rng.normal(size=len(y)) - 6 + separated * y
    axes = plot.cost_over_threshold(
        y, expit(raw), cost_matrix(false_negative=100, false_positive=1)
    )
    drawn = lines(axes)
    (low, high), never = axes.get_ylim(), drawn["always class 0"][0, 1]
    lowest = min(line[:, 1].min() for name, line in drawn.items() if "lowest" in name)
    assert low < min(lowest, never)
    assert max(lowest, never) < high < 5 * never
    assert axes.get_yscale() == ("log" if separated else "linear")
    height = axes.transData.transform([(1, lowest), (1, never)])[:, 1]
    shown = np.diff(axes.transAxes.inverted().transform(np.column_stack([[0, 0], height]))[:, 1])
    assert shown > 0.4 or not separated


@pytest.mark.parametrize("draw", [plot.precision_recall, plot.reliability])
def test_curves_say_what_is_wrong(draw):
    with pytest.raises(ValueError, match=r"probabilities must be 3 finite numbers.* for a"):
        draw([0, 1, 1], {"a": [0.1, 0.2]})
    with pytest.raises(ValueError, match="y must"):
        draw([1, 1, 1], [0.1, 0.2, 0.3])


def test_axes_given_are_used(recorder, data):
    for draw in (
        lambda ax: plot.loss_curves(FocalLoss(), ax=ax),
        lambda ax: plot.weight_of_norm(FocalLoss(), *data, ax=ax),
        lambda ax: plot.flips(recorder, ax=ax),
        lambda ax: plot.norms_over_rounds(recorder, ax=ax),
    ):
        axes = plt.subplots()[1]
        assert draw(axes) is axes
        assert axes.has_data()
