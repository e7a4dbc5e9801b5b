"""Mutation testing of ``boostloss/losses`` and ``kernels``: does a test fail if the code is changed?

    python tools/mutation.py results.jsonl             # what is written for the compiler
    NUMBA_DISABLE_JIT=1 python tools/mutation.py results.jsonl
    python tools/mutation.py results.jsonl --report

The changes come from cosmic-ray (``pip install --group mutation``). Its runner starts Python again
for each of about 1,600 changes. This tool forks a process that has imported everything else, and
runs only the tests that execute the changed line, or all tests if the line runs on import.
Results are appended line by line, and a second run continues where the first one stopped.
"""

from __future__ import annotations

import argparse
import ast
import collections
import difflib
import importlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "boostloss"
MODULES = {
    f"{path.parent.name}/{path.stem}": path
    for room in ("losses", "kernels")
    for path in sorted((PACKAGE / room).glob("*.py"))
}
TESTS = (
    "losses", "kernels/test_histogram.py", "kernels/test_softmax.py",
    *(f"kernels/test_jit.py::{name}" for name in (
        "test_parts_cover_the_rows", "test_results_come_in_the_rows_order",
        "test_an_error_in_a_thread_is_raised", "test_an_interruption_waits_for_the_threads",
    )),
    "test_persistence.py::test_losses_as_json",
)  # fmt: skip
CACHE_TESTS = (
    "loops_let_other_threads_run", "four_processes_compile_at_once", "a_damaged_cache", "code_of_another_loss_is_not_taken",
    "a_full_disk", "without_the_compiler", "an_install_folder_that_cannot_be_written",
    "a_numba_without_the_class_that_is_guarded", "a_numba_whose_cache_is_another",
    "a_loss_in_a_module_is_cached_until_a_file_changes",
)  # fmt: skip
# code for the compiler, or code that the compiler rounds differently
COMPILED = {
    "kernels/simd_math": ("kernels/test_simd_math.py",),
    "kernels/jit": (
        "kernels/test_simd_math.py",
        *(f"kernels/test_cache.py::test_{name}" for name in CACHE_TESTS),
    ),
    "losses/focal": ("losses/test_exactness.py::test_binary",),
    "losses/asymmetric": ("losses/test_asymmetric.py::test_binary",),
}
MODE = "interpreted" if os.environ.get("NUMBA_DISABLE_JIT") else "compiled"
SECONDS = 60  # of processor time, so that the load of other programs does not look like an endless loop

Visits = dict[tuple[str, int], set[str]]
"""Tests that execute a line of a file."""

# One replacement for each operator. Changes of annotations and decorators are left out, because
# annotations are not evaluated and decorators only compile.
BINARY = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul",
          "LShift_RShift", "RShift_LShift", "BitAnd_BitOr")  # fmt: skip
COMPARISONS = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_GtE", "LtE_Lt", "LtE_Gt", "Gt_GtE", "Gt_LtE",
               "GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is")  # fmt: skip
UNARY = ("USub_UAdd", "Delete_Not", "Delete_Invert")
OTHERS = ("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
          "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer",
          "NumberReplacer", "ZeroIterationForLoop")  # fmt: skip
OPERATORS = {
    *(f"core/ReplaceBinaryOperator_{name}" for name in BINARY),
    *(f"core/ReplaceComparisonOperator_{name}" for name in COMPARISONS),
    *(f"core/ReplaceUnaryOperator_{name}" for name in UNARY),
    *(f"core/{name}" for name in OTHERS),
}

# Changes that no test can or should detect: the changed line, and the reason.
HARMLESS = {
    r"^BLOCK = |FLUSH|CHUNK = |_UNIT, |_TABLES, |^TABLES|_TURN, |np.zeros\(\(4, int": "sizes of blocks, "
    "tables and units: they are for speed, and bounded from below alone",
    r"WORTHWHILE": "from where on threads share the rows, for speed; nothing else depends on it",
    r"n_threads: int = 1": "how rows are shared out between threads changes no result",
    r"FARTHEST\) [<>] 0|right = margin|imbalance < least|> SMALLEST_NORMAL|mass\[mass > 0\]|"
    r"(label|difference|norm|z) >=? |raw.size >= ": "both branches give the same at this very number",
    r"near = \[|range\(400\)": "a step more, or one that is nearer on one side of a jump only",
    r"_T(OP|ARGET)\b": "added or subtracted, it is 0",
    r"\[0\]\.dtype": "all have one type",
    r"share\)$": "a correction of rounding, where the share is 1",
    r"numbers\[at \+ _SHAPE \+ i\], numbers\[at \+ _P": "no value of these losses looks at p",
    r"^_MANTISSA": "the bit more is one that the exponent sets anyhow",
    r"_HALVE32|halve = ": "where to halve: the polynomial holds a little further",
    r"scale = \(float_bits": "the low bits of what is taken off, all that a shift leaves, are 0",
    r"tables\[0\]": "all tables are the same there",
    r"^    zeros = ": "a number more than classes",
    r"rounded_twice = ": "looked at only where it is no finite number, and for its type",
    r"strict=True": "a guard for the next programmer",
    r"crossed = np.uint32\(0\)": "looks for crossings where there are none",
}


