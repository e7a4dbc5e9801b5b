"""The compiler, its cache on disk, and threads: how every kernel is made and run."""

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

try:  # no public class keeps damaged or concurrently written files from being loaded
    from numba.core.caching import IndexDataCacheFile
except ImportError:
    IndexDataCacheFile = None

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}
"""The compiler may fuse a*b+c; nothing that would drop NaN checks or reorder sums is allowed, the
error bounds rest on it."""

WORTHWHILE = 1 << 22
"""Scores from which a second thread brings more than it takes: starting one takes 0.1 ms, and
cross-entropy's loop, 0.6 ns a row, waits for memory more than for the processor."""

_jitable: set[ScalarFunction] = set()
_lock = threading.RLock()


# -- compiling ---------------------------------------------------------------------------------


def inlined(function: F) -> F:
    """Make a scalar function callable from kernels; it stays callable from Python."""
    compiled: F = register_jitable(**OPTIONS)(function)
    return compiled


def inlined_early(function: F) -> F:
    """As :func:`inlined`, but put into the calling loop before the compiler looks at it.

    It then knows the caller's array layouts, without which it cannot prove that a loop over
    several rows of one scratch array may become SIMD code.
    """
    compiled: F = register_jitable(inline="always", **OPTIONS)(function)
    return compiled


def with_helpers(scalars: tuple[ScalarFunction, ...]) -> list[ScalarFunction]:
    """A loss's scalar functions, and the marked functions that they call."""
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
    """Compile a loop: it releases the GIL, runs on one thread and is cached on disk.

    ``scalars`` are the functions of a loss that the loop calls. One that stands in no file, or
    in a script or notebook, is compiled anew in each process.
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
    # the file's name says what was compiled: numba looks only at the file in which a loop stands
    stamp = _stamp(function, *needed)
    function.__qualname__ = function.__name__ = f"{function.__name__}_{stamp}"
    try:
        return _with_safe_cache(_compiled(function, cache=True))
    except RuntimeError:  # neither the package's folder nor the user's cache is writable
        return _compiled(function, cache=False)


def _compiled(function: F, cache: bool) -> F:
    before = numba.config.CACHE_DIR
    # not beside the package, numba's default: what pip does not know, an uninstallation leaves,
    # and an empty package could still be imported
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
    """Changes with every file that these functions are made of."""
    files = {_file(one) for one in functions} | set(Path(__file__).parent.glob("*.py"))
    names = [getattr(one, "__qualname__", "") for one in functions]
    text = " ".join([*names, *sorted(map(_file_stamp, files))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _with_safe_cache(compiled: F) -> F:
    """Guard the cache's files; with a numba of another build they stay as they are."""
    if IndexDataCacheFile is None:
        return compiled
    with contextlib.suppress(AttributeError, TypeError):  # also under NUMBA_DISABLE_JIT
        cache = compiled._cache  # type: ignore[attr-defined]
        locator, base = cache._impl.locator, cache._impl.filename_base
        cache._cache_file = _CacheFile(cache.cache_path, base, locator.get_source_stamp())
    return compiled


class _CacheFile(IndexDataCacheFile or object):  # type: ignore[misc]
    """Numba's own files, for processes that start at the same time and for damaged ones.

    A file's name is a number that numba takes from an index it has read before: of two processes
    that compile for two types at once, one may write its code where the index names the other's,
    and a third would then load the wrong one. So each file says itself what it holds. One that
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


# -- threads -----------------------------------------------------------------------------------
# They are made for the call: nothing stays that a fork could break.


def parts(n_rows: int, n_scores: int) -> list[tuple[int, int]]:
    """Ranges of rows of equal size: one, or from :data:`WORTHWHILE` scores on a multiple of four.

    They do not depend on the number of threads, nor do sums over them.
    """
    count = 4 * -(-n_scores // (4 * WORTHWHILE)) if n_scores >= WORTHWHILE else 1
    # multiples of a SIMD register's width
    bounds = [n_rows * k // count // 64 * 64 for k in range(count)] + [n_rows]
    return list(pairwise(bounds))


def in_parts(
    work: Callable[[int, int], Any], n_rows: int, n_scores: int, n_threads: int
) -> list[Any]:
    """``work(start, stop)`` for each of the :func:`parts`; the results in the rows' order.

    ``work`` must release the GIL. Where one fails, its error is raised here.
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
    """Some rows of an array, or None where there is none."""
    return None if array is None else array[rows]


def _waited_for(helper: threading.Thread) -> list[BaseException]:
    """Interruptions on the way: its arrays must not be used again while a thread writes them."""
    interruptions: list[BaseException] = []
    while helper.is_alive():
        try:
            helper.join()
        except KeyboardInterrupt as error:
            interruptions.append(error)
    return interruptions
