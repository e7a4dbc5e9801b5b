"""The compiler's files: made by several processes, damaged, out of date, or not to be had.

Also of losses that users write, in a module, a script or a notebook.
"""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import in_python, output

from boostloss import FocalLoss
from boostloss.kernels import binary, histogram, jit, softmax

GRADIENTS = """
import numpy as np
from boostloss import CrossEntropy, FocalLoss, GHMLoss
losses = {"ce": CrossEntropy(), "focal": FocalLoss(2), "ghm": GHMLoss()}
y, scores = np.arange(64) % 2, np.linspace(-5, 5, 64, dtype=np.float32)
if len(sys.argv) > 2:
    print("ready", flush=True)
    sys.stdin.readline()
for name in sys.argv[1].split(","):
    gradient, hessian = losses[name].gradient_hessian(y, scores)
    print(name, gradient.tobytes().hex(), hessian.tobytes().hex())
from boostloss.kernels import binary
functions = losses["focal"].row_functions()
kernel = binary._gradient_loop(functions.slope, functions.curvature)
print("hits", sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
"""


def gradients(cache, names):
    """Gradients of the losses as sorted lines, and focal's hits and misses of the cache."""
    *lines, hits = output(in_python(GRADIENTS, names, NUMBA_CACHE_DIR=str(cache))).splitlines()
    return sorted(lines), [int(number) for number in hits.split()[1:]]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A full cache, made by four processes at once, and the right results."""
    cache = tmp_path_factory.mktemp("cache")
    orders = ["ce,focal,ghm", "focal,ghm,ce", "ghm,ce,focal", "focal,ce,ghm"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    processes = [
        subprocess.Popen([sys.executable, "-c", "import sys" + GRADIENTS, order, "wait"], text=True,
                         env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE) for order in orders
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    done = [sorted(output(process).splitlines()[:-1]) for process in processes]
    return cache, done


def test_four_processes_compile_at_once(compiled):
    cache, done = compiled
    scores = np.linspace(-5, 5, 64, dtype=np.float32)
    gradient, _ = FocalLoss(2).gradient_hessian(np.arange(64) % 2, scores)
    assert any(gradient.tobytes().hex() in line for line in done[0])
    assert all(lines == done[0] for lines in done)
    for _ in range(2):  # what the four lost to one another is compiled once more
        again, hits = gradients(cache, "ce,focal,ghm")
        assert again == done[0]
    assert hits == [1, 0]


def flipped(whole):
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


def test_a_damaged_cache(compiled):
    cache, done = compiled
    want = [line for line in done[0] if line.startswith("focal")]
    damages = [("nbi", lambda whole: whole[: len(whole) // 2]), ("nbc", lambda whole: whole[:-1]),
               ("nbc", flipped), ("nbc", None)]  # fmt: skip
    for suffix, damage in damages:
        files = [*cache.rglob(f"*.{suffix}")]
        assert files
        for file in files:
            if damage is None:
                file.unlink()
            else:
                file.write_bytes(damage(file.read_bytes()))
        assert gradients(cache, "focal") == (want, [0, 1])
    assert gradients(cache, "focal") == (want, [1, 0])


def test_code_of_another_loss_is_not_taken(compiled):
    """What two processes leave that compile two losses at the same moment."""
    cache, done = compiled
    gradients(cache, "ce,focal")  # both are there
    files = sorted(cache.rglob("*binary_gradient*.nbc"))
    contents = [file.read_bytes() for file in files]
    assert len(set(contents)) == len(files) > 1
    for file, content in zip(files, contents[1:] + contents[:1], strict=True):
        file.write_bytes(content)
    want = [line for line in done[0] if line.startswith("focal")]
    assert gradients(cache, "focal") == (want, [0, 1])


def test_a_full_disk(tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jit._CacheFile, "_open_for_write", full)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    @jit.kernel
    def double(x):
        return 2 * x

    assert type(double._cache._cache_file) is jit._CacheFile
    assert double(21) == 42


DISABLED = """
from boostloss import CrossEntropy
print(CrossEntropy().gradient_hessian([0, 1], [0.0, 0.0])[0])
"""


def test_without_the_compiler():
    assert output(in_python(DISABLED, NUMBA_DISABLE_JIT="1")) == "[ 0.5 -0.5]\n"


UNWRITABLE = """
import numba.core.caching as caching
def refuse(self):
    raise OSError("read-only file system")
