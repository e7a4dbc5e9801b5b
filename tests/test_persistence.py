"""Files of earlier versions, damaged files, foreign files, files that mean harm.

Promised for every later version: model files (``save_model``, the boosters' own files) and losses
as plain data. Pickles and skops files are promised for the versions that wrote them, as
scikit-learn and the engines promise theirs; in any other they work, or say clearly why not.
"""

import json
import os
import pickle
import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest
import sklearn
import xgboost as xgb
from model_fixtures import FIXTURES, described, without_table
from scipy.special import expit, softmax
from sklearn.base import clone

import boostloss as bl
from boostloss import AsymmetricLoss, CrossEntropy, FocalLoss, GHMLoss, model_file
from boostloss.lightgbm import ImbalancedLGBMClassifier
from boostloss.losses import FittedLoss, named
from boostloss.xgboost import ImbalancedXGBClassifier

FOLDERS = sorted(path for path in FIXTURES.iterdir() if path.is_dir())
MAKERS = {
    "xgboost": lambda **params: ImbalancedXGBClassifier(n_jobs=1, **params),
    "lightgbm": lambda **params: ImbalancedLGBMClassifier(n_jobs=1, verbose=-1, **params),
}
SUFFIX = {"xgboost": "json", "lightgbm": "txt"}

