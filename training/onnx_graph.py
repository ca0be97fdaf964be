"""The decoder as an ONNX graph for ONNX Runtime on CPUs, built node by node from the weights.

inputs   ``input_ids`` int64 [batch, tokens], right-padded · ``last`` int64 [batch], index of the last real token ·
         ``label_ids`` int64 [labels]
output   ``logits`` float32 [batch, labels]: the hidden state at ``last`` times the embedding rows of ``label_ids``

In float32 the graph computes what the decoder does. With ``int8`` the linear layers hold int8 weights with a scale per
output (activations are quantised on the fly, per tensor), the embedding table is the float8 one of
``model.safetensors``, read where it lies in that file, as words are nearly half of the weights, and
attention is cut by slots as in training, a sixth of the scores (``Layer.by_slot``); what compares the slots' marks
stays float32, and so do the last two layers, which are computed where something is read of them only: the one that
gathers at closing labels, the first position and the last, the one that points at the last. Of what is quantised, large
dimensions are made smaller and the weights that read them larger (SmoothQuant, arXiv 2211.10438), and the largest units
of a feed-forward part stay float32, in products of their own.
Attention is causal, so padding needs no mask but where the last position looks.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.ranges import Ranges
from training.slots import FRONT, LONGEST, MARKS, SLOT, SLOTS, slot_of

Array = NDArray[np.float32]
_CONTRIB = "com.microsoft"
_EPSILON = 1e-5
_STRONG = 1.0  # weights on the marks of slots above this are not left to int8 activations: their scores must cancel
_ALL = 2**31 - 1
_LEAST = 1e-9  # a scale is never zero
_FEW = 0.2  # of a layer's units
_USUAL = 95  # percentile of dimensions: larger ones are made as small as this one
_LOUD = 8  # units of a feed-forward part that stay float32
_SIZE = 32  # of a head
_SCALE = np.array(1 / math.sqrt(_SIZE), np.float32)
_HIDDEN = -1e9
_OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid(_CONTRIB, 1)]


@dataclass(frozen=True)
class StoredTable:
    """The embedding table [pieces, width] in float8, within a file beside the graph's."""

    file: str
    offset: int
    shape: tuple[int, int]

    def tensor(self, name: str) -> onnx.TensorProto:
        """A constant that says where the rows are, as bytes: the runtime gathers no float8."""
        found = onnx.TensorProto(name=name, dims=self.shape, data_type=TensorProto.UINT8)
        found.data_location = TensorProto.EXTERNAL
        where = {"location": self.file, "offset": self.offset, "length": math.prod(self.shape)}
        found.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(told)) for key, told in where.items())
        return found