class Mutant(NamedTuple):
    module: str
    operator: str
    occurrence: int
    line: int


def not_run(source: str) -> set[int]:
    """Return the lines that only type checkers read."""
    blocks = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.If))
    return {
        line
        for block in blocks
        if getattr(block.test, "id", "") == "TYPE_CHECKING"
        for part in block.body
        for line in range(part.lineno, (part.end_lineno or part.lineno) + 1)
    }


def mutants(module: str) -> list[Mutant]:
    source = MODULES[module].read_text()
    tree, skipped, found = get_ast(source), not_run(source), []
    for name in sorted(OPERATORS & set(operator_names())):
        operator = get_operator(name)()
        places = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        step = 2 if name == "core/NumberReplacer" else 1  # n + 1 without n - 1 is sufficient
        found += [
            Mutant(module, name, i, start[0])
            for i, (start, _) in enumerate(places)
            if not i % step and start[0] not in skipped
        ]
    return found


def preload() -> None:
    """Import what every test imports, except the package itself."""
    for name in ("numba", "hypothesis", "_hypothesis_pytestplugin", "mpmath", "pandas", "joblib",
                 "scipy.optimize", "scipy.special", "sklearn.datasets", "sklearn.linear_model",
                 "sklearn.model_selection", "skops.io", "lightgbm", "xgboost"):  # fmt: skip
        importlib.import_module(name)
    assert "boostloss" not in sys.modules


class _Tests:
    """Runs the tests that execute a line, starting with those that find the most mutants per second."""

    def __init__(self, wanted: set[str] | None, kills: collections.Counter[str], seconds: Any) -> None:
        self.wanted, self.kills, self.seconds = wanted, kills, seconds
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self.wanted is not None:  # None means that the line runs on import
            items[:] = [item for item in items if item.nodeid in self.wanted]
        items.sort(key=self.cost)

    def cost(self, item: Any) -> float:
        """Return seconds per mutant found, counting half a mutant if none was found yet."""
        return float((self.seconds.get(item.nodeid, 0) + 0.02) / (self.kills[item.nodeid] + 0.5))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed = self.failed or report.nodeid

    def answer(self) -> Any:
        return self.failed


class _Watch:
    """Records how long each test takes, and which lines of the losses it executes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.visits: Visits = collections.defaultdict(set)
        self.test = ""

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        name = "/".join(Path(file).with_suffix("").parts[-2:])
        if not self.test or "/boostloss/" not in file or name not in MODULES:
            return None

        def line(frame: Any, event: str, argument: Any) -> Any:
            self.visits[name, frame.f_lineno].add(self.test)
            return line

        return line  # the line of "def" itself runs on import

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Any:
        self.test = item.nodeid
        threading.settrace(self.trace)
        sys.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            self.test = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call":
            self.seconds[report.nodeid] = report.duration

    def answer(self) -> Any:
        visits = [[*place, sorted(tests)] for place, tests in self.visits.items()]
        return {"seconds": self.seconds, "visits": visits}


def start(module: str, source: str, tests: list[str], plugin: Any, answers: Path) -> int:
    """Run the tests on a module's source in a separate process, and return its id."""
    process = os.fork()
    if process:
        return process
    import numba

    sys.dont_write_bytecode = False  # so that pytest rewrites each test file only once
    # a copy of the package, which is also found by processes that a test starts
    tree = answers / f"{os.getpid()}.tree"
    shutil.copytree(ROOT / "boostloss", tree / "boostloss", ignore=shutil.ignore_patterns("*pyc"))
    (tree / MODULES[module].relative_to(ROOT)).write_text(source)
    os.environ["PYTHONPATH"] = str(tree)
    sys.path.insert(0, str(tree))
    os.chdir(tree)
    os.setsid()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    numba.config.CACHE_DIR = str(tree)
    if isinstance(plugin, _Tests):
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
        signal.alarm(10 * SECONDS)  # stops tests that hang
    options = ["-x", "-q", "-W", "ignore", "--hypothesis-profile=few"]
    options += ["-p", "no:cacheprovider", "-p", "no:nbmake"]
    code = 1
    try:
        files = [str(ROOT / "tests" / test) for test in tests]
        code = int(pytest.main([*options, *files], plugins=[plugin]))
        (answers / str(os.getpid())).write_text(json.dumps(plugin.answer()))
    finally:
        os._exit(code)


