"""Adjust probabilities to a population with class shares that differ from the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from boostloss.losses.validation import Array, by_codes, check_integer, check_number, with_labels

__all__ = ["add_unfound", "estimate_prior", "shift_prior"]

SUM_TOLERANCE = 1e-4
"""Largest allowed difference between 1 and the sum of shares or of a row's probabilities."""


def shift_prior(probability: ArrayLike, old: ArrayLike, new: ArrayLike) -> Array:
    r"""Correct probabilities for a population with other class shares.

    By Bayes' rule, with the class shares :math:`\pi_k` of the old population and :math:`\pi'_k` of
    the new one,

    .. math::
        P_\text{new}(k \mid x) \propto P_\text{old}(k \mid x)\,\frac{\pi'_k}{\pi_k}.

    This is exact if P(x | k) is the same in both populations, for example after rows of one class
    were dropped at random.

    Parameters
    ----------
    probability : array of shape (n,) or (n, K)
        Probability of the positive class, or of each class, in the old population.
    old, new : float or array of shape (K,)
        Class shares in the training rows, and where the probabilities are used. A
        float is the share of the positive class (class 1 of two).

    Returns
    -------
    array of the shape of ``probability``
        The probabilities in the new population.

    Raises
    ------
    ValueError
        If probabilities are outside [0, 1], or shares are not above 0 or do not add up to 1.

    See Also
    --------
    estimate_prior : Estimates the new shares from rows without labels.
    add_unfound : Corrects for positives that were never found.

    Examples
    --------
    A model was trained after 90% of the negatives had been dropped. 1% of all rows are positive.

    >>> from boostloss.decide import shift_prior
    >>> print(shift_prior([0.5, 0.9], old=0.01 / (0.01 + 0.099), new=0.01).round(3))
    [0.091 0.474]
    """
    p, several = _probabilities(probability)
    ratio = as_shares("new", new, p.shape[1]) / as_shares("old", old, p.shape[1])
    return _like(_normalised(p * (ratio / ratio.max())), several)


def estimate_prior(
    probability: ArrayLike,
    old: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    max_iter: int = 10_000,
    tol: float = 1e-8,
) -> float | Array:
    r"""Estimate the class shares of a population from its rows without labels [1]_.

    Expectation maximisation finds the shares of the largest likelihood. Each step shifts the
    probabilities to the current shares, as :func:`shift_prior` does, and takes their mean:

    .. math::
        \pi^{(t+1)}_k = \frac{1}{n} \sum_{i=1}^{n} P^{(t)}(k \mid x_i), \qquad
        P^{(t)}(k \mid x) \propto P_\text{old}(k \mid x)\,\frac{\pi^{(t)}_k}{\pi_k}.

    Parameters
    ----------
    probability : array of shape (n,) or (n, K)
        Probabilities of the unlabelled rows, from a model of the old population.
    old : float or array of shape (K,)
        Class shares of the old population, as in :func:`shift_prior`.
    sample_weight : array of shape (n,), optional
        Weight of each row, at least 0.
    max_iter : int >= 1, default=10000
        Maximum number of iterations. If they do not suffice, an error is raised.
    tol : float > 0, default=1e-8
        Iterations stop when no share changes by more than this.

    Returns
    -------
    float or array of shape (K,)
        Share of the positive class if ``probability`` has shape (n,), otherwise of each class.

    Raises
    ------
    ValueError
        As :func:`shift_prior`, or if there are no rows, or ``max_iter`` does not suffice.

    See Also
    --------
    shift_prior : Corrects probabilities for the estimated shares.

    Notes
    -----
    The estimate has three conditions:

    - P(x | k) is the same in both populations. If a new kind of fraud appears, the result is
      wrong, and nothing shows it.
    - The probabilities are right on average on held-out rows of the old population. An error in
      them looks like another share.
    - The model separates the classes. If it hardly does, many rows are needed.

    Rare classes need many rows too. The estimate cannot be more certain than a count of the
    positives would be.

    References
    ----------
    .. [1] Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori
       Probabilities: A Simple Procedure", Neural Computation 14, 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from boostloss.decide import estimate_prior
    >>> print(round(estimate_prior(np.repeat([0.1, 0.9], [300, 100]), old=0.5), 3))
    0.188
    """
    p, several = _probabilities(probability)
    old = as_shares("old", old, p.shape[1])
    max_iter = check_integer("max_iter", max_iter, 1)
    tol = check_number("tol", tol, np.nextafter(0, 1))
    if not len(p):
        raise ValueError("probability must contain at least one row, got none")
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weight is not None and (weight.shape != (len(p),) or not (weight >= 0).all()):
        raise ValueError(f"sample_weight must have a number >= 0 for each of {len(p)} rows")
    likelihood, share = p / old, old
    for _ in range(max_iter):
        found = np.average(_normalised(likelihood * share), axis=0, weights=weight)
        if (np.abs(found - share) <= tol).all():
            return found if several else float(found[1])
        share = found
    raise ValueError(f"max_iter must be larger for these rows, got {max_iter}")