caching._CacheLocator.ensure_cache_path = refuse
from boostloss import FocalLoss
gradient, _ = FocalLoss(2).gradient_hessian([0, 1], [0.0, 0.0])
assert gradient[0] > 0
from boostloss.kernels import binary
kernel = binary._gradient_loop(*FocalLoss(2).row_functions()[1:3])
assert kernel.targetoptions["nogil"]
assert kernel.stats.cache_path is None
"""


CONTAINER = """
import numpy as np
from boostloss import ImbalancedXGBClassifier
rng = np.random.default_rng(0)
X, y = rng.normal(size=(400, 3)), np.where(rng.random(400) < 0.2, "fraud", "ok")
model = ImbalancedXGBClassifier(loss="focal", n_estimators=9, early_stopping_rounds=3)
model.fit(X, y, eval_set=[(X, y)], verbose=False).predict_proba(X[:1])
"""


def test_an_image_whose_cache_is_filled_as_the_page_says(tmp_path):
    page = Path(__file__).parents[2].joinpath("docs", "install.md").read_text(encoding="utf-8")
    recipe = re.search(r'^RUN python -c "(.*?)"$', page, re.MULTILINE | re.DOTALL)[1]
    recipe = recipe.replace("\\\n", "").strip()
    pytest.importorskip("xgboost")

    def run(code):
        output(in_python(code, NUMBA_CACHE_DIR=str(tmp_path)))
        return sorted(file.name for file in tmp_path.rglob("*.nbc"))

    compiled = run(recipe)
    assert len(compiled) >= 4
    assert run(CONTAINER) == compiled


def test_loops_let_other_threads_run():
    loops = [binary._gradient_loop(*FocalLoss(2).row_functions()[1:3]), histogram.add_rows,
             histogram.apply_weights, softmax.targets, softmax.to_rows(3)]  # fmt: skip
    for loop in loops:
        assert loop.targetoptions["nogil"]


def test_an_install_folder_that_cannot_be_written():
    output(in_python(UNWRITABLE))


WITHOUT_NUMBAS_CLASS = """
import types
import numba.core.caching as caching
other = types.ModuleType("numba.core.caching")
other.__dict__.update({k: v for k, v in vars(caching).items() if k != "IndexDataCacheFile"})
sys.modules["numba.core.caching"] = other
from boostloss.kernels import jit
assert jit.IndexDataCacheFile is None
"""


def test_a_numba_without_the_class_that_is_guarded(tmp_path):
    """Its own plain cache is used."""
    found = []
    for _ in range(2):
        process = in_python(WITHOUT_NUMBAS_CLASS + GRADIENTS, "focal", NUMBA_CACHE_DIR=tmp_path)
        *lines, hits = output(process).splitlines()
        found.append((lines, hits))
    assert found[0][1] == "hits 0 1"
    assert found[1][1] == "hits 1 0"
    assert found[0][0] == found[1][0]
    gradient, _ = FocalLoss(2).gradient_hessian(
        np.arange(64) % 2, np.linspace(-5, 5, 64, dtype=np.float32)
    )
    assert any(gradient.tobytes().hex() in line for line in found[0][0])


OTHER_CACHE = """
import numba.core.dispatcher as dispatcher
class Other:  # whose private parts are named otherwise
    def __init__(self, cache): self._it = cache
    def __getattr__(self, name):
        if name in ("_impl", "_cache_file"): raise AttributeError(name)
        return getattr(self._it, name)
enable = dispatcher.Dispatcher.enable_caching
def other(self):
    enable(self)
    self._cache = Other(self._cache)
dispatcher.Dispatcher.enable_caching = other
"""


def test_a_numba_whose_cache_is_another(tmp_path):
    process = in_python(OTHER_CACHE + GRADIENTS, "focal", NUMBA_CACHE_DIR=tmp_path)
    assert output(process).splitlines()[-1] == "hits 0 1"


# -- losses of ones own ---------------------------------------------------------------------------

OWN = """
from boostloss.losses import Loss, register, scalar

@register
class Mine(Loss):
    name = "mine"

    def __init__(self, a=0.7, *, class_weight=None, beta=0.9999):
        self.a = a
        self.class_weight = class_weight
        self.beta = beta
        self.check_params()

    def shape_params(self, n_classes):
        return {"a": self.a}

    @scalar
    def value(row, a):
        return (1.0 - row.p**a) / a

    @scalar
    def slope(row, a):
        return power(row.p, a) * row.q
"""
HELPER = """
from boostloss.losses import scalar

@scalar
def power(p, a):
    return FACTOR * p**a
"""
ROUND = """
import numpy as np

