"""A row at 50 digits, and how close to it a kernel must come."""

import mpmath as mp
import numpy as np

mp.mp.dps = 50
TOLERANCE, SMALLEST = 2e-6, mp.mpf("1e-30")
RAW = np.unique(
    np.concatenate([np.linspace(-700, 700, 57), np.linspace(-60, 60, 121), np.linspace(-2, 2, 41)])
)


def terms(margin):
    """p, q, u of a binary row, without cancellation."""
    e = mp.exp(-abs(margin))
    large, small = 1 / (1 + e), e / (1 + e)
    p, q = (large, small) if margin >= 0 else (small, large)
    return p, q, max(-margin, mp.mpf(0)) + mp.log1p(e)


def assert_close(got, want):
    got = np.asarray(got, dtype=np.float64).ravel()
    assert np.isfinite(got).all()
    for g, w in zip(got, want, strict=True):
        if abs(w) >= SMALLEST:
            assert abs(mp.mpf(float(g)) / w - 1) <= TOLERANCE, (g, w)
