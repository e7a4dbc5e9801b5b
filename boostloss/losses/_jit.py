"""The compiler: numba, set up once for every kernel of the package."""

from __future__ import annotations

import contextlib
import hashlib
import math
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import types
from numba.core.caching import IndexDataCacheFile
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
    compiled: Any
    try:
        compiled = numba.njit(cache=True, nogil=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache is writable
        compiled = numba.njit(nogil=True, **_OPTIONS)(function)
    else:
        if hasattr(compiled, "_cache"):  # not under NUMBA_DISABLE_JIT
            compiled._cache._cache_file.__class__ = _CacheFile
    return compiled  # type: ignore[no-any-return]


class _CacheFile(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's own files, for processes that start at the same time and for damaged ones.

    A file's name is a number that numba takes from an index it has read before: of two processes
    that compile two losses at once, one may write its code where the index names the other's,
    and a third would then load the wrong loss. So each file says itself what it holds. One that
    is damaged, or another's, is compiled anew.
    """

    def _load_index(self) -> dict[Any, str]:
        try:
            return dict(super()._load_index())
        except Exception:  # whatever unpickling does on what is not a pickle
            return {}

    def load(self, key: Any) -> Any:
        held = super().load(key)
        return held[1] if held is not None and held[0] == key else None

    def save(self, key: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # compiled all the same
            super().save(key, (key, data))

    def _load_data(self, name: str) -> Any:
        held = Path(self._data_path(name)).read_bytes()
        checksum, data = held[:32], held[32:]
        if hashlib.sha256(data).digest() != checksum:
            raise OSError(f"{name} is damaged")  # as if it were not there
        return pickle.loads(data)

    def _save_data(self, name: str, data: Any) -> None:
        data = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(data).digest() + data)


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


if numba.config.DISABLE_JIT:  # the loops then run as Python, for a debugger or a coverage report

    def fma(a: Any, b: Any, c: Any) -> Any:
        """``a*b + c`` rounded once, by exact fractions."""
        rounded_twice = a * b + c
        if not math.isfinite(rounded_twice):
            return rounded_twice
        exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
        return type(rounded_twice)(float(exact))
