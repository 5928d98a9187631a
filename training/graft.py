"""Support from an earlier model folder, as a graph that reads pairs.

Until the support model has been trained, its task can be kept from a folder whose head compares the
embeddings of claim and evidence. The fine-tuned encoder no longer gives those embeddings, so the
earlier encoder moves into the support graph, which encodes the two segments of a pair apart, each
as a text of its own. Weights stay as they are stored there (int8).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from training.graph import FEATURES, IDS, MASK, TYPES
from training.onnx_builder import Graph

_CLS = 101


def _needed(model: onnx.ModelProto, output: str) -> list[onnx.NodeProto]:
    """The nodes that ``output`` depends on, in order."""
    wanted = {output}
    kept = []
    for node in reversed(model.graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]


def _renamed(node: onnx.NodeProto, names: Mapping[str, str]) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = names.get(node.output[0], node.name)
    del copy.input[:], copy.output[:]
    copy.input.extend(names.get(n, n) for n in node.input)
    copy.output.extend(names.get(n, n) for n in node.output)
    return copy


def _segments(g: Graph) -> dict[str, tuple[str, str]]:
    """ids and mask of the claim and of the evidence, each as if it stood alone."""
    one, axis = g.const(1, np.int64), g.const([1], np.int64)
    claim_mask = g.add("Mul", MASK, g.add("Sub", one, TYPES))
    claim = g.add("ReduceSum", claim_mask, axis, keepdims=1)
    whole = g.add("ReduceSum", MASK, axis, keepdims=1)
    length = g.add("Gather", g.add("Shape", IDS), one, axis=0)
    place = g.add("Range", g.const(0, np.int64), length, one)
    # The evidence moves to the front, behind a first token of its own.
    source = g.add("Sub", g.add("Add", place, claim), one)
    source = g.add("Min", source, g.add("Sub", length, one))
    moved = g.add("GatherElements", IDS, source, axis=1)
    first = g.add("Equal", place, g.const(0, np.int64))
    moved = g.add("Where", first, g.const(_CLS, np.int64), moved)
    size = g.add("Add", g.add("Sub", whole, claim), one)
    moved_mask = g.add("Cast", g.add("Less", place, size), to=TensorProto.INT64)
    return {"claim": (IDS, claim_mask), "evidence": (moved, moved_mask)}


def _twice(
    encoder: onnx.ModelProto, segments: Mapping[str, tuple[str, str]]
) -> list[onnx.NodeProto]:
    """The encoder once per segment; nodes that only prepare weights are shared."""
    nodes = _needed(encoder, "embedding")
    dynamic = {IDS, MASK}
    for node in nodes:
        if dynamic & set(node.input):
            dynamic |= set(node.output)
    found = [n for n in nodes if not dynamic & set(n.output)]
    for side, (ids, mask) in segments.items():
        names = {name: f"{side}_{name}" for name in dynamic - {IDS, MASK}}
        names |= {IDS: ids, MASK: mask, "embedding": side}
        found += [_renamed(n, names) for n in nodes if dynamic & set(n.output)]
    return found


def support(folder: Path, slope: float, offset: float) -> onnx.ModelProto:
    """The pair graph, with its logit recalibrated; the folder's support reads two texts."""
    encoder = onnx.load(str(folder / "model.onnx"))
    head = onnx.load(str(folder / "support.onnx"))
    g = Graph(prefix="cut_")
    segments = _segments(g)
    own = {
        name: f"head_{name}"
        for node in head.graph.node
        for name in (*node.input, *node.output)
        if name not in ("claim", "evidence", FEATURES)
    }
    nodes = [*g.nodes, *_twice(encoder, segments), *(_renamed(n, own) for n in head.graph.node)]
    last = nodes.pop()
    assert last.op_type == "Sigmoid"
    g.nodes = []
    logit = g.add("Add", g.add("Mul", last.input[0], g.const(slope)), g.const(offset))
    g.add("Sigmoid", logit, out="unsupported")
    g.nodes = nodes + g.nodes
    used = {name for node in g.nodes for name in node.input}
    g.weights += [t for t in encoder.graph.initializer if t.name in used]
    for tensor in head.graph.initializer:
        copy = onnx.TensorProto()
        copy.CopyFrom(tensor)
        copy.name = own[tensor.name]
        g.weights.append(copy)
    info = helper.make_tensor_value_info
    count = next(i for i in head.graph.input if i.name == FEATURES).type.tensor_type.shape.dim[1]
    inputs = [info(n, TensorProto.INT64, ["batch", "length"]) for n in (IDS, MASK, TYPES)]
    inputs.append(info(FEATURES, TensorProto.FLOAT, ["batch", count.dim_value]))
    return g.model(inputs, [info("unsupported", TensorProto.FLOAT, ["batch"])])
