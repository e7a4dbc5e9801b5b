"""Record gradient norms, crossings and weights in each round of a training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from boostloss.losses import TrainingRun, gradient_norms
from boostloss.losses.validation import SMALLEST, Array, check_integer, check_number, n_classes_of

RECORDING_COST = 8
"""Time per row relative to a score of cross-entropy. A second thread pays for fewer rows."""


@dataclass
class Run:
    """Records of one training run. Arrays have one entry for each recorded round.

    Attributes
    ----------
    rounds : int array of shape (R,)
        Number of trees (of each class) before the gradients were taken; 0 is the start.
    counts : array of shape (R, K, bins)
        Rows of each class in each bin of the gradient norm.
    weights : array of shape (R, K, bins)
        Mean weight of the rows in each bin, including sample weights: slope divided by norm. NaN
        if a bin has no rows.
    hardened, eased : arrays of shape (R, K)
        Share of each class's rows that became hard, or easy, in a round. It is the mean over the
        rounds since the previous record.
    flips : array of shape (R,)
        Share of all rows that crossed, in either direction, in a round. The mean is the same.
    edges : array of shape (bins + 1,)
        Borders of the bins.
    hard : float
        Norm above which a row is hard.

    See Also
    --------
    boostloss.Recorder : Records a run for each training.
    boostloss.plot.flips : Plots the crossings of a run.
    """

    hard: float
    bins: int
    n_classes: int
    _every: int = 1
    _seen: int = 0
    _rounds: list[int] = field(default_factory=list)
    _sums: list[Array] = field(default_factory=list)
    _moved: list[Array] = field(default_factory=list)
    _pending: Array | None = None

    @property
    def edges(self) -> Array:
        """Borders of the bins."""
        return np.linspace(0.0, 1.0, self.bins + 1)

    @property
    def rounds(self) -> Array:
        """Rounds that were recorded."""
        return np.array(self._rounds, dtype=np.intp)

    @property
    def counts(self) -> Array:
        """Number of rows of each class in each bin."""
        return self._table()[..., 0]

    @property
    def weights(self) -> Array:
        """Mean weight of the rows in each bin."""
        table = self._table()
        with np.errstate(invalid="ignore", divide="ignore"):
            weights: Array = table[..., 2] / table[..., 1]
        return weights

    @property
    def hardened(self) -> Array:
        """Share of each class's rows that became hard."""
        return self._shares(0)

    @property
    def eased(self) -> Array:
        """Share of each class's rows that became easy."""
        return self._shares(1)

    @property
    def flips(self) -> Array:
        """Share of all rows that crossed, in either direction, in each round, with shape (R,)."""
        rows = self.counts.sum(axis=(1, 2)) * self._gaps()
        flips: Array = self._crossings().sum(axis=(1, 2)) / np.maximum(rows, 1.0)
        return flips

    def __repr__(self) -> str:
        return f"Run({len(self._rounds)} rounds, {self.n_classes} classes, {self.bins} bins)"

    def _table(self) -> Array:
        shape = (len(self._sums), self.n_classes, self.bins, 3)
        return np.reshape(self._sums, shape)

    def _crossings(self) -> Array:
        return np.reshape(self._moved, (len(self._moved), self.n_classes, 2))

    def _gaps(self) -> Array:
        """Return the number of rounds since the previous record."""
        return np.diff(self.rounds, prepend=-1)

    def _shares(self, direction: int) -> Array:
        rows = self.counts.sum(axis=2) * self._gaps()[:, None]
        shares: Array = self._crossings()[..., direction] / np.maximum(rows, 1.0)
        return shares

    def _add(self, sums: Array, moved: Array, max_rounds: int) -> None:
        """Add the sums (K, bins, 3) and crossings (K, 2) of a round."""
        self._pending = moved if self._pending is None else self._pending + moved
        if self._seen % self._every == 0:
            self._rounds.append(self._seen)
            self._sums.append(sums)
            self._moved.append(self._pending)
            self._pending = None
        self._seen += 1
        if len(self._rounds) > max_rounds:
            self._thin()

    def _thin(self) -> None:
        """Keep every second record. Crossings of dropped records are added to the next one."""
        self._every *= 2
        kept = [i for i, number in enumerate(self._rounds) if number % self._every == 0]
        before = [-1, *kept[:-1]]
        moved = [sum(self._moved[b + 1 : i + 1]) for b, i in zip(before, kept, strict=True)]
        rest = sum(self._moved[kept[-1] + 1 :])
        self._pending = None if isinstance(rest, int) else rest
        self._rounds = [self._rounds[i] for i in kept]
        self._sums = [self._sums[i] for i in kept]
        self._moved = moved  # type: ignore[assignment]


