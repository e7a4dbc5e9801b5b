"""Convert a model with its posterior, labels and decision to ONNX, for other runtimes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from boostloss.classifier import LossClassifierMixin, state_of
from boostloss.losses.validation import Array, check_choice
from boostloss.model_file import State
from boostloss.onnx.decision import codes
from boostloss.onnx.graph import Graph, onnx
from boostloss.onnx.posterior import probabilities
from boostloss.onnx.trees import raw_scores
from boostloss.trees import Trees

__all__ = ["to_onnx"]

OPSETS = {"": 17, "ai.onnx.ml": 5}
IR_VERSION = 10


def to_onnx(model: Any, *, dtype: str | None = None) -> Any:
    """Convert a fitted model, its posterior and its decision to ONNX.

    The graph has one input, ``"X"`` of shape (n, d), and three outputs:

    - ``"label"`` (n,), the labels of the classifier's ``predict``;
    - ``"probabilities"`` (n, K), those of its ``predict_proba``, in float32;
    - ``"raw"``, the raw scores of its ``raw_score``, in float32: (n, 1) for two classes,
      otherwise (n, K).

    After early stopping it contains the trees up to the best round. NaN means missing, and so do
    the values of ``missing`` (XGBoost's classifier) and ``zero_as_missing`` (LightGBM). A
    categorical feature is passed as the number of its category in the order of the training data.
    Unseen numbers are treated as by the engine.

    Parameters
    ----------
    model : classifier of boostloss, or Booster
        A fitted classifier, or a booster of :func:`boostloss.xgboost.train` or
        :func:`boostloss.lightgbm.train`.
    dtype : {"float32", "float64"}, optional
        Type of the input. The default is the type in which the engine compares features, float32
        for XGBoost and float64 for LightGBM and scikit-learn. With float32, their models predict as
        they do for features rounded to float32.

    Returns
    -------
    onnx.ModelProto
        A model with opset 17, and 5 of ``ai.onnx.ml`` (ONNX Runtime 1.20 or newer). The metadata
        contain the loss, and the names of the features if the training data had names.

    Raises
    ------
    TypeError
        If ``model`` is not such a model, or ONNX has no type for the labels.
    ValueError
        If a booster contains no loss, if ONNX cannot express the trees (linear models with
        ``booster="gblinear"`` or ``linear_tree=True``, and XGBoost's
        ``multi_strategy="multi_output_tree"``), or if a custom loss has weight 0 somewhere.

    See Also
    --------
    boostloss.ImbalancedXGBClassifier, boostloss.ImbalancedLGBMClassifier : Models to convert.

    References
    ----------
    .. [1] ONNX, operator ``TreeEnsemble``,
       https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html

    Examples
    --------
    >>> from boostloss import ImbalancedXGBClassifier
    >>> from boostloss.onnx import to_onnx
    >>> from sklearn.datasets import make_classification
    >>> X, y = make_classification(500, weights=[0.9], random_state=0)
    >>> model = ImbalancedXGBClassifier(loss="focal", n_estimators=20).fit(X, y)
    >>> [output.name for output in to_onnx(model).graph.output]
    ['label', 'probabilities', 'raw']
    """
    trees, state, shift = _read(model)
    dtype = trees.dtype if dtype is None else check_choice("dtype", dtype, ("float32", "float64"))
    labels = _as_onnx_has_them(state.labels)
    graph = Graph()
    raw = raw_scores(graph.input("X"), trees)
    raw.cast("float32", name="raw")
    p = probabilities(raw, state.loss, state.probability)
    p.cast("float32", name="probabilities")
    code = codes(raw, p, state.decision, state.loss, shift)
    graph.node("Gather", graph.constant(labels, None), code, name="label", axis=0)
    types = {"X": dtype, "label": labels.dtype, "probabilities": "float32", "raw": "float32"}
    return _model(graph, trees, state, types)


def _read(model: Any) -> tuple[Trees, State, Array | None]:
    """Return trees, state and prior shift of a classifier, or of a booster with its loss."""
    booster, state, missing = model, None, float("nan")
    if isinstance(model, LossClassifierMixin):
        engine: Any = model.engine_model()
        state = state_of(model)
        missing = getattr(engine, "missing", missing)
        booster = _booster(engine)
    kind = f"{type(booster).__module__.partition('.')[0]}.{type(booster).__name__}"
    if kind == "xgboost.Booster":
        from boostloss.xgboost import model as xgboost_model
        from boostloss.xgboost import trees as xgboost_trees

        trees = xgboost_trees.read_trees(booster, missing)
        state = state or xgboost_model.carried(booster)
    elif kind == "lightgbm.Booster":
        from boostloss.lightgbm import model as lightgbm_model
        from boostloss.lightgbm import trees as lightgbm_trees

        trees = lightgbm_trees.read_trees(booster)
        state = state or lightgbm_model.carried(booster)
    elif kind == "sklearn.HistGradientBoostingClassifier" and state is not None:
        from boostloss.hist import trees as hist_trees

        trees = hist_trees.read_trees(booster)
    else:
        raise TypeError(
            "model must be a fitted classifier of boostloss, or a booster that carries its loss, "
            f"got {type(model).__name__}"
        )
    return trees, state.in_use(), state.prior_shift


def _booster(engine: Any) -> Any:
    """Return the object with the trees, which may be scikit-learn's classifier itself."""
    if hasattr(engine, "get_booster"):
        return engine.get_booster()
    return getattr(engine, "booster_", engine)


def _as_onnx_has_them(labels: Array) -> Array:
    kinds = {type(label) for label in labels.tolist()}
    if kinds == {str}:
        return labels.astype(object)
    if len(kinds) > 1 or not kinds <= {bool, int, float}:
        raise TypeError(
            f"labels must all be strings, bools, ints or floats to convert the model, "
            f"got {labels.tolist()}"
        )
    return labels.astype({bool: bool, int: np.int64, float: np.float64}[kinds.pop()])


def _model(graph: Graph, trees: Trees, state: State, types: dict[str, Any]) -> Any:
    n_classes = len(state.labels)
    shapes: dict[str, list[int | str]] = {
        "X": ["rows", trees.n_features],
        "label": ["rows"],
        "probabilities": ["rows", n_classes],
        "raw": ["rows", 1 if n_classes == 2 else n_classes],
    }
    infos = [
        onnx.helper.make_tensor_value_info(
            name,
            _tensor_type(dtype),
            shapes[name],
        )
        for name, dtype in types.items()
    ]
    inside = onnx.helper.make_graph(graph.nodes, "boostloss", infos[:1], infos[1:], graph.constants)
    made = onnx.helper.make_model(
        inside,
        opset_imports=[onnx.helper.make_opsetid(*one) for one in OPSETS.items()],
        ir_version=IR_VERSION,
        producer_name="boostloss",
    )
    metadata = {"boostloss": state.text()}
    if trees.feature_names:
        metadata["feature_names"] = json.dumps(trees.feature_names)
    onnx.helper.set_model_props(made, metadata)
    onnx.checker.check_model(made)
    return made


def _tensor_type(dtype: Any) -> int:
    if np.dtype(dtype).hasobject:
        return int(onnx.TensorProto.STRING)
    number: int = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return number
