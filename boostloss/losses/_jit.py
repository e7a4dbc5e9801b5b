"""The compiler: numba, set up once for every kernel of the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import types
from numba.extending import intrinsic, register_jitable

F = TypeVar("F", bound=Callable[..., Any])

# "contract" lets the compiler fuse a*b+c; nothing that would drop NaN checks or
# reorder sums is allowed, the error bounds rest on it.
_OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}

SOURCE_STAMP = max(f.stat().st_mtime_ns for f in Path(__file__).parent.glob("*.py"))
"""Numba's disk cache looks only at the file a kernel stands in. Kernels close over this
number, so a change of any loss or elementary function makes them compile anew."""


def inlined(function: F) -> F:
    """Make a scalar function callable from kernels; it stays callable from Python."""
    compiled: F = register_jitable(**_OPTIONS)(function)
    return compiled


def inlined_early(function: F) -> F:
    """As :func:`inlined`, but put into the calling loop before the compiler looks at it.

    It then knows the caller's array layouts, without which it cannot prove that a loop over
    several rows of one scratch array may become SIMD code.
    """
    compiled: F = register_jitable(inline="always", **_OPTIONS)(function)
    return compiled


def kernel(function: F) -> F:
    """Compile a loop: releases the GIL, one thread, cached on disk where one is writable."""
    try:
        compiled: F = numba.njit(cache=True, nogil=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache is writable
        compiled = numba.njit(nogil=True, **_OPTIONS)(function)
    return compiled


@intrinsic  # type: ignore[untyped-decorator]
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a*b + c`` rounded once. Written out because only it gives a product's rounding error."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return a(a, a, a), codegen


@intrinsic  # type: ignore[untyped-decorator]
def float_bits(typingctx: Any, x: Any) -> Any:
    """Bits of a float as an integer of the same width."""
    result = types.int32 if x == types.float32 else types.int64

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(x), codegen


@intrinsic  # type: ignore[untyped-decorator]
def float_from_bits(typingctx: Any, i: Any) -> Any:
    """Float whose bits are the integer given; undoes :func:`float_bits`."""
    result = types.float32 if i == types.int32 else types.float64

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(i), codegen
