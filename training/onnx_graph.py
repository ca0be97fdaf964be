"""The decoder as an ONNX graph for ONNX Runtime on CPUs, built node by node from the weights.

inputs   ``input_ids`` int64 [batch, tokens], right-padded · ``last`` int64 [batch], index of the last real token ·
         ``label_ids`` int64 [labels]
output   ``logits`` float32 [batch, labels]: the hidden state at ``last`` times the embedding rows of ``label_ids``

The operator for causal attention computes the whole square of scores; cutting the queries into stretches, each over
the keys up to its end, is exact and halves the time of a long window. Attention is causal, so right padding needs no
mask but in the last layer, whose query, feed-forward part and head see the last position only. With ``int8`` the linear
layers hold int8 weights with a scale per output (activations are quantised on the fly, per tensor) and the embedding
table is int8 with a scale per row.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]
_CONTRIB = "com.microsoft"
_EPSILON = 1e-5
_STRETCHES = 16  # of queries: the operator computes whole squares, so short ones follow the triangle more closely
_OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid(_CONTRIB, 1)]


@dataclass
class GraphBuilder:
    """Collects nodes and constants; every method returns the name of its output."""

    weights: dict[str, Array]
    heads: int
    int8: bool
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stretches: list[tuple[str, str, str]] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Adds a constant once."""
        self.constants.setdefault(name, numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def integers(self, *values: int) -> str:
        """A constant of int64 values."""
        return self.constant("i_" + "_".join(str(v) for v in values), np.array(values, np.int64))

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Adds a node; returns its output."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], domain=domain, **attributes))
        return name

    def linear(self, x: str, *names: str) -> str:
        """One product for layers that share their input."""
        key = "+".join(names)
        weight = np.concatenate([self.weights[n + ".weight"] for n in names]).T
        bias = self.constant(key + ".bias", np.concatenate([self.weights[n + ".bias"] for n in names]))
        if not self.int8:
            return self.op("Add", self.op("MatMul", x, self.constant(key, weight)), bias)
        scale = np.abs(weight).max(0) / 127
        packed = self.constant(key, np.clip(np.rint(weight / scale), -127, 127).astype(np.int8))
        scales = self.constant(key + ".scale", scale.astype(np.float32))
        zeros = self.constant(f"zeros_{weight.shape[1]}", np.zeros(weight.shape[1], np.int8))
        return self.op("DynamicQuantizeMatMul", x, packed, scales, zeros, bias, domain=_CONTRIB)

    def norm(self, x: str, residual: str, name: str) -> str:
        """Layer norm of the sum of ``x`` and ``residual``."""
        gain = self.constant(name + ".weight", self.weights[name + ".weight"])
        bias = self.constant(name + ".bias", self.weights[name + ".bias"])
        return self.op("SkipLayerNormalization", x, residual, gain, bias, domain=_CONTRIB, epsilon=_EPSILON)

    def rows(self, name: str, ids: str) -> str:
        """Rows of an embedding table as float32."""
        table = self.weights[name]
        if not self.int8:
            return self.op("Gather", self.constant(name, table), ids)
        scale = np.abs(table).max(1, keepdims=True) / 127
        packed = self.constant(name, np.clip(np.rint(table / scale), -127, 127).astype(np.int8))
        scales = self.constant(name + ".scale", scale.astype(np.float32))
        return self.op(
            "Mul", self.op("Cast", self.op("Gather", packed, ids), to=TensorProto.FLOAT), self.op("Gather", scales, ids)
        )

    def embed(self, ids: str) -> str:
        """Token plus position rows, [batch, tokens, width]."""
        length = self.op("Squeeze", self.op("Shape", ids, start=1, end=2))
        zero, one = self.constant("zero", np.array(0, np.int64)), self.constant("one", np.array(1, np.int64))
        index, period = self.op("Range", zero, length, one), self.integers(len(self.weights["positions"]))
        within, stretch = (
            self.op("Gather", self.constant(name, self.weights[name]), self.op(kind, index, period))
            for name, kind in (("positions", "Mod"), ("stretches", "Div"))
        )
        return self.op("Add", self.rows("tokens", ids), self.op("Add", within, stretch))

    def causal_stretches(self, ids: str) -> None:
        """The stretches that ``causal_attention`` works on: start, end and mask [1, 1, stretch, end] of each."""
        total = self.op("Shape", ids, start=1, end=2)
        zero, one = self.constant("zero", np.array(0, np.int64)), self.constant("one", np.array(1, np.int64))
        positions = self.op("Range", zero, self.op("Squeeze", total), one)
        bounds = [
            self.op("Div", self.op("Mul", total, self.integers(i)), self.integers(_STRETCHES))
            for i in range(_STRETCHES + 1)
        ]
        seen, hidden = (
            self.constant("seen", np.array(0, np.float32)),
            self.constant("hidden", np.array(-1e9, np.float32)),
        )
        self.stretches = []
        for start, end in pairwise(bounds):
            asking = self.op("Unsqueeze", self.op("Slice", positions, start, end), self.integers(1))
            later = self.op("Less", asking, self.op("Slice", positions, self.integers(0), end))
            self.stretches.append(
                (start, end, self.op("Unsqueeze", self.op("Where", later, hidden, seen), self.integers(0, 1)))
            )

    def causal_attention(self, query: str, key: str, value: str) -> str:
        """Stretch by stretch of the queries, each over the keys up to its end."""
        axis, zero = self.integers(1), self.integers(0)
        mixed = []
        for start, end, mask in self.stretches:
            parts = (
                self.op("Slice", query, start, end, axis),
                self.op("Slice", key, zero, end, axis),
                self.op("Slice", value, zero, end, axis),
            )
            mixed.append(self.op("MultiHeadAttention", *parts, "", "", mask, domain=_CONTRIB, num_heads=self.heads))
        return self.op("Concat", *mixed, axis=1)

    def layer(self, x: str, i: int) -> str:
        """One layer over all positions."""
        p = f"layers.{i}."
        query, key, value = (self.linear(x, p + n) for n in ("query", "key", "value"))
        mixed = self.causal_attention(query, key, value)
        x = self.norm(self.linear(mixed, p + "output"), x, p + "attention_norm")
        return self.feed_forward(x, p)

    def feed_forward(self, x: str, p: str) -> str:
        """The second half of a layer."""
        inner = self.op("Gelu", self.linear(x, p + "widen"))
        return self.norm(self.linear(inner, p + "narrow"), x, p + "output_norm")

    def last_layer(self, x: str, i: int, last: str) -> str:
        """[batch, 1, width] at ``last``: one query a window, keys and values of all positions up to it."""
        p = f"layers.{i}."
        at = self.op("Unsqueeze", last, self.integers(1))
        final = self.op("GatherND", x, at, batch_dims=1)
        final = self.op("Unsqueeze", final, self.integers(1))
        query, key, value = self.linear(final, p + "query"), self.linear(x, p + "key"), self.linear(x, p + "value")
        lengths = self.op(
            "Cast", self.op("Add", last, self.constant("one", np.array(1, np.int64))), to=TensorProto.INT32
        )
        mixed = self.op("MultiHeadAttention", query, key, value, "", lengths, domain=_CONTRIB, num_heads=self.heads)
        final = self.norm(self.linear(mixed, p + "output"), final, p + "attention_norm")
        return self.feed_forward(final, p)


def build(weights: dict[str, Array], heads: int, int8: bool) -> onnx.ModelProto:
    """The whole model."""
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    builder = GraphBuilder(weights, heads, int8)
    builder.causal_stretches("input_ids")
    x = builder.embed("input_ids")
    for i in range(layers - 1):
        x = builder.layer(x, i)
    final = builder.op("Squeeze", builder.last_layer(x, layers - 1, "last"), builder.integers(1))
    labels = builder.op("Transpose", builder.rows("tokens", "label_ids"), perm=[1, 0])
    logits = builder.op("MatMul", final, labels)
    builder.nodes.append(helper.make_node("Identity", [logits], ["logits"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        builder.nodes,
        "onepass",
        [
            value("input_ids", TensorProto.INT64, ["batch", "tokens"]),
            value("last", TensorProto.INT64, ["batch"]),
            value("label_ids", TensorProto.INT64, ["labels"]),
        ],
        [value("logits", TensorProto.FLOAT, ["batch", "labels"])],
        list(builder.constants.values()),
    )
    return helper.make_model(graph, opset_imports=_OPSETS, ir_version=10, producer_name="onepass")
