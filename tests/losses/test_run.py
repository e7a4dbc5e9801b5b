"""What one training remembers between rounds, where it writes, and workers and threads."""

import numpy as np
import pytest
from strategies import random_rows

from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss
from boostloss.losses import TrainingRun, Workers

Y, RAW = np.array([0, 0, 0, 1]), np.array([-1.0, 0.5, 2.0, -0.5])
LOSSES = [CrossEntropy(class_weight="balanced"), FocalLoss(), GHMLoss(), GHMLoss(density="bins"),
          GHMLoss(density="window"), AsymmetricLoss()]  # fmt: skip


def scores(kind):
    return RAW if kind == "binary" else np.asarray(np.outer(RAW, [1, 2]), order=kind)


def test_loss_depends_on_all_scores_if_a_rows_weight_depends_on_others():
    y, raw = random_rows(2)
    other = np.full(400, raw[0])
    for loss in (CrossEntropy(class_weight="balanced"), FocalLoss(), AsymmetricLoss(), GHMLoss(),
                 GHMLoss(density="bins")):  # fmt: skip
        first, second = (loss.gradient_hessian(y, scores)[0][0] for scores in (raw, other))
        assert loss.depends_on_all_scores == (first != second)


@pytest.mark.parametrize(
    ("loss", "n_dimensions", "dtype"),
    [
        (FocalLoss(), 1, np.float32),
        (FocalLoss(), 2, np.float32),
        (FocalLoss(hessian="exact"), 1, np.float64),
        (GHMLoss(), 2, np.float32),
        (CrossEntropy(), 1, np.float32),
        (CrossEntropy(), 2, np.float64),
        (AsymmetricLoss(), 1, np.float64),
        (AsymmetricLoss(), 2, np.float64),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_float32_scores_are_computed_in_float32_where_that_is_enough(
    loss, n_dimensions, dtype, weighted
):
    run = TrainingRun()
    raw = np.zeros(2 if n_dimensions == 1 else (2, 2), np.float32)
    loss.gradient_hessian([0, 1], raw, np.ones(2) if weighted else None, run=run)
    if n_dimensions == 2:
        found = {array.dtype for array in run.class_numbers}
    else:
        found = {np.asarray(number).dtype for weight, limit, shape in run.class_numbers
                 for number in (weight, limit, *shape)}  # fmt: skip
    assert found == {np.dtype(dtype)}
    assert run.sample_weight is None or run.sample_weight.dtype == dtype


def test_loops_look_classes_up_only_where_they_differ():
    same, several = FocalLoss(), FocalLoss(gamma=[1, 1, 2])
    for loss, weight, length in ((same, np.ones(3), 1), (same, np.array([1, 1, 2.0]), 3),
                                 (several, np.ones(3), 3), (same, np.ones(2), 1)):  # fmt: skip
        weight, limit, shape = loss._class_numbers(weight, np.float32, True)
        assert len(weight) == len(limit) == shape.shape[1] == length
        assert shape.flags.c_contiguous
    # beyond this margin w q = q**(1 + gamma) is less than exp(-80)
    np.testing.assert_allclose(several._class_numbers(np.ones(3), float, True)[1], [40, 40, 80 / 3])
    binary = FocalLoss(gamma=[1, 3])._class_numbers(np.array([2.0, 5.0]), float, False)
    assert binary == ((2.0, 40.0, (1.0,)), (5.0, 20.0, (3.0,)))
    asymmetric = AsymmetricLoss(3, 1, 0.1)._class_numbers(np.ones(2), float, False)
    assert asymmetric == ((1.0, 20.0, (3.0, 0.1)), (1.0, 40.0, (1.0, 0.0)))


# -- what is read when ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binary", "C", "F"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_rounds_of_a_run_are_those_of_single_calls(loss, kind):
    run, weight, y = TrainingRun(), np.array([1.0, 2.0, 0.5, 3.0]), Y.astype(np.float32)
    for k in range(4):
        raw = scores(kind) * (k - 1.5)
        for got, want in zip(loss.gradient_hessian(y, raw, weight, run=run),
                             loss.gradient_hessian(y, raw, weight), strict=True):  # fmt: skip
            np.testing.assert_array_equal(got, want)
    if kind != "binary":  # the other memory order has other results' layout
        turned = np.asarray(raw, order="C" if kind == "F" else "F")
        gradient, _ = loss.gradient_hessian(y, turned, weight, run=run)
        assert gradient.flags.c_contiguous == turned.flags.c_contiguous


def test_labels_weights_and_parameters_are_read_when_the_run_starts():
    y, weight, loss = Y.astype(np.float32), np.ones(4), FocalLoss(2.0)
    run = TrainingRun()
    first = loss.gradient_hessian(y, RAW, weight, run=run)
    loss.set_params(gamma=5.0)
    again = loss.gradient_hessian(y, RAW, weight, run=run)
    np.testing.assert_array_equal(again, first)
    # XGBoost's classifier copies them in every round
    copies = loss.gradient_hessian(y.copy(), RAW, weight.copy(), run=run)
    np.testing.assert_array_equal(copies, first)
    # other arrays are read anew, parameters with them
    other = loss.gradient_hessian(1 - y, RAW, weight, run=run)
    np.testing.assert_array_equal(other, FocalLoss(5.0).gradient_hessian(1 - y, RAW, weight))


def test_other_labels_weights_or_shapes_are_read_within_a_run():
    """A run may go on with other rows: of a data set that changed, or after a dropped one."""
    loss, run = FocalLoss(), TrainingRun()
    calls = [
        (Y, RAW, None),
        (1 - Y, RAW, None),
        (1 - Y, RAW, np.arange(4.0)),
        (Y[:3], RAW[:3], None),
        (Y, RAW.astype(np.float32), np.ones(4)),
        (Y, np.outer(RAW, [1, 2]), np.ones(4)),
        (Y, RAW, None),
    ]
    for call in calls:
        for got, want in zip(
            loss.gradient_hessian(*call, run=run), loss.gradient_hessian(*call), strict=True
        ):
            np.testing.assert_array_equal(got, want)
            assert got.shape == want.shape


def test_lists_are_read_in_every_round():
    """Two lists may be equal and yet other objects: nothing is taken for the same that is not."""
    loss, run = FocalLoss(), TrainingRun()
    for y in ([0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 1]):
        got = loss.gradient_hessian(y, RAW, run=run)
        np.testing.assert_array_equal(got, loss.gradient_hessian(y, RAW))


def test_class_weights_are_counted_in_the_first_round():
    loss, run = CrossEntropy(class_weight="balanced"), TrainingRun()
    first = loss.gradient_hessian(Y, RAW, run=run)
    np.testing.assert_allclose(run.class_weight, [4 / 6, 2])
    # the same weights for another part of the rows, as a bagged round has it
    part = loss.gradient_hessian(Y[1:], RAW[1:], run=run)
    np.testing.assert_array_equal(part[0], first[0][1:])


def test_what_was_refused_is_not_remembered_as_good():
    loss, run, raw = FocalLoss(), TrainingRun(), RAW.copy()
    loss.gradient_hessian(Y, RAW, run=run)
    raw[2] = np.nan
    for _ in range(2):
        with pytest.raises(ValueError, match="raw must be finite"):
            loss.gradient_hessian(Y, raw, run=run)
    with pytest.raises(ValueError, match="y must have one label for each"):
        loss.gradient_hessian(Y[:2], RAW, run=run)
    wrong = Y + 0.5
    for _ in range(2):
        with pytest.raises(ValueError, match="y must contain 0 or 1"):
            loss.gradient_hessian(wrong, RAW, run=run)
    np.testing.assert_array_equal(
        loss.gradient_hessian(Y, RAW, run=run), loss.gradient_hessian(Y, RAW)
    )


def test_only_ghm_remembers_a_density_and_only_with_momentum_it_matters():
    y, raw = random_rows(2)
    for loss, moves in ((GHMLoss(momentum=0.5), True), (GHMLoss(), False), (FocalLoss(), False)):
        run = TrainingRun()
        loss.gradient_hessian(y, raw, run=run)
        assert (run.density_mass is not None) == loss.depends_on_all_scores
        second = loss.gradient_hessian(y, raw / 2, run=run)[0]
        assert (second != loss.gradient_hessian(y, raw / 2)[0]).any() == moves


# -- where results are written ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binary", "C", "F"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize(
    "given", [("gradient_out",), ("hessian_out",), ("gradient_out", "hessian_out")]
)
def test_results_are_written_where_it_is_asked_for(loss, kind, given):
    raw = scores(kind)
    want = loss.gradient_hessian(Y, raw)
    out = {name: np.full_like(raw, np.nan, dtype=np.float32) for name in given}
    got = loss.gradient_hessian(Y, raw, **out)
    for name, result, exact in zip(("gradient_out", "hessian_out"), got, want, strict=True):
        assert (result is out.get(name)) == (name in given)
        np.testing.assert_array_equal(result, exact)
        assert result.flags.c_contiguous == raw.flags.c_contiguous


@pytest.mark.parametrize("kind", ["binary", "C", "F"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_what_was_handed_out_is_never_written_again(loss, kind):
    """Neither held arrays nor a sum over rounds change with later rounds."""
    run, raw, total, want, held = TrainingRun(), scores(kind), 0.0, 0.0, []
    for k in range(5):
        gradient, hessian = loss.gradient_hessian(Y, raw * k, run=run)
        total = total + gradient
        want = want + loss.gradient_hessian(Y, raw * k)[0]
        held += [
            (gradient, gradient.copy()),
            (hessian, hessian.copy()),
            (gradient.T, gradient.T.copy()),
        ]
    for array, copy in held:
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(total, want)
    arrays = [array for array, _ in held[::3] + held[1::3]]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_inputs_may_be_the_outputs_of_another_round():
    """The caller's own arrays are only read, even where they look like results."""
    raw = RAW.astype(np.float32)
    gradient, hessian = FocalLoss().gradient_hessian(Y, raw)
    before = gradient.copy()
    FocalLoss().gradient_hessian(Y, gradient, hessian, run=TrainingRun())
    np.testing.assert_array_equal(gradient, before)


# -- workers and threads ---------------------------------------------------------------------


class Apart(Workers):
    """One of several workers; the others hold nothing."""

    alone = False


@pytest.mark.parametrize("loss", [FocalLoss(), GHMLoss(), GHMLoss(density="bins"), GHMLoss(density="window"),
                                  AsymmetricLoss()])  # fmt: skip
@pytest.mark.parametrize("raw", [RAW, np.outer(RAW, [1, 2])], ids=["binary", "softmax"])
def test_one_of_several_workers_may_hold_no_weight(loss, raw):
    for array in loss.gradient_hessian(Y, raw, np.zeros(4), run=TrainingRun(Apart())):
        assert not array.any()
    assert not loss.value(Y, raw, np.zeros(4), workers=Apart()).any()
    for array in loss.gradient_hessian(Y[:0], raw[:0], run=TrainingRun(Apart())):
        assert array.shape == raw[:0].shape
    with pytest.raises(ValueError, match="sample_weight must not be all zero"):
        loss.gradient_hessian(Y, raw, np.zeros(4))


class TwoHalves(Workers):
    """This worker holds half of the rows; the other one sends what is summed here."""

    alone = False

    def __init__(self, others):
        self.others = others

    def sum(self, array):
        return array + self.others.pop(0)


@pytest.mark.parametrize("loss", [CrossEntropy(class_weight="balanced"), GHMLoss(), GHMLoss(density="bins")],
                         ids=repr)  # fmt: skip
def test_sums_over_workers_are_those_of_all_rows(loss):
    y, raw = random_rows(2)

    class Sent(Workers):
        alone = False
        sums = ()

        def sum(self, array):
            self.sums = (*self.sums, array)
            return array

    sent = Sent()
    loss.gradient_hessian(y[200:], raw[200:], run=TrainingRun(sent))
    run = TrainingRun(TwoHalves(list(sent.sums)))
    got = loss.gradient_hessian(y[:200], raw[:200], run=run)
    want = loss.gradient_hessian(y, raw)
    for part, whole in zip(got, want, strict=True):
        np.testing.assert_allclose(part, whole[:200], rtol=1e-6)


def test_a_bad_number_on_one_worker_is_seen_on_all():
    class Other(Workers):
        alone = False

        def any(self, flag):
            return True

        def together(self, check, *arguments, **keywords):
            raise ValueError("raw must be finite, got NaN or infinity (on worker 1 of 2)")

    for loss in (FocalLoss(), GHMLoss()):
        with pytest.raises(ValueError, match="on worker 1 of 2"):
            loss.gradient_hessian(Y, RAW, run=TrainingRun(Other()))


def test_bad_number_of_threads_is_named():
    for wrong in (0, -1, 1.5, "2", None, True):
        with pytest.raises((ValueError, TypeError), match="n_threads"):
            TrainingRun(n_threads=wrong)
    assert TrainingRun().n_threads == 1
