"""The frozen MiniLM-L6-v2 encoder as an ONNX graph: build, quantise, tokenise, encode.

The graph is written node by node from the safetensors weights, so training needs no exporter and
every tensor name is ours. All shapes below use N = windows in a batch, L = tokens, H = 384.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from safetensors.numpy import load_file
from tokenizers import Tokenizer

F32 = npt.NDArray[np.float32]

HIDDEN = 384
HEADS = 12
LAYERS = 6
MAX_LENGTH = 256  # tokens per window, the length MiniLM-L6-v2 was tuned at
STRIDE = 64  # tokens shared by neighbouring windows
OPSET = 17
MASKED = -1e4  # large enough for softmax and max pooling, and still finite in fp16
# Pooled blocks the heads may read, each [N, H]: (pooling, layer); layer 0 is the embedding output.
POOLED = (("mean", 0), ("mean", 3), ("max", 3), ("mean", 6), ("max", 6), ("cls", 6))
POOLED_SIZE = HIDDEN * len(POOLED)


class Graph:
    """A tiny builder that keeps nodes and initialisers in order and names outputs uniquely."""

    def __init__(self, prefix: str = "") -> None:
        """`prefix` keeps names apart from those of a graph this one is appended to."""
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._count = 0

    def const(self, value: npt.ArrayLike, dtype: type = np.float32, name: str = "") -> str:
        """Add an initialiser and return its name."""
        self._count += 1
        name = name or f"{self.prefix}c{self._count}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def add(self, op: str, *inputs: str, out: str = "", **attributes: object) -> str:
        """Add a one-output node and return the name of its output."""
        self._count += 1
        out = out or f"{self.prefix}{op.lower()}_{self._count}"
        self.nodes.append(helper.make_node(op, list(inputs), [out], name=out, **attributes))
        return out

    def linear(self, x: str, weight: F32, bias: F32, name: str = "") -> str:
        """x @ weight + bias; weight [in, out], bias [out]."""
        return self.add(
            "Add", self.add("MatMul", x, self.const(weight, name=name)), self.const(bias)
        )

    def gelu(self, x: str) -> str:
        """Exact GELU spelled out with Erf; onnxruntime fuses this pattern."""
        scaled = self.add("Div", x, self.const(np.sqrt(2.0)))
        gate = self.add("Add", self.add("Erf", scaled), self.const(1.0))
        return self.add("Mul", self.add("Mul", x, gate), self.const(0.5))

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
        model.ir_version = 9  # readable by every onnxruntime the product supports
        onnx.checker.check_model(model)
        return model


def _layer_norm(g: Graph, x: str, w: dict[str, F32], prefix: str) -> str:
    return g.add(
        "LayerNormalization",
        x,
        g.const(w[prefix + ".weight"]),
        g.const(w[prefix + ".bias"]),
        axis=-1,
        epsilon=1e-12,
    )


def _block(g: Graph, x: str, bias: str, w: dict[str, F32], p: str) -> str:
    """One BERT layer; x [N, L, H], bias [N, 1, 1, L] added to the attention scores."""
    attention = p + "attention.self."
    # One fused q/k/v product: one activation quantisation instead of three.
    names = ("query", "key", "value")
    qkv = g.linear(
        x,
        np.concatenate([w[f"{attention}{n}.weight"].T for n in names], axis=1),
        np.concatenate([w[f"{attention}{n}.bias"] for n in names]),
        p + "qkv",
    )
    split = [
        g.add("Reshape", part, g.const([0, 0, HEADS, HIDDEN // HEADS], np.int64))
        for part in _split3(g, qkv, p)
    ]
    query, value = (g.add("Transpose", s, perm=[0, 2, 1, 3]) for s in (split[0], split[2]))
    key = g.add("Transpose", split[1], perm=[0, 2, 3, 1])
    scores = g.add("Mul", g.add("MatMul", query, key), g.const(1.0 / np.sqrt(HIDDEN // HEADS)))
    mixed = g.add("MatMul", g.add("Softmax", g.add("Add", scores, bias), axis=-1), value)
    merged = g.add(
        "Reshape", g.add("Transpose", mixed, perm=[0, 2, 1, 3]), g.const([0, 0, HIDDEN], np.int64)
    )
    dense = g.linear(
        merged,
        w[p + "attention.output.dense.weight"].T,
        w[p + "attention.output.dense.bias"],
        p + "attention_out",
    )
    x = _layer_norm(g, g.add("Add", x, dense), w, p + "attention.output.LayerNorm")
    inner = g.gelu(
        g.linear(
            x, w[p + "intermediate.dense.weight"].T, w[p + "intermediate.dense.bias"], p + "inner"
        )
    )
    outer = g.linear(inner, w[p + "output.dense.weight"].T, w[p + "output.dense.bias"], p + "outer")
    return _layer_norm(g, g.add("Add", x, outer), w, p + "output.LayerNorm")


def _split3(g: Graph, qkv: str, p: str) -> list[str]:
    outs = [f"{p}{n}" for n in ("q", "k", "v")]
    g.nodes.append(helper.make_node("Split", [qkv], outs, name=p + "split", axis=-1))
    return outs


def build_encoder(weights_file: Path) -> onnx.ModelProto:
    """The fp32 encoder: input_ids, attention_mask -> embedding [N, H], pooled [N, POOLED_SIZE].

    Source of the weights: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), BertModel layout.
    """
    w = {
        k: v.astype(np.float32)
        for k, v in load_file(str(weights_file)).items()
        if v.dtype != np.int64
    }
    g = Graph()
    ids, mask = "input_ids", "attention_mask"
    length = g.add("Gather", g.add("Shape", ids), g.const(1, np.int64), axis=0)
    position = g.add("Range", g.const(0, np.int64), length, g.const(1, np.int64))
    words = g.add("Gather", g.const(w["embeddings.word_embeddings.weight"], name="words"), ids)
    # Token type is always 0, so its one row is folded into the position table.
    places = g.const(
        w["embeddings.position_embeddings.weight"]
        + w["embeddings.token_type_embeddings.weight"][0],
        name="positions",
    )
    x = _layer_norm(
        g, g.add("Add", words, g.add("Gather", places, position)), w, "embeddings.LayerNorm"
    )
    valid = g.add("Cast", mask, to=TensorProto.FLOAT)
    hidden_by = g.add("Mul", g.add("Sub", g.const(1.0), valid), g.const(MASKED))
    bias = g.add("Unsqueeze", hidden_by, g.const([1, 2], np.int64))
    valid3 = g.add("Unsqueeze", valid, g.const([2], np.int64))
    hidden3 = g.add("Unsqueeze", hidden_by, g.const([2], np.int64))
    total = g.add(
        "Max", g.add("ReduceSum", valid3, g.const([1], np.int64), keepdims=0), g.const(1.0)
    )
    pooled: dict[tuple[str, int], str] = {}
    for layer in range(LAYERS + 1):
        if layer:
            x = _block(g, x, bias, w, f"encoder.layer.{layer - 1}.")
        for kind, at in POOLED:
            if at != layer:
                continue
            if kind == "mean":
                summed = g.add(
                    "ReduceSum", g.add("Mul", x, valid3), g.const([1], np.int64), keepdims=0
                )
                pooled[kind, at] = g.add("Div", summed, total)
            elif kind == "max":
                pooled[kind, at] = g.add(
                    "ReduceMax", g.add("Add", x, hidden3), axes=[1], keepdims=0
                )
            else:
                pooled[kind, at] = g.add("Gather", x, g.const(0, np.int64), axis=1)
    mean = pooled["mean", LAYERS]
    norm = g.add("Max", g.add("ReduceL2", mean, axes=[1], keepdims=1), g.const(1e-6))
    g.add("Div", mean, norm, out="embedding")
    g.add("Concat", *(pooled[key] for key in POOLED), out="pooled", axis=-1)
    info = helper.make_tensor_value_info
    return g.model(
        [info(n, TensorProto.INT64, ["batch", "length"]) for n in (ids, mask)],
        [
            info("embedding", TensorProto.FLOAT, ["batch", HIDDEN]),
            info("pooled", TensorProto.FLOAT, ["batch", POOLED_SIZE]),
        ],
    )


def weights_to_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store every named weight table as int8 with one scale per word or output column.

    The graph gets Cast and Mul before each use; onnxruntime folds them into fp32 constants when it
    loads the model. So the file is a quarter of the size, results do not depend on what else is in
    the batch, and CUDA and TensorRT (which have no dynamic-quantisation kernels) see a plain graph.
    """
    graph = model.graph
    before: list[onnx.NodeProto] = []
    for tensor in list(graph.initializer):
        if not (tensor.name.startswith("encoder.") or tensor.name in ("words", "positions")):
            continue
        weight = numpy_helper.to_array(tensor)
        axis = 0 if tensor.name.startswith("encoder.") else 1
        scale = (np.abs(weight).max(axis=axis, keepdims=True) / 127.0).astype(np.float32)
        scale = np.maximum(scale, np.float32(1e-8))  # [PAD]-like all-zero rows
        name = tensor.name
        graph.initializer.remove(tensor)
        graph.initializer.extend(
            [
                numpy_helper.from_array(np.rint(weight / scale).astype(np.int8), name + ".int8"),
                numpy_helper.from_array(scale, name + ".scale"),
            ]
        )
        before += [
            helper.make_node(
                "Cast",
                [name + ".int8"],
                [name + ".cast"],
                name=name + ".cast",
                to=TensorProto.FLOAT,
            ),
            helper.make_node("Mul", [name + ".cast", name + ".scale"], [name], name=name + ".mul"),
        ]
    nodes = [*before, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def dynamic_int8(source: Path, target: Path) -> None:
    """The alternative for CPU-only hosts: activations are quantised too (`--precision dynamic`).

    About 1.6 times faster on a CPU with VNNI, but scores then depend on the batch and GPU providers
    have no kernels for it. reduce_range keeps weights to 7 bits: x86 kernels without VNNI saturate
    on full int8, and the verdict must not depend on the machine.
    """
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul", "Gather"],
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"MatMulConstBOnly": True},
    )


