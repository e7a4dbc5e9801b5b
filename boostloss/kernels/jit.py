"""Compile kernels, cache them on disk, and run them in threads."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import pickle
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.extending import register_jitable
from platformdirs import user_cache_dir

from boostloss.kernels import ScalarFunction

try:  # numba has no public way to avoid damaged or concurrently written cache files
    from numba.core.caching import IndexDataCacheFile
except ImportError:
    IndexDataCacheFile = None

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
"""The compiler may fuse a*b+c. It may not drop NaN checks or reorder sums, because the error bounds
depend on them."""

WORTHWHILE = 1 << 22
"""Number of scores from which a second thread pays. Starting it takes 0.1 ms, and the kernel of
cross-entropy, at 0.6 ns per row, is limited by memory rather than by the processor."""

_jitable: set[ScalarFunction] = set()
_lock = threading.RLock()


# -- compiling ---------------------------------------------------------------------------------


def inlined(function: F) -> F:
    """Make a scalar function callable from kernels as well as from Python."""
    compiled: F = register_jitable(**OPTIONS)(function)
    return compiled


def inlined_early(function: F) -> F:
    """Do as :func:`inlined`, but insert the function into the caller before type inference.

    The compiler then knows the caller's array layouts. Without them it cannot prove that a loop
    over several rows of one scratch array may become SIMD code.
    """
    compiled: F = register_jitable(inline="always", **OPTIONS)(function)
    return compiled


def with_helpers(scalars: tuple[ScalarFunction, ...]) -> list[ScalarFunction]:
    """Return a loss's scalar functions and the marked functions that they call."""
    found: list[ScalarFunction] = []
    waiting = list(scalars)
    while waiting:
        one: Any = waiting.pop()
        if one not in found:
            found.append(one)
            called = [one.__globals__.get(name) for name in one.__code__.co_names]
            waiting += [other for other in called if getattr(other, "is_scalar", False)]
    return found


def kernel(function: F, scalars: tuple[ScalarFunction, ...] = ()) -> F:
    """Compile a function that releases the GIL, runs on one thread and is cached on disk.

    ``scalars`` are the functions of a loss that it calls. If one of them is defined in a script or
    a notebook, or not in a file, the kernel is compiled again in each process.
    """
    with _lock:
        return _kernel(function, scalars)


def _kernel(function: F, scalars: tuple[ScalarFunction, ...]) -> F:
    needed = with_helpers(scalars)
    for one in needed:
        if one not in _jitable:
            inlined(one)
            _jitable.add(one)
    if any(one.__module__ == "__main__" or not _file(one).is_file() for one in needed):
        return _compiled(function, cache=False)
    # The name identifies all source files, because numba checks only the file of the kernel itself.
    stamp = _stamp(function, *needed)
    function.__qualname__ = function.__name__ = f"{function.__name__}_{stamp}"
    try:
        return _with_safe_cache(_compiled(function, cache=True))
    except RuntimeError:  # neither the package's directory nor the user's cache is writable
        return _compiled(function, cache=False)


