"""Puts calibrated heads into the ONNX graphs the product loads."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from training.encoder import HIDDEN, Graph
from training.heads import Head


def _score(g: Graph, x: str, head: Head, name: str) -> None:
    """Add sigmoid(head(x)) as output `name` [N]."""
    hidden = g.add("Relu", g.linear(x, head.w1, head.b1))
    logit = g.linear(hidden, head.w2, head.b2)
    g.add("Sigmoid", g.add("Squeeze", logit, g.const([1], int)), out=name)


def with_heads(encoder: onnx.ModelProto, heads: dict[str, Head]) -> onnx.ModelProto:
    """The encoder with one score output per head instead of the raw pooled features."""
    g = Graph(prefix="head_")
    for name, head in heads.items():
        _score(g, "pooled", head, name)
    model = onnx.ModelProto()
    model.CopyFrom(encoder)
    model.graph.node.extend(g.nodes)
    model.graph.initializer.extend(g.weights)
    outputs = [o for o in model.graph.output if o.name == "embedding"]
    outputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch"]) for n in heads]
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    onnx.checker.check_model(model)
    return model


def support_graph(head: Head, features: int) -> onnx.ModelProto:
    """claim [N, H], evidence [N, H], features [N, F] -> unsupported [N]; see pair_features."""
    g = Graph()
    product = g.add("Mul", "claim", "evidence")
    distance = g.add("Abs", g.add("Sub", "claim", "evidence"))
    cosine = g.add("ReduceSum", product, g.const([1], int), keepdims=1)
    _score(g, g.add("Concat", product, distance, cosine, "features", axis=1), head, "unsupported")
    info = helper.make_tensor_value_info
    return g.model(
        [
            info("claim", TensorProto.FLOAT, ["batch", HIDDEN]),
            info("evidence", TensorProto.FLOAT, ["batch", HIDDEN]),
            info("features", TensorProto.FLOAT, ["batch", features]),
        ],
        [info("unsupported", TensorProto.FLOAT, ["batch"])],
    )