@dataclass(frozen=True)
class Windows:
    """Texts cut into windows: `ids` per window, `owner[i]` = index of the text of window i."""

    ids: list[list[int]]
    owner: npt.NDArray[np.int64]


class Encoder:
    """Tokenises and encodes texts on the CPU exactly as the product does (windows, same graph)."""

    def __init__(self, graph: Path, tokenizer: Path, threads: int = 2) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(tokenizer))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_LENGTH, stride=STRIDE)

    def windows(self, texts: Sequence[str], limit: int) -> Windows:
        """At most `limit` windows of MAX_LENGTH tokens per text, in order."""
        ids: list[list[int]] = []
        owner: list[int] = []
        for start in range(0, len(texts), 1000):
            batch = self.tokenizer.encode_batch(list(texts[start : start + 1000]))
            for i, encoding in enumerate(batch, start):
                for part in [encoding, *encoding.overflowing][:limit]:
                    ids.append(part.ids)
                    owner.append(i)
        return Windows(ids, np.asarray(owner, dtype=np.int64))

    def encode(
        self, ids: Sequence[Sequence[int]], outputs: Sequence[str], tokens: int = 4096
    ) -> list[npt.NDArray[np.float32]]:
        """Run windows in length-sorted batches of at most `tokens` padded tokens."""
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        found: list[npt.NDArray[np.float32] | None] = [None] * len(outputs)
        start = 0
        while start < len(order):
            stop = start + 1
            while stop < len(order) and (stop + 1 - start) * len(ids[order[stop]]) <= tokens:
                stop += 1
            rows = order[start:stop]
            width = max(len(ids[i]) for i in rows)
            batch = np.zeros((len(rows), width), dtype=np.int64)
            mask = np.zeros_like(batch)
            for r, i in enumerate(rows):
                batch[r, : len(ids[i])] = ids[i]
                mask[r, : len(ids[i])] = 1
            results = self.session.run(list(outputs), {"input_ids": batch, "attention_mask": mask})
            for k, values in enumerate(results):
                if found[k] is None:
                    found[k] = np.empty((len(ids), *values.shape[1:]), dtype=np.float32)
                found[k][rows] = values  # type: ignore[index]
            start = stop
        return [f if f is not None else np.empty((0,), np.float32) for f in found]