@dataclass
class GraphBuilder:
    """Collects nodes and constants; every method returns the name of its output."""

    weights: dict[str, Array]
    heads: int
    int8: bool
    ranges: Ranges = field(default_factory=dict)
    """Of the inputs of linear layers, for an int8 graph."""
    table: StoredTable | None = None
    """For an int8 graph."""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    slots: str = ""
    """How many there are, once ``filled`` has been called."""
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

    def linear(self, x: str, key: str, exact: bool = False) -> str:
        """A product; int8 in an int8 graph unless it is to be ``exact``."""
        weight = self.weights[key + ".weight"].T
        bias = self.constant(key + ".bias", self.weights[key + ".bias"])
        if not self.int8 or exact:
            return self.op("Add", self.op("MatMul", x, self.constant(key, weight)), bias)
        marked = np.zeros_like(weight[-MARKS:])
        if len(weight) == self.weights["tokens"].shape[1] and np.abs(weight[-MARKS:]).max() > _STRONG:
            marked, weight = weight[-MARKS:], np.concatenate([weight[:-MARKS], marked])
        scale = np.maximum(np.abs(weight).max(0), _LEAST) / 127
        packed = self.constant(key, np.clip(np.rint(weight / scale), -127, 127).astype(np.int8))
        scales = self.constant(key + ".scale", scale.astype(np.float32))
        zeros = self.constant(f"zeros_{weight.shape[1]}", np.zeros(weight.shape[1], np.int8))
        product = self.op("DynamicQuantizeMatMul", x, packed, scales, zeros, bias, domain=_CONTRIB)
        if not marked.any():
            return product
        marks = self.op("Slice", x, self.integers(-MARKS), self.integers(_ALL), self.integers(-1))
        return self.op("Add", product, self.op("MatMul", marks, self.constant(key + ".marks", marked)))

    def evened(self, x: str, key: str, *readers: str) -> str:
        """``x`` with its large dimensions made smaller, for ``readers`` whose weights are made larger instead."""
        if key not in self.ranges:
            return x
        large = self.ranges[key]
        times = np.maximum(large / np.percentile(large, _USUAL), 1).astype(np.float32)
        self.weights |= {f"{name}.weight": self.weights[f"{name}.weight"] * times for name in readers}
        return self.op("Mul", x, self.constant(key + ".times", 1 / times))

    def norm(self, x: str, residual: str, name: str) -> str:
        """Layer norm of the sum of ``x`` and ``residual``."""
        gain = self.constant(name + ".weight", self.weights[name + ".weight"])
        bias = self.constant(name + ".bias", self.weights[name + ".bias"])
        return self.op("SkipLayerNormalization", x, residual, gain, bias, domain=_CONTRIB, epsilon=_EPSILON)

    def rows(self, name: str, ids: str) -> str:
        """Rows of an embedding table as float32."""
        if self.table is None:
            return self.op("Gather", self.constant(name, self.weights[name]), ids)
        self.constants.setdefault(name, self.table.tensor(name))
        codes = self.op("Cast", self.op("Gather", name, ids), to=TensorProto.INT32)
        return self.op("Gather", self.constant("float8", _float8()), codes)

    def embed(self, ids: str) -> str:
        """Token plus position rows, [batch, tokens, width]."""
        index = self.positions(ids)
        slot, place = (
            self.op(
                "Gather",
                self.constant(name, self.weights[name]),
                self.op("Gather", self.constant(name + ".index", indices.numpy()), index),
            )
            for name, indices in zip(("slots", "places"), slot_of(torch.arange(LONGEST)), strict=True)
        )
        return self.op("Add", self.rows("tokens", ids), self.op("Add", slot, place))

    def filled(self, ids: str) -> str:
        """Ids with padding to the end of their last slot; there is at least one."""
        total = self.op("Shape", ids, start=1, end=2)
        begun = self.op("Div", self.op("Add", total, self.integers(SLOT - 1 - FRONT)), self.integers(SLOT))
        self.slots = self.op("Max", begun, self.integers(1))
        length = self.op("Add", self.op("Mul", self.slots, self.integers(SLOT)), self.integers(FRONT))
        short = self.op("Sub", length, total)
        return self.op("Pad", ids, self.op("Concat", self.integers(0, 0, 0), short, axis=0))

    def causal_attention(self, query: str, key: str, value: str) -> str:
        """What each head takes over, [batch, tokens, width], of all tokens before."""
        heads = {"num_heads": self.heads, "unidirectional": 1}
        return self.op("MultiHeadAttention", query, key, value, domain=_CONTRIB, **heads)

    def slot_attention(self, query: str, key: str, value: str) -> str:
        """What each head takes over, [batch, tokens, width]; see ``Layer.by_slot``."""
        scaled = self.op("Mul", query, self.constant("scale", _SCALE))
        parts = [self.by_heads(part) for part in (scaled, key, value)]
        fronts = [self.cut(part, self.integers(0), self.integers(FRONT), 2) for part in parts]
        behind = [self.cut(part, self.integers(FRONT), self.integers(_ALL), 2) for part in parts]
        slots = [self.op("Reshape", part, self.integers(0, 0, -1, SLOT, _SIZE)) for part in behind]
        openings = [
            self.op("Squeeze", self.cut(part, self.integers(0), self.integers(1), 3), self.integers(3))
            for part in slots
        ]
        later, earlier = self.constant("later", _later(SLOT)), self.constant("earlier", _later(SLOTS - 1, 0)[:, None])
        for axis in (0, 2):
            earlier = self.cut(earlier, self.integers(0), self.slots, axis)
        own = self.op("Add", self.products(slots[0], slots[1], rank=5), later)
        first = self.by_slots(self.products(behind[0], fronts[1]))
        rest = self.op("Add", self.by_slots(self.products(behind[0], openings[1])), earlier)
        shares = self.op("Softmax", self.op("Concat", first, rest, own, axis=-1), axis=-1)
        ends = self.op("Add", self.slots, self.integers(FRONT))
        looked = [
            self.cut(shares, self.integers(0), self.integers(FRONT), 4),
            self.cut(shares, self.integers(FRONT), ends, 4),
            self.cut(shares, ends, self.integers(_ALL), 4),
        ]
        flat = self.integers(0, 0, -1)
        taken = self.op("MatMul", looked[2], slots[2])
        for part, values in ((looked[0], fronts[2]), (looked[1], openings[2])):
            width = self.op("Concat", flat, self.op("Shape", part, start=4), axis=0)
            taken = self.op("Add", taken, self.by_slots(self.op("MatMul", self.op("Reshape", part, width), values)))
        opened = self.op("Unsqueeze", self.openings_attention(openings[0], *parts[1:]), self.integers(3))
        others = self.cut(taken, self.integers(1), self.integers(_ALL), 3)
        taken = self.op("Concat", opened, others, axis=3)
        taken = self.op("Reshape", taken, self.integers(0, 0, -1, _SIZE))
        near = self.op("Add", self.products(fronts[0], fronts[1]), self.constant("later_front", _later(FRONT)))
        front = self.op("MatMul", self.op("Softmax", near, axis=-1), fronts[2])
        mixed = self.op("Transpose", self.op("Concat", front, taken, axis=2), perm=[0, 2, 1, 3])
        return self.op("Reshape", mixed, self.integers(0, 0, self.heads * _SIZE))

    def openings_attention(self, query: str, key: str, value: str) -> str:
        """What each head takes over at the first tokens of slots, [batch, heads, slots, size]: of all tokens before."""
        scores = self.products(query, key)
        hidden = self.constant("later_than_openings", _later_than_openings())
        for axis, end in ((0, self.slots), (1, self.op("Shape", key, start=2, end=3))):
            hidden = self.cut(hidden, self.integers(0), end, axis)
        return self.op("MatMul", self.op("Softmax", self.op("Add", scores, hidden), axis=-1), value)

    def cut(self, x: str, start: str, end: str, axis: int) -> str:
        """A stretch of one axis."""
        return self.op("Slice", x, start, end, self.integers(axis))

    def products(self, query: str, key: str, rank: int = 4) -> str:
        """Query times key transposed; both have so many axes."""
        axes = [*range(rank - 2), rank - 1, rank - 2]
        return self.op("MatMul", query, self.op("Transpose", key, perm=axes))

    def by_heads(self, x: str) -> str:
        """[batch, tokens, width] as [batch, heads, tokens, size]."""
        return self.op("Transpose", self.op("Reshape", x, self.integers(0, 0, self.heads, _SIZE)), perm=[0, 2, 1, 3])

    def by_slots(self, x: str) -> str:
        """[batch, heads, tokens, n] as [batch, heads, slots, SLOT, n]."""
        last = self.op("Shape", x, start=3)
        return self.op("Reshape", x, self.op("Concat", self.integers(0, 0, -1, SLOT), last, axis=0))

    def layer(self, x: str, i: int) -> str:
        """One layer at all positions."""
        p = f"layers.{i}."
        read = self.evened(x, p + "query", p + "query", p + "key", p + "value")
        query, key, value = (self.linear(read, p + n) for n in ("query", "key", "value"))
        mixed = (self.slot_attention if self.int8 else self.causal_attention)(query, key, value)
        x = self.norm(self.linear(mixed, p + "output"), x, p + "attention_norm")
        return self.feed_forward(x, p)

    def feed_forward(self, x: str, p: str) -> str:
        """The second half of a layer. Units that write nothing are left out; few that remain stay float32."""
        widen, narrow = self.weights[p + "widen.weight"], self.weights[p + "narrow.weight"]
        heard = np.abs(narrow).max(0) > 0
        if not heard.any():
            same = self.op("Add", x, self.constant(p + "narrow.bias", self.weights[p + "narrow.bias"]))
            norm = [self.constant(p + n, self.weights[p + n]) for n in ("output_norm.weight", "output_norm.bias")]
            return self.op("LayerNormalization", same, *norm, epsilon=_EPSILON)
        self.weights |= {p + "widen.weight": widen[heard], p + "narrow.weight": narrow[:, heard]}
        self.weights[p + "widen.bias"] = self.weights[p + "widen.bias"][heard]
        few = bool(heard.mean() < _FEW)
        if few or p + "narrow" not in self.ranges:
            return self.norm(self.units(x, p, few), x, p + "output_norm")
        loud = self.loud_units(x, p, np.argsort(-self.ranges[p + "narrow"][heard])[:_LOUD])
        usual = self.units(self.evened(x, p + "widen", p + "widen"), p, exact=False)
        return self.norm(self.op("Add", usual, loud), x, p + "output_norm")

    def units(self, x: str, p: str, exact: bool) -> str:
        """What the units of a feed-forward part write."""
        return self.linear(self.op("Gelu", self.linear(x, p + "widen", exact)), p + "narrow", exact)

    def loud_units(self, x: str, p: str, chosen: NDArray[np.intp]) -> str:
        """What the ``chosen`` units write, in float32; they are taken from the others."""
        widen, bias, narrow = (self.weights[p + name] for name in ("widen.weight", "widen.bias", "narrow.weight"))
        own = {"widen": widen[chosen].T, "bias": bias[chosen], "narrow": narrow[:, chosen].T}
        taken = {name: self.constant(f"{p}loud.{name}", value) for name, value in own.items()}
        inner = self.op("Add", self.op("MatMul", x, taken["widen"]), taken["bias"])
        self.weights |= {
            p + "widen.weight": np.delete(widen, chosen, 0),
            p + "widen.bias": np.delete(bias, chosen),
            p + "narrow.weight": np.delete(narrow, chosen, 1),
        }
        return self.op("MatMul", self.op("Gelu", inner), taken["narrow"])

    def gathered(self, x: str, i: int, last: str) -> tuple[str, str]:
        """The gathering layer where the pointer looks, [batch, 2 + slots, width], and these positions.

        First ``last``, then the first position, then the closing labels: [batch, 1, 1, 2 + slots].
        """
        at = self.op("Unsqueeze", last, self.integers(1))
        first = self.op("Mul", at, self.integers(0))
        closing = self.constant("closing", FRONT - 1 + SLOT * np.arange(1, SLOTS, dtype=np.int64))
        closing = self.op("Add", first, self.cut(closing, self.integers(0), self.slots, 0))
        places = self.op("Concat", at, first, closing, axis=1)
        return self.layer_at(x, i, places, places, self.positions(x)), self.op("Unsqueeze", places, self.integers(1, 2))

    def last_layer(self, x: str, i: int, rows: str, last: str, positions: str) -> str:
        """[batch, 1, width] of the one position that is read: ``last``, which is the row ``rows`` [batch] of ``x``."""
        row, at = (self.op("Unsqueeze", index, self.integers(1)) for index in (rows, last))
        return self.layer_at(x, i, row, at, positions)

    def layer_at(self, x: str, i: int, rows: str, at: str, positions: str) -> str:
        """[batch, n, width], in float32, of ``rows`` [batch, n] of ``x`` only; see ``Layer.at``.

        They are the prompt's positions ``at`` [batch, n] and see no later ones; ``positions`` are those of all rows.
        """
        p = f"layers.{i}."
        own = self.op("GatherND", x, self.op("Unsqueeze", rows, self.integers(-1)), batch_dims=1)
        query, key, value = (
            self.by_heads(self.linear(states, p + name, exact=True))
            for states, name in ((own, "query"), (x, "key"), (x, "value"))
        )
        scores = self.products(self.op("Mul", query, self.constant("scale", _SCALE)), key)
        later = self.op("Greater", positions, self.op("Unsqueeze", at, self.integers(1, 3)))
        scores = self.op("Where", later, self.constant("hidden", np.array(_HIDDEN, np.float32)), scores)
        taken = self.op("MatMul", self.op("Softmax", scores, axis=-1), value)
        taken = self.op("Transpose", taken, perm=[0, 2, 1, 3])
        mixed = self.op("Reshape", taken, self.integers(0, 0, self.heads * _SIZE))
        states = self.norm(self.linear(mixed, p + "output", exact=True), own, p + "attention_norm")
        return self.feed_forward(states, p)

    def positions(self, x: str) -> str:
        """Of all tokens of ``x``: [tokens]."""
        length = self.op("Squeeze", self.op("Shape", x, start=1, end=2))
        zero, one = self.constant("zero", np.array(0, np.int64)), self.constant("one", np.array(1, np.int64))
        return self.op("Range", zero, length, one)


