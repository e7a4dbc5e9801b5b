"""Write models of this version to tests/fixtures/<version>/, for later versions to read.

Run this once for each release, with the oldest supported engines. An existing directory is not
changed.

    python tools/make_fixtures.py
"""

import io
import json
import pickle
import platform
import sys
import tarfile
from pathlib import Path

import lightgbm as lgb
import numpy as np
import sklearn
import skops.io
import xgboost as xgb

import boostloss
import boostloss.lightgbm
import boostloss.xgboost
from boostloss import CrossEntropy, FocalLoss, GHMLoss, Recorder

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from model_fixtures import FIXTURES, without_table

ROWS = 20
LOSSES = {
    "cross_entropy": "cross_entropy",
    "balanced": "balanced",
    "focal": FocalLoss(2.0, alpha=0.25),
    "ghm": "ghm",
    "bins": GHMLoss(density="bins"),
}
LABELS = {
    "binary": [["no", "yes"], [0, 1]],
    "softmax": [["a=b", "b", "ü"], [3, 5, 9]],
}


def data(n_classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4)).astype(np.float32)
    score = X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(0, 0.5, 400)
    shares = [0.8] if n_classes == 2 else [0.7, 0.9]
    return X, np.searchsorted(np.quantile(score, shares), score)


def classifier(engine, loss):
    if engine == "xgboost":
        kind, params = boostloss.ImbalancedXGBClassifier, {"max_depth": 2, "n_jobs": 1}
    else:
        kind, params = boostloss.ImbalancedLGBMClassifier, {"num_leaves": 4, "verbose": -1, "n_jobs": 1}
    return kind(loss=loss, n_estimators=3, **params)


def loss_of(name, n_classes):
    # alpha is for two classes; with more, class_weight has one weight for each
    if name == "focal" and n_classes == 3:
        return FocalLoss(2.0, class_weight=[0.25, 0.5, 0.75])
    return LOSSES[name]


def file_of(save, suffix):
    path = Path(f"fixture.{suffix}")
    try:
        save(path)
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


def make_models(models, expected):
    """Write the files of the classifiers, and their expected predictions."""
    described, fitted = [], {}
    for engine in ("xgboost", "lightgbm"):
        for problem, kinds in LABELS.items():
            X, codes = data(len(kinds[0]))
            for i, name in enumerate(LOSSES):
                labels = np.array(kinds[i % 2])
                model = classifier(engine, loss_of(name, len(labels))).fit(X, labels[codes])
                if name == "balanced":
                    model.set_params(probability="link")
                key = f"{engine}-{problem}-{name}"
                suffix = "txt" if engine == "lightgbm" else ("json", "ubj")[i % 2]
                write(models, f"{key}.{suffix}", file_of(model.save_model, suffix))
                rows = X[:ROWS]
                expected[f"{key} probability"] = model.predict_proba(rows).astype(np.float32)
                expected[f"{key} raw"] = model.raw_score(rows).astype(np.float32)
                expected[f"{key} decision"] = np.searchsorted(labels, model.predict(rows))
                described.append(
                    {"name": key, "file": f"{key}.{suffix}", "labels": labels.tolist(),
                     "probability": model.probability, "loss": without_table(model.loss_)}
                )  # fmt: skip
                fitted[key] = model
    return described, fitted


def make_boosters(models, expected):
    """Write boosters of boostloss.xgboost.train and boostloss.lightgbm.train, and their losses."""
    X, y = data(2)
    described, recorder = [], Recorder(bins=5)
    dtrain, train_set = xgb.DMatrix(X, y), lgb.Dataset(X, y)
    boosters = {
        "xgboost": boostloss.xgboost.train(
            {"max_depth": 2, "nthread": 1}, dtrain, 3, loss=GHMLoss(), recorder=recorder
        ),
        "lightgbm": boostloss.lightgbm.train(
            {"num_leaves": 4, "verbose": -1, "num_threads": 1}, train_set, 3, loss=GHMLoss()
        ),
    }
    for engine, booster in boosters.items():
        key, suffix = f"{engine}-train", "ubj" if engine == "xgboost" else "txt"
        raw = (
            booster.predict(dtrain, output_margin=True)
            if engine == "xgboost"
            else booster.predict(X, raw_score=True)
        )
        loss = GHMLoss().fit(y, raw)
        write(models, f"{key}.{suffix}", file_of(booster.save_model, suffix))
        write(models, f"{key}.json", json.dumps(loss.to_dict()))
        expected[f"{key} raw"] = raw[:ROWS].astype(np.float32)
        expected[f"{key} probability"] = loss.posterior(raw[:ROWS]).astype(np.float32)
        described.append({"name": key, "file": f"{key}.{suffix}", "loss_file": f"{key}.json"})
    return described, recorder.run


def make_objects(pickles, fitted, run):
    losses = [CrossEntropy(class_weight="effective", beta=0.99), FocalLoss(1.5, hessian="exact"),
              GHMLoss(7, momentum=0.5), GHMLoss(density="window", strength=0.5),
              fitted["xgboost-binary-ghm"].loss_]  # fmt: skip
    objects = {
        "losses": losses,
        "objectives": [boostloss.objective(loss) for loss in losses[:-1]],
        "metrics": [boostloss.metric(losses[0]), boostloss.posterior_log_loss(losses[2])],
        "run": run,
        **{key: fitted[key] for key in fitted if key.endswith("binary-ghm")},
    }
    for name, thing in objects.items():
        write(pickles, f"{name}.pickle", pickle.dumps(thing, protocol=5))
    for engine in ("xgboost", "lightgbm"):
        write(pickles, f"{engine}.skops", skops.io.dumps(fitted[f"{engine}-binary-focal"]))
    return [without_table(loss) for loss in losses]


def write(archive, name, content):
    content = content.encode() if isinstance(content, str) else content
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def packed(path, fill):
    """Write an archive with the files of ``fill``, and return its result. It is half as big as a zip."""
    with tarfile.open(path, "w:xz", preset=9) as archive:
        return fill(archive)


def main():
    folder = FIXTURES / boostloss.__version__
    if folder.exists():
        raise SystemExit(f"{folder} is there: a version's files are written once")
    folder.mkdir(parents=True)
    expected = {"X": data(2)[0][:ROWS]}

    def fill(archive):
        return *make_models(archive, expected), *make_boosters(archive, expected)

    described, fitted, boosters, run = packed(folder / "models.tar.xz", fill)
    losses = packed(folder / "pickles.tar.xz", lambda archive: make_objects(archive, fitted, run))
    manifest = {
        "versions": {
            "python": platform.python_version(),
            **{m.__name__: m.__version__ for m in (np, sklearn, skops, xgb, lgb, boostloss)},
        },
        "models": described,
        "boosters": boosters,
        "losses": losses,
        "run": {"flips": run.flips.tolist(), "counts": run.counts.tolist()},
    }
    np.savez_compressed(folder / "expected.npz", **expected)
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