def add_unfound(probability: ArrayLike, unfound: float) -> Array:
    r"""Correct probabilities for positives that were never found and are labelled negative.

    .. math::
        P(\text{positive} \mid x) = \min\left(1, \frac{P(\text{found} \mid x)}{1 - u}\right),

    where u is the share of positives that are never found. This is right if each positive has the
    same chance of being found [1]_. It is wrong if the others look different, for example frauds
    of a kind that nobody checks.

    Parameters
    ----------
    probability : array of shape (n,)
        Probability of a positive that is found, from a model trained on such labels.
    unfound : float in [0, 1)
        Share u of the positives that are never found. Estimate it from other data, for example a
        sample that was checked completely.

    Returns
    -------
    array of shape (n,)
        Probability of a positive, found or not.

    Raises
    ------
    ValueError
        If probabilities are outside [0, 1] or of several classes, or ``unfound`` is outside
        [0, 1).

    See Also
    --------
    shift_prior : Corrects for other class shares.

    References
    ----------
    .. [1] Elkan, Noto, "Learning Classifiers from Only Positive and Unlabeled Data", KDD 2008.

    Examples
    --------
    >>> from boostloss.decide import add_unfound
    >>> print(add_unfound([0.1, 0.6], unfound=0.2))
    [0.125 0.75 ]
    """
    p, several = _probabilities(probability)
    if several:
        raise ValueError(f"probability must be of the positive class, (n,), got shape {p.shape}")
    unfound = check_number("unfound", unfound, 0.0, 1.0, open_end=True)
    found: Array = np.minimum(p[:, 1] / (1.0 - unfound), 1.0)
    return found


def as_shares(name: str, value: Any, n_classes: int) -> Array:
    """Return class shares (K,) from K numbers, or from a float for the positive of two classes."""
    value = by_codes(name, value, n_classes)
    try:
        share = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a share or {n_classes} shares, got {value!r}") from error
    if share.ndim == 0 and n_classes == 2:
        share = np.array([1.0 - share, share])
    if share.shape != (n_classes,) or not (share > 0).all() or abs(share.sum() - 1) > SUM_TOLERANCE:
        one = "a share between 0 and 1, or " if n_classes == 2 else ""
        raise ValueError(
            f"{name} must be {one}{n_classes} shares above 0 that add up to 1, got {value!r}"
        )
    shares: Array = share / share.sum()
    return shares


def shares_by_label(prior: Any, labels: Array) -> Array:
    """Return the classifiers' parameter ``prior`` as shares in the order of the labels."""
    prior = with_labels("prior", prior)
    if isinstance(prior, Mapping):
        wanted = labels.tolist()
        if set(prior) != set(wanted):
            raise ValueError(f"prior must have the keys {wanted}, got {list(prior)}")
        return as_shares("prior", [prior[label] for label in wanted], len(labels))
    allowed = (
        "prior must be None, a dict of each label's share or, for two classes, the share of the "
        "positive one, above 0 and below 1"
    )
    if isinstance(prior, bool) or not isinstance(prior, int | float | np.number):
        raise TypeError(f"{allowed}; got {prior!r} for labels {labels.tolist()}")
    if len(labels) > 2 or not 0 < prior < 1:
        raise ValueError(f"{allowed}; got {prior!r} for labels {labels.tolist()}")
    return as_shares("prior", prior, 2)


def _probabilities(probability: ArrayLike) -> tuple[Array, bool]:
    """Return probabilities (n, K), and whether they were passed with this shape."""
    try:
        p = np.asarray(probability, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"probability must contain numbers, got {probability!r}") from error
    if p.ndim not in (1, 2) or (p.ndim == 2 and p.shape[1] < 2):
        raise ValueError(f"probability must have shape (n,) or (n, K), got {p.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probability must be between 0 and 1 in every row")
    several = p.ndim == 2
    p = p if several else np.column_stack([1.0 - p, p])
    if len(p) and np.abs(p.sum(axis=1) - 1.0).max() > SUM_TOLERANCE:
        raise ValueError("probability must add up to 1 in every row")
    return p, several


def _normalised(p: Array) -> Array:
    total = p.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise ValueError("probability must leave some class possible in every row")
    normalised: Array = p / total
    return normalised


def _like(p: Array, several: bool) -> Array:
    return p if several else p[:, 1]
