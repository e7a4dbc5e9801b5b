"""The functions that are written for the compiler, against 50 digits; also without the compiler."""

import mpmath
import numba
import numpy as np
import pytest
from numba.core import types

from boostloss import kernels
from boostloss.kernels import simd_math
from boostloss.kernels.jit import OPTIONS

mpmath.mp.dps = 50
needs_compiler = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="bits of numbers")
TYPES = {np.float32: types.float32, np.float64: types.float64}


def compiled(overload, dtype, n_arguments):
    written = overload(*[TYPES[dtype]] * n_arguments)
    return numba.njit(**OPTIONS)(written)


def assert_exact(function, exact, x, dtype):
    """Within a few units in the last place of the function's own type."""
    for argument in x:
        truth = exact(mpmath.mpf(float(argument)))
        error = abs(mpmath.mpf(float(function(argument))) - truth)
        assert error <= 3 * float(np.finfo(dtype).eps) * abs(truth), argument


@needs_compiler
@pytest.mark.parametrize("dtype", TYPES)
def test_exp(dtype):
    exp = compiled(simd_math._exp_nonpositive, dtype, 2)
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
    log1p = compiled(simd_math._log1p_unit, dtype, 1)
    rng = np.random.default_rng(0)
    smallest = 1e-35 if dtype is np.float32 else 1e-300
    x = np.concatenate([rng.uniform(0, 1, 400), np.geomspace(smallest, 1, 400)]).astype(dtype)
    assert_exact(log1p, mpmath.log1p, x, dtype)
    assert log1p(dtype(0)) == 0


@needs_compiler
@pytest.mark.parametrize("dtype", TYPES)
def test_log(dtype):
    parts = compiled(simd_math._log_parts, dtype, 1)
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


# -- what a loss may call -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_exp_and_log_of_a_loss(dtype):
    exp, log = (compiled(overload, dtype, 1) for overload in (simd_math._exp, simd_math._log))
    lowest = -80.0 if dtype is np.float32 else -700.0
    x = np.concatenate([np.linspace(lowest, 0, 200), -np.logspace(-9, 0, 50)]).astype(dtype)
    assert_exact(exp, mpmath.exp, x, dtype)
    x = np.concatenate([np.geomspace(1e-30, 0.9, 100), np.geomspace(1.1, 1e30, 100)]).astype(dtype)
    assert_exact(log, mpmath.log, x, dtype)
    for v in x[::10]:  # as Python they are NumPy's
        assert kernels.log(v) == np.log(v)
        assert kernels.exp(-v) == np.exp(-v)


@pytest.mark.parametrize("dtype", TYPES)
def test_neg_log_rest(dtype):
    """-log(1 - r): of a small r every digit stays, though 1 - r has lost them."""
    written = simd_math._neg_log_rest(TYPES[dtype], TYPES[dtype])
    compiled_rest = numba.njit(**OPTIONS)(written)
    small = np.concatenate([np.geomspace(1e-30, 0.499, 200), [0]]).astype(dtype)
    for function in (compiled_rest, kernels.neg_log_rest):
        assert_exact(
            lambda r, f=function: f(r, dtype(1) - r),
            lambda r: -mpmath.log1p(-r),
            small[small < 1e-3],
            dtype,
        )
        for r in small[small >= 1e-3]:  # 1 - r is rounded once
            truth = -mpmath.log1p(-mpmath.mpf(float(r)))
            allowed = 6 * float(np.finfo(dtype).eps) * max(float(truth), 0.5)
            assert abs(mpmath.mpf(float(function(r, dtype(1) - r))) - truth) <= allowed
        rest = np.geomspace(1e-30, 0.5, 100).astype(dtype)
        assert_exact(
            lambda v, f=function: f(dtype(1) - v, v), lambda v: -mpmath.log(v), rest[:-2], dtype
        )


@needs_compiler
@pytest.mark.parametrize("dtype", TYPES)
def test_q_power(dtype):
    """The exponent is -gamma times a sum of two, whose rounding is carried along."""
    written = simd_math._q_power(None, None)
    gamma_type = dtype

    @numba.njit(**OPTIONS)
    def power(high, low, gamma):
        return inner(kernels.Row(high, high, high, high, high, low), gamma)

    inner = numba.njit(**OPTIONS)(written)
    rng = np.random.default_rng(0)
    for gamma in (0, 0.5, 2, 2.5, 5):
        for high, low in zip(rng.uniform(0, 13, 60), rng.uniform(0, 0.69, 60), strict=True):
            high, low, g = dtype(high), dtype(low), gamma_type(gamma)
            truth = mpmath.exp(
                -mpmath.mpf(float(g)) * (mpmath.mpf(float(high)) + mpmath.mpf(float(low)))
            )
            # the sum's correction itself is rounded
            assert abs(mpmath.mpf(float(power(high, low, g))) / truth - 1) <= 8 * float(
                np.finfo(dtype).eps
            )
            row = kernels.Row(None, None, None, None, high, low)
            assert abs(mpmath.mpf(float(kernels.q_power(row, g))) / truth - 1) <= 2e-13