def outcome_of(status: int) -> str:
    if os.WIFSIGNALED(status):
        slow = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL, signal.SIGALRM)
        return "timeout" if slow else "killed"
    # no test executes the line
    return "survived" if os.WEXITSTATUS(status) in (0, pytest.ExitCode.NO_TESTS_COLLECTED) else "killed"


def changed(mutant: Mutant) -> tuple[str, str]:
    """Return the changed source of the module, and the difference."""
    original = MODULES[mutant.module].read_text()
    source = mutate_code(original, get_operator(mutant.operator)(), mutant.occurrence)
    lines = original.splitlines(), source.splitlines()
    return source, "\n".join(list(difflib.unified_diff(*lines, lineterm="", n=0))[3:])


def unchanged(tests: list[str], answers: Path) -> tuple[dict[str, float], Visits]:
    """Return how long each test takes and which lines it executes. All tests must pass."""
    source = MODULES["losses/run"].read_text()
    process = start("losses/run", source, tests, _Watch(), answers)
    if outcome_of(os.waitpid(process, 0)[1]) != "survived":
        sys.exit("the tests fail on what is unchanged")
    answer = json.loads((answers / str(process)).read_text())
    return answer["seconds"], {(name, line): set(by) for name, line, by in answer["visits"]}


def run(todo: list[Mutant], tests: list[str], results: Path, n_jobs: int) -> None:
    preload()
    answers = Path(tempfile.mkdtemp())
    tried = {mutant: row["tried"] for mutant, row in rows_of(results).items()}
    seconds, visits = unchanged(tests, answers) if MODE == "interpreted" else ({}, {})
    kills: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    running: dict[int, tuple[Mutant, str, float]] = {}
    queue = collections.deque(todo)
    with results.open("a") as file:
        while queue or running:
            while queue and len(running) < n_jobs:
                mutant = queue.popleft()
                source, change = changed(mutant)
                wanted = visits.get((mutant.module, mutant.line))
                plugin = _Tests(wanted, kills[mutant.module], seconds)
                process = start(mutant.module, source, tests, plugin, answers)
                running[process] = mutant, change, time.monotonic()
            process, status = os.waitpid(-1, 0)
            mutant, change, since = running.pop(process)
            shutil.rmtree(answers / f"{process}.tree", ignore_errors=True)
            answer = answers / str(process)
            by = json.loads(answer.read_text()) if answer.exists() else ""
            kills[mutant.module][by] += 1
            row = {**mutant._asdict(), "change": change, "outcome": outcome_of(status)}
            row |= {"seconds": round(time.monotonic() - since, 1), "by": by}
            row["tried"] = [*tried.get(mutant, []), MODE]
            file.write(json.dumps(row) + "\n")
            file.flush()


def rows_of(results: Path) -> dict[Mutant, dict[str, Any]]:
    """Return the last result of each mutant."""
    lines = results.read_text().splitlines() if results.exists() else []
    rows = (json.loads(line) for line in lines)
    return {Mutant(*(row[name] for name in Mutant._fields)): row for row in rows}


def reason(row: dict[str, Any]) -> str | None:
    """Return why a surviving change is harmless, or None if that is not known."""
    line = row["change"].partition("\n")[0].removeprefix("-")
    return next((why for pattern, why in HARMLESS.items() if re.search(pattern, line)), None)


def report(rows: dict[Mutant, dict[str, Any]]) -> None:
    survivors = [row for row in rows.values() if row["outcome"] == "survived"]
    harmless = collections.Counter(reason(row) for row in survivors)
    for row in survivors:
        if reason(row) is None:
            print(f"{row['module']}.py:{row['line']} {row['operator'].removeprefix('core/')}")
            print(row["change"])
    for why, n in harmless.most_common():
        print(f"{n:4} {why or 'to be looked at'}")
    print(f"{len(rows)} mutants, {len(survivors)} survive ({len(survivors) / len(rows):.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--modules", nargs="+", default=None)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    rows = rows_of(given.results)
    if given.report:
        return report(rows)
    modules = given.modules or list(MODULES)

    def open_questions(module: str) -> list[Mutant]:
        return [
            mutant
            for mutant in mutants(module)
            if mutant not in rows
            or (rows[mutant]["outcome"] == "survived" and MODE not in rows[mutant]["tried"])
        ]

    if MODE == "interpreted":
        todo = [mutant for module in modules for mutant in open_questions(module)]
        return run(todo, list(TESTS), given.results, given.jobs)
    for module, tests in COMPILED.items():
        if module in modules:
            run(open_questions(module), list(tests), given.results, given.jobs)
    return None


if __name__ == "__main__":
    main()
