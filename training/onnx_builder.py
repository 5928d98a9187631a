"""A tiny ONNX builder, and weights stored as int8.

Graphs are written node by node, so training needs no exporter and every tensor name is ours. In the
modules that use it N = windows in a batch, L = tokens, H = hidden size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
_IR_VERSION = 9  # readable by every onnxruntime the product supports
SMALL_TABLE = ".table"
"""Ends the name of a weight that is stored as int8, with one scale per row or column."""


class Graph:
    """Keeps nodes and initialisers in order and names outputs uniquely."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._count = 0

    def const(self, value: npt.ArrayLike, dtype: type | None = None, name: str = "") -> str:
        """Add an initialiser and return its name."""
        self._count += 1
        name = name or f"c{self._count}"
        array = np.asarray(value, dtype=dtype or np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(self, op: str, *inputs: str, out: str = "", **attributes: object) -> str:
        """Add a one-output node and return the name of its output."""
        self._count += 1
        out = out or f"{op.lower()}_{self._count}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], name=out, **attributes))
        return out

    def split(self, x: str, names: list[str]) -> list[str]:
        """Equal parts of the last axis."""
        self.nodes.append(helper.make_node("Split", [x], names, name=names[0] + "_of", axis=-1))
        return names

    def linear(self, x: str, weight: npt.ArrayLike, bias: npt.ArrayLike, name: str = "") -> str:
        """x @ weight + bias; weight [in, out], bias [out]; a named weight becomes int8."""
        table = self.const(weight, name=name + SMALL_TABLE if name else "")
        return self.add("Add", self.add("MatMul", x, table), self.const(bias))

    def gelu(self, x: str) -> str:
        """Exact GELU spelled out with Erf; onnxruntime fuses this pattern."""
        scaled = self.add("Div", x, self.const(np.sqrt(2.0)))
        gate = self.add("Add", self.add("Erf", scaled), self.const(1.0))
        return self.add("Mul", self.add("Mul", x, gate), self.const(0.5))

    def output(self, x: str, name: str) -> str:
        """An output of the graph, always fp32."""
        return self.add("Cast", x, to=TensorProto.FLOAT, out=name)

    def model(
        self, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Finish and check the model."""
        graph = helper.make_graph(self.nodes, "streamgauge", inputs, outputs, self.weights)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="streamgauge-training",
        )
        model.ir_version = _IR_VERSION
        onnx.checker.check_model(model)
        return model


def weights_to_int8(model: onnx.ModelProto, by_row: tuple[str, ...] = ()) -> onnx.ModelProto:
    """Store every named table as int8 with one scale per output column (``by_row``: per row).

    The graph gets Cast and Mul before each use; onnxruntime folds them into fp32 constants when it
    loads the model. So the file is a quarter of the size, results do not depend on what else is in
    the batch, and GPU providers (which have no dynamic-quantisation kernels) see a plain graph.
    """
    graph = model.graph
    before: list[onnx.NodeProto] = []
    for tensor in list(graph.initializer):
        name = tensor.name
        if not name.endswith(SMALL_TABLE):
            continue
        weight = numpy_helper.to_array(tensor)
        axis = 1 if name.removesuffix(SMALL_TABLE) in by_row else 0
        scale = (np.abs(weight).max(axis=axis, keepdims=True) / 127.0).astype(np.float32)
        scale = np.maximum(scale, np.float32(1e-8))  # [PAD]-like all-zero rows
        graph.initializer.remove(tensor)
        small = np.rint(weight / scale).astype(np.int8)
        graph.initializer.extend(
            [
                numpy_helper.from_array(small, name + ".int8"),
                numpy_helper.from_array(scale, name + ".scale"),
            ]
        )
        cast = helper.make_node(
            "Cast", [name + ".int8"], [name + ".cast"], name=name + ".cast", to=TensorProto.FLOAT
        )
        multiplied = helper.make_node(
            "Mul", [name + ".cast", name + ".scale"], [name], name=name + ".mul"
        )
        before += [cast, multiplied]
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model