def _float8() -> Array:
    """The value of each byte as a float8 (e4m3fn): [256]."""
    values: Array = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float().nan_to_num(0.0).numpy()
    return values


def _later(size: int, own: int = 1) -> Array:
    """Hides what is later, and what is as late as oneself if ``own`` is 0: [size, size]."""
    return np.triu(np.full((size, size), _HIDDEN, np.float32), own)


def _later_than_openings() -> Array:
    """Hides what is later than the first token of each slot: [SLOTS - 1, LONGEST]."""
    openings = FRONT + SLOT * np.arange(SLOTS - 1)[:, None]
    return np.where(np.arange(LONGEST) > openings, _HIDDEN, 0).astype(np.float32)


def build(
    weights: dict[str, Array], heads: int, ranges: Ranges | None = None, table: StoredTable | None = None
) -> onnx.ModelProto:
    """The whole model, in int8 where ``ranges``, those of its layers' inputs, and the stored table are given."""
    layers = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("layers."))
    builder = GraphBuilder(dict(weights), heads, ranges is not None, ranges or {}, table)
    x = builder.embed(builder.filled("input_ids"))
    for i in range(layers - 2):
        x = builder.layer(x, i)
    if builder.int8:
        x, positions = builder.gathered(x, layers - 2, "last")
        rows = builder.op("Mul", "last", builder.integers(0))
    else:
        x, rows = builder.layer(x, layers - 2), "last"
        positions = builder.positions(x)
    final = builder.last_layer(x, layers - 1, rows, "last", positions)
    final = builder.op("Squeeze", final, builder.integers(1))
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
