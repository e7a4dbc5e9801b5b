"""Define stable elementary functions that LLVM can turn into SIMD code.

``np.exp`` and ``np.log1p`` in a numba loop are function calls, which keep the loop scalar
(measured: 11 times slower). These are polynomials without branches. Their coefficients are
Chebyshev interpolants computed with 40 digits. The relative errors are 2.6e-9 (float32) and 3e-16
(float64), which is less than the rounding of the type.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from boostloss.kernels import exp, log, log1p, neg_log_rest, q_power, where
from boostloss.kernels.jit import OPTIONS

_F = np.float32
_EXP32 = [_F(c) for c in (0.00139412131, 0.00837521020087, 0.0416663516384, 0.166664145071696,
                          0.50000000474014, 1.0, 1.0)]  # fmt: skip
_EXP64 = [2.76264955464321963e-7, 2.76403468261384992e-6, 2.48015040144269051e-5,
          1.98411698712027347e-4, 1.38888889327510003e-3, 8.3333333859827838e-3,
          0.0416666666665723915, 0.166666666665535028, 0.500000000000000567,
          1.00000000000000681, 1.0]  # fmt: skip
_ATANH32 = [_F(c) for c in (0.281577783631, 0.279651577453, 0.400245952307, 0.666663216414,
                            2.00000000768)]  # fmt: skip
_ATANH64 = [0.170441635627813981, 0.0832450651186082058, 0.121101687280692177,
            0.133003740326746243, 0.153866140423040078, 0.181817408325048045,
            0.222222240807476732, 0.285714285454541145, 0.400000000001857475,
            0.666666666666661496, 2.0]  # fmt: skip

E0, E1, E2, E3, E4, E5, E6 = _EXP32
D0, D1, D2, D3, D4, D5, D6, D7, D8, D9, D10 = _EXP64
A0, A1, A2, A3, A4 = _ATANH32
B0, B1, B2, B3, B4, B5, B6, B7, B8, B9, B10 = _ATANH64

# Adding 1.5 * 2**(mantissa bits) rounds to an integer, which is then in the low bits.
_ROUND32, _ROUND64 = _F(1.5 * 2**23), 1.5 * 2.0**52
_LOG2E32, _LOG2E64 = _F(1.4426950408889634), 1.4426950408889634
# ln 2 in two parts. The first has trailing zero bits, so that its multiples are exact.
_LN2_HI32, _LN2_LO32 = _F(0.693359375), _F(-2.12194440e-4)
_LN2_HI64, _LN2_LO64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_LN2_64 = 0.6931471805599453
_BIAS32, _SHIFT32, _BIAS64, _SHIFT64 = np.int32(127), np.int32(23), np.int64(1023), np.int64(52)
_MANTISSA32, _ONE32 = np.int32((1 << 23) - 1), np.int32(127 << 23)
_TINY32, _HALVE32 = _F(1e-18), _F(4 / 3)
_MANTISSA64, _ONE64 = np.int64((1 << 52) - 1), np.int64(1023 << 52)

SMALLEST_LOG = -80.0
"""Smaller exponents are clipped here. exp(-80) = 1.8e-35, times a small weight, is still a normal
float32, and subnormal numbers make a kernel several times slower."""
_SMALLEST32, _SMALLEST64 = _F(-87.0), -700.0  # exp of them is still a normal number


@intrinsic  # type: ignore[untyped-decorator]
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute ``a*b + c`` rounded once, which also yields the rounding error of a product."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return a(a, a, a), codegen


@intrinsic  # type: ignore[untyped-decorator]
def float_bits(typingctx: Any, x: Any) -> Any:
    """Return the bits of a float as an integer of the same width."""
    result = types.int32 if x == types.float32 else types.int64

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(x), codegen


@intrinsic  # type: ignore[untyped-decorator]
def float_from_bits(typingctx: Any, i: Any) -> Any:
    """Return the float with these bits: the inverse of :func:`float_bits`."""
    result = types.float32 if i == types.int32 else types.float64

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(i), codegen


if numba.config.DISABLE_JIT:  # kernels then run as Python, for a debugger or a coverage report

    def fma(a: Any, b: Any, c: Any) -> Any:
        """Compute ``a*b + c`` rounded once, by exact fractions."""
        rounded_twice = a * b + c
        if not math.isfinite(rounded_twice):
            return rounded_twice
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
        return type(rounded_twice)(float(exact))


def exp_nonpositive(x: Any, low: Any) -> Any:
    """Compute ``exp(x + low)`` for x <= 0 and a correction ``low`` far smaller than x."""
    return np.exp(np.float64(x) + low)


def log1p_unit(e: Any) -> Any:
    """Compute ``log(1 + e)`` for 0 <= e <= 1, as 2 atanh(e / (2 + e))."""
    return np.log1p(e)


def log_parts(x: Any) -> Any:
    """Compute ``log(x)`` of a positive normal number as a large and a small summand.

    In float32 the large one is exact and the small one below 0.7. If the logarithm is large, its
    absolute error is therefore that of the small one.
    """
    return np.log(x), 0.0


@overload(exp_nonpositive, jit_options=OPTIONS, inline="never")
def _exp_nonpositive(x: Any, low: Any) -> Any:
    def single(x: Any, low: Any) -> Any:
        x = max(x, _SMALLEST32)
        shifted = fma(x, _LOG2E32, _ROUND32)
        n = shifted - _ROUND32
        r = fma(n, -_LN2_LO32, fma(n, -_LN2_HI32, x)) + low
        y = fma(r, fma(r, fma(r, fma(r, fma(r, fma(r, E0, E1), E2), E3), E4), E5), E6)
        scale = (float_bits(shifted) - float_bits(_ROUND32) + _BIAS32) << _SHIFT32
        return y * float_from_bits(np.int32(scale))

    def double(x: Any, low: Any) -> Any:
        x = max(x, _SMALLEST64)
        shifted = fma(x, _LOG2E64, _ROUND64)
        n = shifted - _ROUND64
        r = fma(n, -_LN2_LO64, fma(n, -_LN2_HI64, x)) + low
        y = fma(r, fma(r, fma(r, fma(r, fma(r, D0, D1), D2), D3), D4), D5)
        y = fma(r, fma(r, fma(r, fma(r, fma(r, y, D6), D7), D8), D9), D10)
        scale = (float_bits(shifted) - float_bits(_ROUND64) + _BIAS64) << _SHIFT64
        return y * float_from_bits(np.int64(scale))

    return single if x == types.float32 else double


@overload(log1p_unit, jit_options=OPTIONS, inline="never")
def _log1p_unit(e: Any) -> Any:
    def single(e: Any) -> Any:
        t = e / (_F(2) + e)
        s = max(t, _TINY32)  # so that its square is not subnormal
        s = s * s
        return t * fma(s, fma(s, fma(s, fma(s, A0, A1), A2), A3), A4)

    def double(e: Any) -> Any:
        t = e / (2.0 + e)
        s = max(t, 1e-150)
        s = s * s
        y = fma(s, fma(s, fma(s, fma(s, fma(s, B0, B1), B2), B3), B4), B5)
        return t * fma(s, fma(s, fma(s, fma(s, fma(s, y, B6), B7), B8), B9), B10)

    return single if e == types.float32 else double


@overload(log_parts, jit_options=OPTIONS, inline="never")
def _log_parts(x: Any) -> Any:
    def single(x: Any) -> Any:
        bits = float_bits(x)
        exponent = np.int32(bits >> _SHIFT32) - _BIAS32
        mantissa = float_from_bits(np.int32((bits & _MANTISSA32) | _ONE32))
        # keep the mantissa in [2/3, 4/3], so that the argument of atanh is at most 1/5
        halve = mantissa > _HALVE32
        mantissa = mantissa * _F(0.5) if halve else mantissa
        n = _F(exponent) + (_F(1) if halve else _F(0))
        t = (mantissa - _F(1)) / (mantissa + _F(1))
        s = t * t
        y = t * fma(s, fma(s, fma(s, fma(s, A0, A1), A2), A3), A4)
        return n * _LN2_HI32, fma(n, _LN2_LO32, y)

    def double(x: Any) -> Any:
        bits = float_bits(x)
        exponent = (bits >> _SHIFT64) - _BIAS64
        mantissa = float_from_bits(np.int64((bits & _MANTISSA64) | _ONE64))
        halve = mantissa > 1.3333333333333333
        mantissa = mantissa * 0.5 if halve else mantissa
        n = np.float64(exponent) + (1.0 if halve else 0.0)
        t = (mantissa - 1.0) / (mantissa + 1.0)
        s = t * t
        y = fma(s, fma(s, fma(s, fma(s, fma(s, B0, B1), B2), B3), B4), B5)
        y = t * fma(s, fma(s, fma(s, fma(s, fma(s, y, B6), B7), B8), B9), B10)
        return fma(n, _LN2_64, y), 0.0

    return single if x == types.float32 else double


# -- compiled versions of the functions that a loss may call ----------------------------------


@overload(exp, jit_options=OPTIONS)
def _exp(x: Any) -> Any:
    def compiled(x: Any) -> Any:
        return exp_nonpositive(x, x - x)

    return compiled


@overload(log, jit_options=OPTIONS)
def _log(x: Any) -> Any:
    def compiled(x: Any) -> Any:
        large, small = log_parts(x)
        return large + small

    return compiled


@overload(log1p, jit_options=OPTIONS)
def _log1p(x: Any) -> Any:
    def compiled(x: Any) -> Any:
        one = x - x + np.float32(1)
        total = one + x
        large, small = log_parts(total)
        # add what 1 + x lost by rounding, so that the digits of a small x are kept
        return large + (small + (x - (total - one)) / total)

    return compiled


@overload(neg_log_rest, jit_options=OPTIONS)
def _neg_log_rest(r: Any, rest: Any) -> Any:
    def compiled(r: Any, rest: Any) -> Any:
        large, small = log_parts(rest)
        ratio = r / rest
        return log1p_unit(min(ratio, ratio - ratio + np.float32(1))) if r < rest else -large - small

    return compiled


@overload(where, jit_options=OPTIONS)
def _where(condition: Any, a: Any, b: Any) -> Any:
    def compiled(condition: Any, a: Any, b: Any) -> Any:
        return a if condition else b

    return compiled


@overload(q_power, jit_options=OPTIONS)
def _q_power(row: Any, gamma: Any) -> Any:
    """Compute ``exp(-gamma (high + low))``.

    The exponent reaches 69 for a result of 1e-30. Rounding it to float32 would cause a relative
    error of 4e-6, so the rounding errors of product and sum are added back.
    """

    def compiled(row: Any, gamma: Any) -> Any:
        product = -gamma * row.neg_log_q_high
        product_error = fma(-gamma, row.neg_log_q_high, -product)
        smaller = -gamma * row.neg_log_q_low
        exponent = product + smaller
        sum_error = smaller - (exponent - product)
        return exp_nonpositive(exponent, product_error + sum_error)

    return compiled