# what is expected is stored as float32, and XGBoost adds float32 leaves, in an order of its own
CLOSE = {"rtol": 2e-6, "atol": 2e-6}


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def written(request, tmp_path_factory):
    """Folder with the unpacked files, manifest and expectations of one version."""
    folder = tmp_path_factory.mktemp(request.param.name)
    for name in ("models", "pickles"):
        with tarfile.open(request.param / f"{name}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
    manifest = json.loads((request.param / "manifest.json").read_text(encoding="utf-8"))
    manifest["versions"]["boostloss"] = request.param.name
    with np.load(request.param / "expected.npz") as arrays:
        expected = dict(arrays)
    return folder, manifest, expected


def test_a_released_version_has_fixtures():
    released = ".dev" not in bl.__version__
    assert not released or bl.__version__ in [folder.name for folder in FOLDERS], (
        "run tools/make_fixtures.py"
    )


# -- what is promised -------------------------------------------------------------------


def plain_predictions(path, X, raw=False):
    if path.suffix == ".txt":
        return lgb.Booster(model_file=path).predict(X, raw_score=raw)
    return xgb.Booster(model_file=path).predict(xgb.DMatrix(X), output_margin=raw)


def link(raw):
    return expit(raw) if raw.ndim == 1 else softmax(raw, axis=1)


def test_models_of_every_version(written, tmp_path):
    folder, manifest, expected = written
    X = expected["X"]
    assert len(manifest["models"]) == 20
    for stored in manifest["models"]:
        name, path = stored["name"], folder / stored["file"]
        model = MAKERS[name.partition("-")[0]]()
        model.load_model(path)
        assert model.classes_.tolist() == stored["labels"]
        assert model.probability == stored["probability"]
        assert without_table(model.loss_) == described(stored["loss"], len(stored["labels"]))
        raw = model.raw_score(X)
        np.testing.assert_allclose(raw, expected[f"{name} raw"], **CLOSE)
        np.testing.assert_allclose(model.predict_proba(X), expected[f"{name} probability"], **CLOSE)
        decided = np.array(stored["labels"])[expected[f"{name} decision"]]
        np.testing.assert_array_equal(model.predict(X), decided)
        np.testing.assert_allclose(plain_predictions(path, X, raw=True), raw, **CLOSE)
        np.testing.assert_allclose(plain_predictions(path, X), link(raw), **CLOSE)
        again = tmp_path / stored["file"]
        model.save_model(again)
        model.load_model(again)
        np.testing.assert_array_equal(model.raw_score(X), raw)
        assert without_table(model.loss_) == described(stored["loss"], len(stored["labels"]))


def test_boosters_of_every_version(written):
    folder, manifest, expected = written
    X = expected["X"]
    for stored in manifest["boosters"]:
        path = folder / stored["file"]
        raw = plain_predictions(path, X, raw=True)
        np.testing.assert_allclose(raw, expected[f"{stored['name']} raw"], **CLOSE)
        np.testing.assert_allclose(plain_predictions(path, X), link(raw), **CLOSE)
        plain = json.loads((folder / stored["loss_file"]).read_text(encoding="utf-8"))
        loss = FittedLoss.from_dict(plain, n_classes=raw.shape[1] if raw.ndim == 2 else 2)
        wanted = expected[f"{stored['name']} probability"]
        np.testing.assert_allclose(loss.posterior(raw), wanted, **CLOSE)


@pytest.mark.parametrize(
    "loss",
    [
        CrossEntropy(class_weight="effective", beta=0.9),
        CrossEntropy(class_weight={0: 1.0, 1: np.float64(3.0)}),
        FocalLoss(np.array([1.0, 2.0]), hessian="exact"),
        FocalLoss(2.0, alpha=0.25),
        GHMLoss(7, "bins", 0.5, 0.3, normalize=False, class_weight=2.0),
        GHMLoss(),
        AsymmetricLoss(3, 0.5, 0.1),
    ],
    ids=lambda loss: f"{loss!r:.60}",
)
def test_losses_as_json(loss):
    raw, y = np.linspace(-5, 5, 11), np.arange(11) % 2
    fitted = loss.fit(y, raw)
    again = FittedLoss.from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert again == fitted
    np.testing.assert_array_equal(again.posterior(raw), fitted.posterior(raw))


# -- what is not promised: it works, or says why not ------------------------------------


def same_versions(manifest):
    """boostloss too: its pickles are promised for the version that wrote them."""
    versions = manifest["versions"]
    modules = {"numpy": np, "sklearn": sklearn, "xgboost": xgb, "lightgbm": lgb, "boostloss": bl}
    return all(versions.get(name) == module.__version__ for name, module in modules.items())


def attempt(load, manifest):
    """What was pickled, or None where other versions raised an error with a text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's and XGBoost's: "of another version"
            return load()
    except Exception as error:
        if same_versions(manifest):
            raise
        return None if str(error) else pytest.fail(f"{error!r} says nothing")


def test_pickles_of_every_version(written):
    folder, manifest, expected = written

    def unpickled(name):
        return attempt(lambda: pickle.loads((folder / f"{name}.pickle").read_bytes()), manifest)

    losses = unpickled("losses")
    if losses is not None:
        assert [without_table(loss) for loss in losses] == manifest["losses"]
        for given, loss in zip(unpickled("objectives"), losses, strict=False):
            assert given.loss == loss
            assert np.isfinite(given(np.array([0, 1]), np.array([0.0, 1.0]))).all()
        assert [metric.loss for metric in unpickled("metrics")] == [losses[0], losses[2]]
        run = unpickled("run")
        assert run.flips.tolist() == manifest["run"]["flips"]
        assert run.counts.tolist() == manifest["run"]["counts"]
    for engine in MAKERS:
        model = unpickled(f"{engine}-binary-ghm")
        if model is not None:
            wanted = expected[f"{engine}-binary-ghm probability"]
            np.testing.assert_allclose(model.predict_proba(expected["X"]), wanted, **CLOSE)


@pytest.mark.parametrize("engine", MAKERS)
def test_skops_of_every_version(written, engine):
    skops = pytest.importorskip("skops.io")
    folder, manifest, expected = written
    path = folder / f"{engine}.skops"

    def load():
        unknown = skops.get_untrusted_types(file=path)
        roots = {name.partition(".")[0] for name in unknown}
        assert roots <= {"boostloss", "xgboost", "lightgbm", "collections", "numpy"}
        return skops.load(path, trusted=unknown)

    model = attempt(load, manifest)
    if model is not None:
        wanted = expected[f"{engine}-binary-focal probability"]
        np.testing.assert_allclose(model.predict_proba(expected["X"]), wanted, **CLOSE)


@pytest.mark.parametrize("engine", MAKERS)
def test_pickles_of_this_version(engine):
    model = fitted(engine, FocalLoss(1.5))
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(model, protocol))
        np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))
        assert copy.loss_ == model.loss_
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        pickle.loads(pickle.dumps(model)[:-20])


# -- damaged, foreign and harmful files -------------------------------------------------

_rng = np.random.default_rng(0)
X = _rng.normal(size=(200, 3))
y = (X[:, 0] + _rng.normal(size=200) > 1).astype(int)


def fitted(engine, loss="ghm", labels=("no", "yes"), **params):
    codes = np.arange(200) % 3 if len(labels) == 3 else y
    return MAKERS[engine](loss=loss, n_estimators=2, **params).fit(X, np.array(labels)[codes])


def saved(engine, folder, suffix=None, **params):
    path = folder / f"model.{suffix or SUFFIX[engine]}"
    fitted(engine, **params).save_model(path)
    return path


def refuses(engine, path, match):
    """Loading raises, names the file and leaves the estimator as it was."""
    for model in (MAKERS[engine](), fitted(engine, "balanced", labels=("a", "b", "c"))):
        before = dict(vars(model))
        with pytest.raises(ValueError, match=match) as caught:
            model.load_model(path)
        assert path.name in str(caught.value)
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is before[name] for name in before)
    assert model.predict_proba(X).shape == (200, 3)


@pytest.mark.parametrize("engine", MAKERS)
@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b'{"cells": [], "nbformat": 4}', b"tree\n", b"{L\x00",
     _rng.bytes(1000), b"\x00" * 1000, b"tree\nversion=v4\n" + _rng.bytes(500)],
    ids=["empty", "object", "list", "null", "notebook", "tree", "cut", "random", "zeros", "header"],
)  # fmt: skip
def test_not_a_model(engine, content, tmp_path):
    path = tmp_path / f"no_model.{SUFFIX[engine]}"
    path.write_bytes(content)
    refuses(engine, path, "saved by this class")


@pytest.mark.parametrize("engine", MAKERS)
def test_models_of_others(engine, tmp_path):
    path = tmp_path / f"theirs.{SUFFIX[engine]}"
    model = fitted(engine)
    (model.get_booster() if engine == "xgboost" else model.booster_).save_model(path)
    refuses(engine, path, "saved by this class")
    if engine == "xgboost":
        xgb.XGBRegressor(n_estimators=2).fit(X, X[:, 0]).save_model(path)
    else:
        lgb.LGBMRegressor(n_estimators=2, verbose=-1).fit(X, X[:, 0]).booster_.save_model(path)
    refuses(engine, path, "saved by this class")
    other = "lightgbm" if engine == "xgboost" else "xgboost"
    for suffix in ("json", "ubj", "txt") if other == "xgboost" else ("txt",):
        refuses(engine, saved(other, tmp_path, suffix), "XGBoost|LightGBM|Tree|saved by")
    with pytest.raises(OSError, match="nowhere"):
        MAKERS[engine]().load_model(tmp_path / "nowhere.json")


CUT = """
import sys, warnings
from pathlib import Path
from boostloss import ImbalancedXGBClassifier, ImbalancedLGBMClassifier
path = Path(sys.argv[1])
whole = path.read_bytes()
model = ImbalancedLGBMClassifier(verbose=-1) if path.suffix == ".txt" else ImbalancedXGBClassifier()
model.load_model(path)
before = dict(vars(model))
middle, step = len(whole) // 2, max(len(whole) // 400, 1)
damaged = [whole[:n] for n in {*range(0, len(whole), step), *range(60), len(whole) - 1}]
damaged += [whole[:n] + bytes([whole[n] ^ bit]) + whole[n + 1 :]
            for n in range(0, len(whole), step) for bit in (1, 64)]
damaged += [whole[:n] + whole[n + cut :] for n in range(0, len(whole), step) for cut in (1, 40)
            if whole[n:] != whole[n + cut :]]
damaged += [whole[:n] + bytes(len(whole) - n) for n in range(0, len(whole), step)]
for content in damaged:
    path.write_bytes(content)
    try:
        model.load_model(path)
    except ValueError as error:
        assert path.name in str(error), error
    else:
        raise SystemExit("a damaged file was taken")
    assert vars(model).keys() == before.keys() and all(vars(model)[k] is before[k] for k in before)
print(len(damaged))
"""


@pytest.mark.parametrize("suffix", ["json", "ubj", "txt"])
def test_damaged_files(suffix, tmp_path):
    # the engines' readers end the process on some of these, so it is one of its own
    path = saved("lightgbm" if suffix == "txt" else "xgboost", tmp_path, suffix)
    done = subprocess.run([sys.executable, "-c", CUT, str(path)], capture_output=True, text=True,
                          timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 1000


def test_line_ends_may_change(tmp_path):
    path = saved("lightgbm", tmp_path)
    want = MAKERS["lightgbm"]().load_model(path).predict_proba(X)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(MAKERS["lightgbm"]().load_model(path).predict_proba(X), want)


def test_a_model_in_memory(tmp_path):
    path = saved("xgboost", tmp_path, "ubj")
    model = MAKERS["xgboost"]()
    for data in (path.read_bytes(), bytearray(path.read_bytes())):
        model.load_model(data)
        assert model.predict_proba(X).shape == (200, 2)
        with pytest.raises(ValueError, match="the model is not as it was saved"):
            model.load_model(data[:-1])
    assert model.get_booster().attributes() == {}


def with_state(engine, path, text):
    """The same model with another state, a right checksum included."""
    unsealed = {model_file.SEAL: model_file.UNSEALED}
    if engine == "xgboost":
        booster = xgb.Booster(model_file=path)
        booster.set_attr(boostloss=text, **unsealed)
        booster.save_model(path)
        data = path.read_bytes()
    else:
        lines = path.read_text(encoding="utf-8").split("\n")
        at = next(i for i, line in enumerate(lines) if line.startswith("boostloss="))
        # LightGBM's own reader takes no second "=" in a line
        lines[at : at + 2] = [
            "boostloss=" + text.replace("=", "\\u003d"),
            "=".join(*unsealed.items()),
        ]
        data = "\n".join(lines).encode()
    path.write_bytes(model_file.sealed(data))


def state_of(engine, path):
    if engine == "xgboost":
        return json.loads(xgb.Booster(model_file=path).attr("boostloss"))
    lines = path.read_text(encoding="utf-8").split("\n")
    return json.loads(next(line for line in lines if line.startswith("boostloss="))[10:])


FOCAL = {"type": "FocalLoss", "params": {"gamma": 2.0}}


def labels(dtype, values=("no", "yes")):
    return {"labels": {"dtype": dtype, "values": values}}


def loss(kind, **params):
    return {"loss": {"type": kind, "params": params}}


REDUCE = "gASVIQAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAV0b3VjaJSFlFKULg"
"""``pickle.dumps`` of something that runs a command, in base64: nobody must read it as such."""

WRONG = {
    "later format": {"format": 4},
    "shares of another number": {"class_share": [1.0]},
    "shares that are none": {"class_share": ["a", "b"]},
    "prior that does not add up": {"prior": [0.5, 0.6]},
    "format as text": {"format": "1"},
    "given loss of three": {"given_loss": {"type": "focal", "params": {"class_weight": [1, 2, 3]}}},
    "given loss unknown": {"given_loss": {"type": "os.system", "params": {}}},
    "no probability": {"probability": "eval"},
    "probability list": {"probability": ["posterior"]},
    "unknown loss": loss("os.system", command="touch harm"),
    "dotted loss": loss("boostloss.FocalLoss"),
    "private loss": loss("_AsDefined", weights=1),
    "type list": {"loss": {"type": ["FocalLoss"], "params": {}}},
    "type dict": {"loss": {"type": {"py/reduce": "os.system"}, "params": {}}},
    "loss text": {"loss": REDUCE},
    "loss list": {"loss": [["os.system", "touch harm"]]},
    "loss null": {"loss": None},
    "params null": {"loss": {"type": "FocalLoss", "params": None}},
    "params list": {"loss": {"type": "FocalLoss", "params": ["gamma"]}},
    "unknown params": loss("FocalLoss", command="touch harm"),
    "dunder params": loss("FocalLoss", __reduce__=REDUCE),
    "gamma dict": loss("FocalLoss", gamma={"__reduce__": ["os.system", "touch harm"]}),
    "gamma text": loss("FocalLoss", gamma="__import__('os').system('touch harm')"),
    "gamma NaN": loss("FocalLoss", gamma=float("nan")),
    "gamma list": loss("FocalLoss", gamma=[1.0, 2.0, 3.0]),
    "weights of 3": loss("FocalLoss", class_weight=[1.0, 2.0, 3.0]),
    "weights negative": loss("FocalLoss", class_weight=[1.0, -2.0]),
    "weights to count": loss("FocalLoss", class_weight="balanced"),
    "weights nested": loss("FocalLoss", class_weight=[[1.0], [2.0]]),
    "GHM without table": loss("GHMLoss"),
    "table of 3": loss("FrozenGHM", log_weight=[[0.0]] * 3),
    "table text": loss("FrozenGHM", log_weight=REDUCE),
    "table empty": loss("FrozenGHM", log_weight=[]),
    "table infinite": loss("FrozenGHM", log_weight=[float("inf")]),
    "labels missing": {"labels": None},
    "one label": labels("<U3", ["no"]),
    "no labels": labels("<U3", []),
    "three labels": labels("<U3", ["a", "b", "c"]),
    "labels twice": labels("<U3", ["no", "no"]),
    "labels unsorted": labels("<U3", ["yes", "no"]),
    "labels of two kinds": labels("O", ["no", 1]),
    "labels nested": labels("<i8", [[0], [1]]),
    "objects": labels("O", [{"py/reduce": "os.system"}, {"py/reduce": "os.system"}]),
    "objects null": labels("O", [None, None]),
    "dtype of numbers": labels("<i8"),
    "dtype of texts": labels("<U3", [0, 1]),
    "dtype unknown": labels("os.system"),
    "dtype structured": labels([["a", "<U3"]]),
    "dtype with shape": labels("(1000000000)U3"),
    "dtype commas": labels("U3,O"),
    "dtype void": labels("V1000000000"),
    "dtype null": labels(None),
    "numbers too large": labels("<i1", [0, 1000]),
    "numbers huge": labels("<i8", [0, 10**30]),
    "numbers as objects": labels("O", [0, 1]),
}  # fmt: skip
TEXTS = ["", "null", "[]", "{}", "0", '"', "[" * 20_000, '{"format":' * 20_000, REDUCE, "\x00",
         "__import__('os').system('touch harm')", '{"format": 1e999}']  # fmt: skip


@pytest.mark.parametrize("engine", MAKERS)
def test_wrong_states(engine, tmp_path):
    path = saved(engine, tmp_path, loss=FocalLoss(2.0))
    state = state_of(engine, path)
    with_state(engine, path, json.dumps(state))
    MAKERS[engine]().load_model(path)
    for name, change in WRONG.items():
        with_state(engine, path, json.dumps({**state, **change}))
        try:
            refuses(engine, path, "cannot be read|must be a model of")
        except BaseException as error:
            error.add_note(name)
            raise
    for missing in state:
        with_state(engine, path, json.dumps({k: v for k, v in state.items() if k != missing}))
        refuses(engine, path, f"cannot be read: no '{missing}'")
    for text in TEXTS:
        if engine == "lightgbm" or "\x00" not in text:
            with_state(engine, path, text)
            refuses(engine, path, "cannot be read")


@pytest.mark.parametrize("engine", MAKERS)
def test_a_model_of_other_classes(engine, tmp_path):
    three = saved(engine, tmp_path, labels=(1, 2, 3))
    three = three.rename(tmp_path / f"three.{SUFFIX[engine]}")
    state = state_of(engine, three)
    two = saved(engine, tmp_path, loss=FocalLoss(2.0))
    with_state(engine, three, json.dumps(state_of(engine, two)))
    refuses(engine, three, "must be a model of 2 classes")
    with_state(engine, two, json.dumps(state))
    refuses(engine, two, "must be a model of 3 classes")


@pytest.mark.parametrize("engine", MAKERS)
@pytest.mark.parametrize("dtype", ["<U1000000000", "U999999999999999999", "<U1", "=U3", "|O"])
def test_the_width_of_texts_is_their_own(engine, dtype, tmp_path):
    path = saved(engine, tmp_path, loss=FocalLoss(2.0))
    with_state(engine, path, json.dumps({**state_of(engine, path), **labels(dtype)}))
    model = MAKERS[engine]()
    model.load_model(path)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.classes_.nbytes < 100


@pytest.mark.parametrize("engine", MAKERS)
@pytest.mark.parametrize(
    "kinds",
    [np.array(["a=b", "ü\n"]), np.array(["x", "y"], object), np.array([False, True]),
     np.array([0, 2], np.uint8), np.array([-1, 2**62]), np.array([1, 2], np.float32),
     np.array(["1", "2"], "U40"), np.array(["boostloss_sha256=" + "0" * 64, "b"])],
    ids=lambda kinds: str(kinds.dtype),
)  # fmt: skip
def test_labels_come_back(engine, kinds, tmp_path):
    path = tmp_path / f"model.{SUFFIX[engine]}"
    model = fitted(engine, "focal", labels=kinds)
    model.save_model(path)
    read = MAKERS[engine]()
    read.load_model(path)
    assert read.classes_.tolist() == model.classes_.tolist()
    assert read.classes_.dtype.kind == model.classes_.dtype.kind
    assert read.predict(X).tolist() == model.predict(X).tolist()


NOTHING_RUNS = """
import json, os, sys, resource
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_persistence as t
folder, engine, happened = Path(sys.argv[2]), sys.argv[3], []
watched = ("exec", "compile", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen",
           "pickle.find_class", "ctypes.dlopen", "socket.connect", "shutil.rmtree", "os.remove")
files = []
path = t.saved(engine, folder, loss=t.FocalLoss(2.0))
whole, state = path.read_bytes(), t.state_of(engine, path)
for i, change in enumerate([*t.WRONG.values(), *map(t.labels, ("<U1000000000", "U999999999999"))]):
    path.write_bytes(whole)
    t.with_state(engine, path, json.dumps({**state, **change}))
    files.append(path.rename(folder / f"{i}.{t.SUFFIX[engine]}"))
t.MAKERS[engine]().load_model(files[-1])  # what is loaded late is loaded now
on = False
sys.addaudithook(lambda event, _: happened.append(event) if on and event in watched else None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
on = True
for file in files:
    try:
        t.MAKERS[engine]().load_model(file)
    except ValueError:
        pass
on = False
assert not happened, happened
assert not Path("harm").exists()
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert grown < 200_000, f"{grown} KiB more"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize("engine", MAKERS)
def test_reading_a_model_runs_nothing(engine, tmp_path):
    command = [sys.executable, "-W", "ignore", "-c", NOTHING_RUNS, str(Path(__file__).parent)]
    done = subprocess.run([*command, str(tmp_path), engine], cwd=tmp_path, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert not os.path.exists(tmp_path / "harm")


@pytest.mark.parametrize("engine", MAKERS)
def test_saving_leaves_the_model_alone(engine, tmp_path):
    model = fitted(engine, FocalLoss(1.0))
    before = dict(vars(model))
    own = type("Own", (FocalLoss,), {})(1.0)
    model._fitted = model._fitted._replace(loss=own.fit([0, 1]))
    with pytest.raises(TypeError, match="only a registered loss"):
        model.save_model(tmp_path / f"own.{SUFFIX[engine]}")
    model._fitted = before["_fitted"]
    model.save_model(tmp_path / f"model.{SUFFIX[engine]}")
    assert all(vars(model)[name] is before[name] for name in before)
    if engine == "xgboost":
        assert model.get_booster().attributes() == {}
    assert [path.name for path in tmp_path.iterdir()] == [f"model.{SUFFIX[engine]}"]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("loss", ["cross_entropy", "balanced", "focal", "ghm", FocalLoss(3.0)])
@pytest.mark.parametrize("labels", [[0, 1], ["b", "a"]])
def test_a_loaded_model_has_the_loss_that_trained(kind, loss, labels, tmp_path):
    rng = np.random.default_rng(0)
    codes = (rng.random(400) < 0.2).astype(int)
    X, y = rng.normal(size=(400, 3)) + codes[:, None], np.array(labels)[codes]
    model = MAKERS[kind](loss=loss, n_estimators=5).fit(X, y)
    model.save_model(tmp_path / "model.json")
    read = MAKERS[kind](n_estimators=5)
    read.load_model(tmp_path / "model.json")
    assert type(read.loss) is type(named(loss))
    assert read.loss == named(loss)
    again = clone(read).fit(X, y)
    np.testing.assert_allclose(again.predict_proba(X), model.predict_proba(X), rtol=1e-5)
    other = MAKERS["xgboost"]()
    if kind == "lightgbm":
        with pytest.raises(ValueError, match="LightGBM model: load it with ImbalancedLGBMClass"):
            other.load_model(tmp_path / "model.json")


WEIGHTS = ["balanced", "effective", None, {"no": 1.0, "yes": 7.0}, [1.0, 7.0]]


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("engine", MAKERS)
def test_another_fit_after_loading_counts_the_weights_of_its_own_rows(engine, weight, tmp_path):
    loss = FocalLoss(2.0, class_weight=weight, beta=0.9)
    model = fitted(engine, loss)
    model.save_model(tmp_path / "model")
    read = MAKERS[engine](n_estimators=2)
    read.load_model(tmp_path / "model")
    by_label = {"no": 1.0, "yes": 7.0} if isinstance(weight, list) else weight
    assert read.loss == FocalLoss(2.0, class_weight=by_label, beta=0.9)
    labels = np.array(["no", "yes"])[np.arange(200) % 2]
    again = read.fit(X, labels).predict_proba(X)
    np.testing.assert_array_equal(again, model.fit(X, labels).predict_proba(X))
    if by_label is None or isinstance(weight, str):
        other = np.array(["a", "b", "c"])[np.arange(200) % 3]
        np.testing.assert_array_equal(read.fit(X, other).classes_, ["a", "b", "c"])


@pytest.mark.parametrize("engine", MAKERS)
def test_the_engines_class_weights_are_not_applied_twice_after_loading(engine, tmp_path):
    labels = np.array([0, 1])[y]
    params = {"n_estimators": 2, "scale_pos_weight": 9.0}
    model = MAKERS[engine](loss="focal", **params).fit(X, labels)
    model.save_model(tmp_path / "model")
    read = MAKERS[engine](**params)
    read.load_model(tmp_path / "model")
    np.testing.assert_array_equal(read.loss_.class_weight, [1.0, 9.0])
    assert read.loss == FocalLoss()
    again = read.fit(X, labels).predict_proba(X)
    np.testing.assert_array_equal(again, model.predict_proba(X))


@pytest.mark.parametrize("engine", MAKERS)
def test_a_file_contains_the_loss_of_the_training(engine, tmp_path):
    """Whatever has become of the parameter since: it need not fit the model's labels."""
    shared = FocalLoss()
    models = {
        "three": fitted(engine, shared, labels=("a", "b", "c")),
        "two": fitted(engine, shared),
    }
    shared.set_params(class_weight=5.0)  # for another model, with labels 0 and 1
    for name, model in models.items():
        for other in (shared, CrossEntropy(class_weight=[1, 5]), CrossEntropy(class_weight=[1] * 3)):
            model.set_params(loss=other).save_model(tmp_path / name)
            read = MAKERS[engine]()
            read.load_model(tmp_path / name)
            assert read.loss == FocalLoss()
            np.testing.assert_array_equal(read.predict_proba(X), model.predict_proba(X))
            read.save_model(tmp_path / "again")
            read.load_model(tmp_path / "again")
            assert read.loss == FocalLoss()