def _compiled(function: F, cache: bool) -> F:
    before = numba.config.CACHE_DIR
    # Numba's default is a directory in the package. pip would not remove its files, and the rest
    # of an uninstalled package could still be imported.
    numba.config.CACHE_DIR = before or user_cache_dir("boostloss", appauthor=False)
    try:
        compiled: F = numba.njit(cache=cache, nogil=True, **OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = before
    return compiled


def _file(function: Callable[..., Any]) -> Path:
    return Path(function.__code__.co_filename)


@functools.cache
def _file_stamp(path: Path) -> str:
    status = path.stat()
    return f"{path.name} {status.st_mtime_ns} {status.st_size}"


def _stamp(*functions: Callable[..., Any]) -> str:
    """Return a hash that changes with every source file of these functions."""
    files = {_file(one) for one in functions} | set(Path(__file__).parent.glob("*.py"))
    names = [getattr(one, "__qualname__", "") for one in functions]
    text = " ".join([*names, *sorted(map(_file_stamp, files))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _with_safe_cache(compiled: F) -> F:
    """Guard the cache files, unless this version of numba has another cache class."""
    if IndexDataCacheFile is None:
        return compiled
    with contextlib.suppress(AttributeError, TypeError):  # raised also with NUMBA_DISABLE_JIT
        cache = compiled._cache  # type: ignore[attr-defined]
        locator, base = cache._impl.locator, cache._impl.filename_base
        cache._cache_file = _CacheFile(cache.cache_path, base, locator.get_source_stamp())
    return compiled


class _CacheFile(IndexDataCacheFile or object):  # type: ignore[misc]
    """Numba's cache files, made safe against concurrent processes and damage.

    Numba numbers the files by an index that it has read before. If two processes compile for two
    types at once, one may write its code to the file that the index lists for the other, and a
    third process would load the wrong code. Each file therefore stores its own key and checksum.
    If they do not match, the function is compiled again.
    """

    def _load_index(self) -> dict[Any, str]:
        try:
            return dict(super()._load_index())
        except Exception:  # unpickling a damaged file may raise anything
            return {}

    def load(self, key: Any) -> Any:
        held = super().load(key)
        return held[1] if held is not None and held[0] == key else None

    def save(self, key: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # the compiled function works without its file
            super().save(key, (key, data))

    def _load_data(self, name: str) -> Any:
        held = Path(self._data_path(name)).read_bytes()
        checksum, data = held[:32], held[32:]
        if hashlib.sha256(data).digest() != checksum:
            raise OSError(f"{name} is damaged")  # handled like a missing file
        return pickle.loads(data)

    def _save_data(self, name: str, data: Any) -> None:
        data = self._dump(data)
        with self._open_for_write(self._data_path(name)) as file:
            file.write(hashlib.sha256(data).digest() + data)


# -- threads -----------------------------------------------------------------------------------
# Threads are started for each call, so that none exists when the process forks.


def parts(n_rows: int, n_scores: int) -> list[tuple[int, int]]:
    """Return one range of all rows or, from :data:`WORTHWHILE` scores on, a multiple of four.

    The ranges do not depend on the number of threads. Neither do sums over them.
    """
    count = 4 * -(-n_scores // (4 * WORTHWHILE)) if n_scores >= WORTHWHILE else 1
    # multiples of the width of a SIMD register
    bounds = [n_rows * k // count // 64 * 64 for k in range(count)] + [n_rows]
    return list(pairwise(bounds))


def in_parts(
    work: Callable[[int, int], Any], n_rows: int, n_scores: int, n_threads: int
) -> list[Any]:
    """Call ``work(start, stop)`` for each of the :func:`parts`; return the results in order.

    ``work`` must release the GIL. If a call fails, its error is raised here.
    """
    if n_scores < WORTHWHILE:
        return [work(0, n_rows)]
    ranges = parts(n_rows, n_scores)
    n_threads = min(n_threads, len(ranges))
    results: list[Any] = [None] * len(ranges)
    errors: list[BaseException] = []

    def share(first: int) -> None:
        try:
            for k in range(first, len(ranges), n_threads):
                results[k] = work(*ranges[k])
        except BaseException as error:
            errors.append(error)

    helpers = [threading.Thread(target=share, args=(k,)) for k in range(1, n_threads)]
    try:
        for helper in helpers:
            helper.start()
        share(0)
    finally:
        errors += [error for helper in helpers for error in _waited_for(helper)]
    if errors:
        raise errors[0]
    return results


def part_of(array: Any, rows: slice) -> Any:
    """Return some rows of an array, or None if the array is None."""
    return None if array is None else array[rows]


def _waited_for(helper: threading.Thread) -> list[BaseException]:
    """Wait for a thread, which may still write to arrays; return the interruptions meanwhile."""
    interruptions: list[BaseException] = []
    while helper.is_alive():
        try:
            helper.join()
        except KeyboardInterrupt as error:
            interruptions.append(error)
    return interruptions
