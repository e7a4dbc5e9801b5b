"""The functions that are written for the compiler, against 50 digits; also without the compiler."""

import mpmath
import numba
import numpy as np
import pytest
from numba.core import types

from boostloss.losses import _elementary
from boostloss.losses._jit import _OPTIONS

mpmath.mp.dps = 50
TYPES = {np.float32: types.float32, np.float64: types.float64}


def compiled(overload, dtype, n_arguments):
    written = overload(*[TYPES[dtype]] * n_arguments)
    return numba.njit(**_OPTIONS)(written)


def assert_exact(function, exact, x, dtype):
    """Within a few units in the last place of the function's own type."""
    for argument in x:
        truth = exact(mpmath.mpf(float(argument)))
        error = abs(mpmath.mpf(float(function(argument))) - truth)
        assert error <= 3 * float(np.finfo(dtype).eps) * abs(truth), argument


@pytest.mark.parametrize("dtype", TYPES)
def test_exp(dtype):
    exp = compiled(_elementary._exp_nonpositive, dtype, 2)
    lowest = -87.0 if dtype is np.float32 else -700.0
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.uniform(lowest, 0, 300), rng.uniform(-2, 0, 300), -np.logspace(-9, 0, 50), [0, lowest]]
    )
    x = np.maximum(x, lowest).astype(dtype)
    assert_exact(lambda v: exp(v, dtype(0)), mpmath.exp, x, dtype)
    low = 2.0**-12
    assert_exact(lambda v: exp(v, dtype(low)), lambda v: mpmath.exp(v + low), x, dtype)
    for v in (2 * lowest, -np.inf):
        assert exp(dtype(v), dtype(0)) == exp(dtype(lowest), dtype(0)) > 0


@pytest.mark.parametrize("dtype", TYPES)
def test_log1p(dtype):
    log1p = compiled(_elementary._log1p_unit, dtype, 1)
    rng = np.random.default_rng(0)
    smallest = 1e-35 if dtype is np.float32 else 1e-300
    x = np.concatenate([rng.uniform(0, 1, 400), np.geomspace(smallest, 1, 400)]).astype(dtype)
    assert_exact(log1p, mpmath.log1p, x, dtype)
    assert log1p(dtype(0)) == 0


@pytest.mark.parametrize("dtype", TYPES)
def test_log(dtype):
    parts = compiled(_elementary._log_parts, dtype, 1)
    rng = np.random.default_rng(0)
    largest = 1e37 if dtype is np.float32 else 1e300
    x = np.concatenate([rng.uniform(0.5, 2, 400), np.geomspace(1 / largest, largest, 401)])
    for argument in x.astype(dtype):
        large, small = map(float, parts(argument))
        truth = mpmath.log(mpmath.mpf(float(argument)))
        # in float32 the large one is exact, and the error that of the small one
        whole = max(abs(small), 1e-3 * abs(large)) if dtype is np.float32 else abs(truth)
        allowed = 3 * float(np.finfo(dtype).eps) * float(whole)
        assert abs(mpmath.mpf(large) + mpmath.mpf(small) - truth) <= allowed, argument
        assert abs(small) <= (0.7 if dtype is np.float32 else 0)
