"""The first pass as an ONNX graph: what ``first_pass.Bag`` computes. No torch."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from training.onnx_builder import Graph
from training.shape import Weights

PAIRS = 1 << 16
FACTOR = 92_821
OUTPUTS = ("injection", "toxicity")
BY_ROW = ("bag_words", "bag_pairs")


def build(w: Weights) -> onnx.ModelProto:
    """The graph: ids and mask to a score [N] per output."""
    g = Graph()
    one, zero = g.const([1], np.int64), g.const([0], np.int64)
    ids = "input_ids"
    start = g.add("Slice", ids, zero, one, one)
    # The first token has no predecessor: 0.
    nothing = g.add("Mul", start, g.const([[0]], np.int64))
    shifted = g.add(
        "Slice", g.add("Concat", nothing, ids, axis=1), zero, g.const([-1], np.int64), one
    )
    mixed = g.add("Add", g.add("Mul", shifted, g.const(FACTOR, np.int64)), ids)
    pair = g.add("Mod", mixed, g.const(PAIRS, np.int64))
    words = g.add("Gather", g.const(w["words.weight"], name="bag_words.table"), ids)
    pairs = g.add("Gather", g.const(w["pairs.weight"], name="bag_pairs.table"), pair)
    x = g.add("Add", words, pairs)
    valid = g.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    valid3 = g.add("Unsqueeze", valid, g.const([2], np.int64))
    hidden3 = g.add("Mul", g.add("Sub", g.const(1.0), valid3), g.const(-1e4))
    total = g.add("Max", g.add("ReduceSum", valid3, one, keepdims=0), g.const(1.0))
    mean = g.add("Div", g.add("ReduceSum", g.add("Mul", x, valid3), one, keepdims=0), total)
    highest = g.add("ReduceMax", g.add("Add", x, hidden3), axes=[1], keepdims=0)
    pooled = g.add("Concat", mean, highest, axis=-1)
    inner = g.add("Relu", g.linear(pooled, w["first.weight"].T, w["first.bias"]))
    scores = g.add("Sigmoid", g.linear(inner, w["last.weight"].T, w["last.bias"]))
    info = helper.make_tensor_value_info
    for column, name in enumerate(OUTPUTS):
        g.add("Gather", scores, g.const(column, np.int64), axis=1, out=name)
    return g.model(
        [info(n, TensorProto.INT64, ["batch", "length"]) for n in (ids, "attention_mask")],
        [info(n, TensorProto.FLOAT, ["batch"]) for n in OUTPUTS],
    )