def one_round(loss):
    y, raw = np.arange(60) % 2, np.linspace(-4, 4, 60)
    gradient, hessian = loss.gradient_hessian(y, raw)
    found = gradient, hessian, loss.value(y, raw), loss.fit(y, raw).posterior(raw), [loss.init_score(y)]
    return [np.asarray(array, float).round(12).tolist() for array in found]
"""
SCRIPT = (
    HELPER.replace("FACTOR", "1.0")
    + OWN
    + ROUND
    + """
import multiprocessing, pickle, sys
import joblib

if __name__ == "__main__":
    loss = Mine(0.5, class_weight="balanced")
    want = one_round(loss)
    assert pickle.loads(pickle.dumps(loss)) == loss
    for method in {"spawn", "fork"} & set(multiprocessing.get_all_start_methods()):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.map(one_round, [loss, loss]) == [want, want], method
    in_loky = joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(one_round)(loss) for _ in range(2))
    assert in_loky == [want, want]
    print(want)
"""
)


def exact_round(factor=1.0, a=0.5, weight=1.0):
    """The binary gradient of the loss above."""
    y, raw = np.arange(60) % 2, np.linspace(-4, 4, 60)
    p = 1 / (1 + np.exp(-np.where(y == 1, raw, -raw)))
    return np.where(y == 1, -1, 1) * factor * p**a * (1 - p) * weight


def test_a_loss_in_a_script(tmp_path):
    """Also in the processes that it starts, however they get it."""
    script, cache = tmp_path / "script.py", tmp_path / "cache"
    script.write_text(SCRIPT)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    found = eval(output(process))
    np.testing.assert_allclose(found[0], exact_round(), rtol=1e-6)


NOTEBOOK = """
import linecache
source = {source!r}
name = "<ipython-input-1>"
linecache.cache[name] = len(source), None, source.splitlines(True), name
exec(compile(source, name, "exec"), globals())
first = one_round(Mine(0.5))
assert named("mine") == Mine()
source = source.replace("1.0 * p**a", "2.0 * p**a")  # the cell is run again
exec(compile(source, name, "exec"), globals())
second = one_round(Mine(0.5))
print([first[0], second[0], one_round(type(pickle.loads(pickle.dumps(Mine())))(0.5))[0]])
"""


def test_a_loss_in_a_notebook_that_is_defined_again():
    source = HELPER.replace("FACTOR", "1.0") + OWN + ROUND
    code = "import pickle\nfrom boostloss.losses import named\n" + NOTEBOOK.format(source=source)
    first, second, third = eval(output(in_python(code)))
    np.testing.assert_allclose(first, exact_round(), rtol=1e-6)
    np.testing.assert_allclose(second, exact_round(2.0), rtol=1e-6)
    assert third == second


IMPORTING = """
import numpy as np
from boostloss.kernels import binary
import mine
y, raw = np.arange(60) % 2, np.linspace(-4, 4, 60)
for name in sys.argv[1:]:
    kind = getattr(mine, name)
    gradient, _ = kind(0.5).gradient_hessian(y, raw)
    kernel = binary._gradient_loop(*kind.functions[1:3])
    print([sum(kernel.stats.cache_hits.values()), gradient.tolist()])
"""


def import_loss(folder, factor, source=OWN, names=("Mine",)):
    """Hits of the cache and gradients in a new process: a module of losses, its helper in another."""
    files = {"helper.py": HELPER.replace("FACTOR", str(factor)),
             "mine.py": "from helper import power\n" + source}  # fmt: skip
    for name, text in files.items():
        file = folder / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    code = f"sys.path.insert(0, {str(folder)!r})\n" + IMPORTING
    process = in_python(code, *names, NUMBA_CACHE_DIR=folder / "cache", PYTHONDONTWRITEBYTECODE="1")
    return [eval(line) for line in output(process).splitlines()]


def test_a_loss_in_a_module_is_cached_until_a_file_changes(tmp_path):
    """Its own, or that of a helper which it imports; two in one file are told apart."""
    two = OWN + OWN.replace("Mine", "Other").replace('"mine"', '"other"').replace(
        "row.q\n", "row.q * 5\n"
    )
    changed = two.replace("* row.q\n", "* row.q * 3.0\n")
    for factor, source, hits, total in ((1.0, two, 0, 1), (1.0, two, 1, 1), (2.0, two, 0, 2),
                                        (2.0, changed, 0, 6)):  # fmt: skip
        mine, other = import_loss(tmp_path, factor, source, ("Mine", "Other"))
        np.testing.assert_allclose(mine[1], exact_round(total), rtol=1e-6)
        np.testing.assert_allclose(other[1], exact_round(5 * factor), rtol=1e-6)
        assert mine[0] == other[0] == hits
