"""The trained networks as ONNX graphs: what ``network`` computes, with calibration inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from training.onnx_builder import Graph
from training.shape import EPSILON, HEADS, HIDDEN, Weights

_MASKED = -1e4  # large enough for softmax and maximum, and still finite in fp16
BY_ROW = ("words", "positions", "types")
IDS, MASK, TYPES, FEATURES = "input_ids", "attention_mask", "token_type_ids", "features"


@dataclass(frozen=True, slots=True)
class Score:
    """An output: sigmoid(slope * logit + offset) of one column of the head."""

    column: int
    slope: float = 1.0
    offset: float = 0.0


def _layer_norm(g: Graph, x: str, w: Weights, prefix: str) -> str:
    scale, shift = g.const(w[prefix + ".weight"]), g.const(w[prefix + ".bias"])
    return g.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=EPSILON)


def _block(g: Graph, x: str, bias: str, w: Weights, p: str) -> str:
    """One BERT layer; x [N, L, H], bias [N, 1, 1, L] added to the attention scores."""
    own = p + "attention.self."
    names = ("query", "key", "value")
    qkv = g.linear(
        x,
        np.concatenate([w[f"{own}{n}.weight"].T for n in names], axis=1),
        np.concatenate([w[f"{own}{n}.bias"] for n in names]),
        p + "qkv",
    )
    parts = g.split(qkv, [p + n for n in names])
    by_head = g.const([0, 0, HEADS, HIDDEN // HEADS], np.int64)
    query, key, value = (g.add("Reshape", part, by_head) for part in parts)
    query, value = (g.add("Transpose", s, perm=[0, 2, 1, 3]) for s in (query, value))
    key = g.add("Transpose", key, perm=[0, 2, 3, 1])
    scores = g.add("Mul", g.add("MatMul", query, key), g.const(1.0 / np.sqrt(HIDDEN // HEADS)))
    mixed = g.add("MatMul", g.add("Softmax", g.add("Add", scores, bias), axis=-1), value)
    merged = g.add(
        "Reshape", g.add("Transpose", mixed, perm=[0, 2, 1, 3]), g.const([0, 0, HIDDEN], np.int64)
    )

    def dense(y: str, part: str) -> str:
        return g.linear(y, w[f"{p}{part}.weight"].T, w[f"{p}{part}.bias"], p + part)

    x = _layer_norm(
        g,
        g.add("Add", x, dense(merged, "attention.output.dense")),
        w,
        p + "attention.output.LayerNorm",
    )
    inner = g.gelu(dense(x, "intermediate.dense"))
    return _layer_norm(g, g.add("Add", x, dense(inner, "output.dense")), w, p + "output.LayerNorm")


def _embedded(g: Graph, w: Weights, typed: bool) -> str:
    """Word, place and segment [N, L, H]."""
    e = "encoder.embeddings."
    places, types = w[e + "position_embeddings.weight"], w[e + "token_type_embeddings.weight"]
    length = g.add("Gather", g.add("Shape", IDS), g.const(1, np.int64), axis=0)
    position = g.add("Range", g.const(0, np.int64), length, g.const(1, np.int64))
    table = g.const(w[e + "word_embeddings.weight"], name="words.table")
    x = g.add("Gather", table, IDS)
    # Of a single text every token has the first segment, which is folded into the places.
    table = g.const(places if typed else places + types[0], name="positions.table")
    x = g.add("Add", x, g.add("Gather", table, position))
    if typed:
        x = g.add("Add", x, g.add("Gather", g.const(types), TYPES))
    return _layer_norm(g, x, w, e + "LayerNorm")


def _pooled(g: Graph, x: str, valid: str, hidden_by: str) -> tuple[str, str]:
    """Mean [N, H], and mean, maximum and first token side by side."""
    axis2, axis1 = g.const([2], np.int64), g.const([1], np.int64)
    valid3, hidden3 = (g.add("Unsqueeze", v, axis2) for v in (valid, hidden_by))
    total = g.add("Max", g.add("ReduceSum", valid3, axis1, keepdims=0), g.const(1.0))
    mean = g.add("Div", g.add("ReduceSum", g.add("Mul", x, valid3), axis1, keepdims=0), total)
    highest = g.add("ReduceMax", g.add("Add", x, hidden3), axes=[1], keepdims=0)
    first = g.add("Gather", x, g.const(0, np.int64), axis=1)
    return mean, g.add("Concat", mean, highest, first, axis=-1)


def build(
    w: Weights,
    scores: Mapping[str, Score],
    features: int = 0,
    embedding: bool = False,
) -> onnx.ModelProto:
    """The graph of weights ``w``: ids and mask (with ``features`` also segments and features) to
    scores [N] by name, and with ``embedding`` the mean of the last layer, of length 1 [N, H]."""
    g = Graph()
    x = _embedded(g, w, typed=features > 0)
    valid = g.add("Cast", MASK, to=TensorProto.FLOAT)
    hidden_by = g.add("Mul", g.add("Sub", g.const(1.0), valid), g.const(_MASKED))
    bias = g.add("Unsqueeze", hidden_by, g.const([1, 2], np.int64))
    layers = {name.split(".")[3] for name in w if name.startswith("encoder.encoder.layer.")}
    for layer in range(len(layers)):
        x = _block(g, x, bias, w, f"encoder.encoder.layer.{layer}.")
    mean, pooled = _pooled(g, x, valid, hidden_by)
    if features:
        given = g.add("Cast", FEATURES, to=TensorProto.FLOAT)
        pooled = g.add("Concat", pooled, given, axis=-1)
    inner = g.add("Relu", g.linear(pooled, w["first.weight"].T, w["first.bias"]))
    info = helper.make_tensor_value_info
    outputs = []
    for name, score in scores.items():
        weight = w["last.weight"][score.column] * score.slope
        bias_value = w["last.bias"][score.column] * score.slope + score.offset
        logit = g.linear(inner, weight[:, None], np.atleast_1d(bias_value))
        flat = g.add("Squeeze", g.add("Sigmoid", logit), g.const([1], np.int64))
        g.output(flat, name)
        outputs.append(info(name, TensorProto.FLOAT, ["batch"]))
    if embedding:
        norm = g.add("Max", g.add("ReduceL2", mean, axes=[1], keepdims=1), g.const(1e-4))
        g.output(g.add("Div", mean, norm), "embedding")
        outputs.append(info("embedding", TensorProto.FLOAT, ["batch", HIDDEN]))
    names = [IDS, MASK, TYPES] if features else [IDS, MASK]
    inputs = [info(n, TensorProto.INT64, ["batch", "length"]) for n in names]
    if features:
        inputs.append(info(FEATURES, TensorProto.FLOAT, ["batch", features]))
    return g.model(inputs, outputs)