class Recording:
    """What a recorder keeps of each row between the rounds of one training."""

    def __init__(self, run: Run, raw: Array, gradient: Array) -> None:
        n_rows, n_slopes = len(raw), len(raw) if gradient.ndim == 2 else 0
        self.run = run
        # float32 takes half the time and is accurate enough for counting
        is_float32 = raw.dtype == np.float32
        self.scores = None if is_float32 else np.empty_like(raw, np.float32)
        self.norms = np.empty(n_rows, np.float32)
        self.slopes = np.empty(n_slopes, gradient.dtype)
        self.was_hard: Array | None = None

    def sums(self, y: Array, raw: Array, gradient: Array, n_threads: int) -> tuple[Array, Array]:
        """Return sums of rows, norms and slopes (K, bins, 3), and crossings (K, 2)."""
        from boostloss.kernels import histogram as kernels

        run, slopes = self.run, gradient
        if self.scores is not None:
            np.copyto(self.scores, raw)
            raw = self.scores
        gradient_norms(y, raw, n_threads, self.norms)
        if gradient.ndim == 2:
            slopes = self.slopes
            kernels.of_true_class(gradient, y, slopes)
        moved = np.zeros((run.n_classes, 2))
        if self.was_hard is None:
            self.was_hard = (self.norms > run.hard).astype(np.uint8)
        else:
            kernels.count_crossings(self.norms, y, run.hard, self.was_hard, moved)
        counted = kernels.histogram(
            self.norms, y, None, kernels.Grid.of(run.bins, 0.0, run.bins), run.n_classes,
            slopes=slopes, n_threads=n_threads, cost=RECORDING_COST,
        )  # fmt: skip
        cell = np.arange(run.bins + 1)
        counted[..., 1] = (cell * counted[..., 0] + counted[..., 1]) / run.bins
        counted[:, -2] += counted[:, -1]  # norm 1 belongs to the last bin
        return counted[:, :-1], moved


class Recorder:
    r"""Record which rows are hard, and their weights, in each round of a training.

    The gradient norm of a row, 1 minus the probability given to its true class, says how hard the
    row is at the moment. It changes during training [1]_. A recorder counts the norms by class and
    bin, the rows that cross from easy to hard and back, and the mean weight of each bin. Pass it as
    ``recorder`` to :func:`boostloss.objective`, :func:`boostloss.focal_obj` and the like, to
    ``train`` and ``cv`` of :mod:`boostloss.xgboost` and :mod:`boostloss.lightgbm`, or to ``fit`` of
    a classifier.

    Parameters
    ----------
    bins : int >= 1, default=50
        Number of bins of the norm from 0 to 1.
    hard : float in (0, 1), default=0.5
        Norm above which a row is hard. With two classes, 0.5 is a raw score of 0.
    max_rounds : int >= 2, default=1000
        Maximum number of records of a run. Beyond it every second record is dropped, and every
        second (fourth, ...) round is recorded. Crossings are still counted in every round.

    Attributes
    ----------
    runs : list of Run
        One run for each training, in the order of their first rounds. ``cv`` adds one run for each
        fold. Clear the list to free the memory. A pickled objective does not contain its recorder.

    See Also
    --------
    boostloss.plot.norms_over_rounds, boostloss.plot.flips : Plots of a run.

    References
    ----------
    .. [1] Li, Liu, Wang, "Gradient Harmonized Single-stage Detector", AAAI 2019, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from boostloss import Recorder, focal_obj
    >>> recorder = Recorder(bins=2)
    >>> y, raw = np.array([0.0, 0.0, 1.0, 1.0]), np.array([-1.0, -1.0, -1.0, 1.0])
    >>> gradient, hessian = focal_obj(gamma=2, recorder=recorder)(y, raw)
    >>> print(recorder.run.counts[0])  # one of the two positives is hard
    [[2. 0.]
     [1. 1.]]
    """

    def __init__(self, bins: int = 50, hard: float = 0.5, max_rounds: int = 1000) -> None:
        self.bins = check_integer("bins", bins, 1)
        self.hard = check_number("hard", hard, SMALLEST, 1.0, open_end=True)
        self.max_rounds = check_integer("max_rounds", max_rounds, 2)
        self.runs: list[Run] = []

    @property
    def run(self) -> Run:
        """The newest run.

        Raises
        ------
        ValueError
            If nothing was recorded.
        """
        if not self.runs:
            raise ValueError("recorder has no run: give it as recorder= and train first")
        return self.runs[-1]

    def record(
        self, recording: Recording | None, training: TrainingRun, raw: Array, gradient: Array
    ) -> Recording:
        """Record one round of a training.

        Parameters
        ----------
        recording : Recording or None
            What the last round returned; None in the first.
        training : TrainingRun
            Labels and sample weights.
        raw : array of shape (n,) or (n, K)
            Raw scores at the start of the round.
        gradient : array of raw's shape
            Gradient of this round.

        Returns
        -------
        Recording
            What the next round passes.
        """
        y = training.y
        assert y is not None
        if recording is None or recording.norms.shape != y.shape:
            run = (
                Run(self.hard, self.bins, n_classes_of(raw)) if recording is None else recording.run
            )
            recording = Recording(run, raw, gradient)
        if recording.run not in self.runs:
            self.runs.append(recording.run)
        sums, moved = recording.sums(y, raw, gradient, training.n_threads)
        recording.run._add(sums, moved, self.max_rounds)
        return recording

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorder:
        return self  # LightGBM trains with a deep copy of the objective

    def __repr__(self) -> str:
        return f"Recorder({len(self.runs)} runs)"


def check_recorder(recorder: Any) -> Recorder | None:
    """Return the argument if it is a recorder or None."""
    if recorder is not None and not isinstance(recorder, Recorder):
        raise TypeError(f"recorder must be a boostloss.Recorder or None, got {recorder!r}")
    return recorder
