"""Build an ONNX graph node by node, with values that NumPy's functions accept.

A :class:`Value` represents an array that will exist when the graph runs. Arithmetic and NumPy's
functions on it add nodes, so that a loss's formula in NumPy is also its formula in ONNX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from boostloss.losses.validation import Array
from boostloss.optional import require

onnx = require("onnx", "onnx")


class NotInGraph(TypeError):
    """A formula uses something that has no counterpart in ONNX."""


class Graph:
    """Nodes and constants."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def input(self, name: str) -> Value:
        """Return the input of the graph with this name as a value."""
        return Value(self, name)

    def constant(self, array: Any, dtype: Any = np.float64) -> Value:
        """Add an array to the graph. ``dtype=None`` keeps its type."""
        name = f"c{len(self.constants)}"
        tensor = onnx.numpy_helper.from_array(np.asarray(array, dtype=dtype), name)
        self.constants.append(tensor)
        return Value(self, name)

    def node(self, kind: str, *inputs: Any, name: str | None = None, **attributes: Any) -> Value:
        """Add a node. Inputs that are numbers or arrays become float64 constants."""
        name = name or f"n{len(self.nodes)}"
        names = [self._value(one).name for one in inputs]
        self.nodes.append(onnx.helper.make_node(kind, names, [name], **attributes))
        return Value(self, name)

    def _value(self, one: Any) -> Value:
        return one if isinstance(one, Value) else self.constant(one)


class Value(np.lib.mixins.NDArrayOperatorsMixin):
    """A float64 or boolean array in a graph."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        """Add the nodes of a universal function of NumPy or SciPy."""
        if method != "__call__" or keywords or ufunc.__name__ not in _UFUNCS:
            raise NotInGraph(f"{ufunc.__name__}.{method} has no counterpart in ONNX")
        rule = _UFUNCS[ufunc.__name__]
        return self.graph.node(rule, *inputs) if isinstance(rule, str) else rule(*inputs)

    def __array_function__(self, function: Any, types: Any, inputs: Any, keywords: Any) -> Any:
        """Add the nodes of another function of NumPy."""
        if keywords or function.__name__ not in _FUNCTIONS:
            raise NotInGraph(f"{function.__name__} has no counterpart in ONNX")
        return _FUNCTIONS[function.__name__](self.graph, *inputs)

    def __bool__(self) -> NoReturn:
        raise NotInGraph("a condition has no counterpart in ONNX: use np.where")

    def __float__(self) -> NoReturn:
        raise NotInGraph("a value in a graph is not a number yet")

    def node(self, kind: str, *others: Any, **attributes: Any) -> Value:
        """Add a node with this value as its first input."""
        return self.graph.node(kind, self, *others, **attributes)

    def cast(self, dtype: str, name: str | None = None) -> Value:
        """Convert to another type."""
        to = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", name=name, to=to)

    def columns(self, indices: Any) -> Value:
        """Select some columns of (n, K): (n, len(indices))."""
        return self.node("Gather", self.graph.constant(indices, np.int64), axis=1)


def log1p(x: Any) -> Any:
    """Compute ``log(1 + x)``, accurately for small x."""
    return np.where(np.abs(x) < 1e-8, x, np.log(1.0 + x))


def expm1(x: Any) -> Any:
    """Compute ``exp(x) - 1``, accurately for small x."""
    half = 0.5 * x
    return 2.0 * np.exp(half) * half.node("Sinh")


def softplus(x: Any) -> Any:
    """Compute ``log(1 + exp(x))``, accurately for x far below 0."""
    return np.maximum(x, 0.0) + log1p(np.exp(-np.abs(x)))


def log_expit(x: Any) -> Any:
    """Compute ``log sigma(x)``."""
    return -softplus(-x)


_UFUNCS: dict[str, str | Callable[..., Any]] = {
    "absolute": "Abs",
    "add": "Add",
    "divide": "Div",
    "equal": "Equal",
    "exp": "Exp",
    "exp2": lambda x: np.exp(x * np.log(2.0)),
    "expit": "Sigmoid",
    "expm1": expm1,
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "log": "Log",
    "log10": lambda x: np.log(x) * (1.0 / np.log(10.0)),
    "log1p": log1p,
    "log2": lambda x: np.log(x) * (1.0 / np.log(2.0)),
    "log_expit": log_expit,
    "logaddexp": lambda a, b: b + softplus(a - b),
    "logical_and": "And",
    "logical_not": "Not",
    "logical_or": "Or",
    "maximum": "Max",
    "minimum": "Min",
    "multiply": "Mul",
    "negative": "Neg",
    "power": "Pow",
    "reciprocal": "Reciprocal",
    "sign": "Sign",
    "sqrt": "Sqrt",
    "square": lambda x: x * x,
    "subtract": "Sub",
    "tanh": "Tanh",
}


def _where(graph: Graph, condition: Any, yes: Any, no: Any) -> Value:
    if not isinstance(condition, Value):
        condition = graph.constant(condition, bool)
    return graph.node("Where", condition, yes, no)


def _clip(graph: Graph, x: Any, low: Any, high: Any) -> Value:
    clipped: Value = np.minimum(np.maximum(x, low), high)
    return clipped


def _interp(graph: Graph, x: Value, nodes: Array, values: Array) -> Value:
    """Interpolate linearly between the nodes by a sum of kinks; x is (n, 1)."""
    slopes = np.concatenate([[0.0], np.diff(values) / np.diff(nodes), [0.0]])
    beyond: Any = np.maximum(x - np.asarray(nodes)[None, :], 0.0)
    between: Value = beyond.node("MatMul", np.diff(slopes)[:, None]) + values[0]
    return between


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "clip": _clip,
    "interp": _interp,
    "where": _where,
    "zeros_like": lambda graph, x: 0.0,
    "ones_like": lambda graph, x: 1.0,
}
