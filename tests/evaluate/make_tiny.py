"""Writes ``tests/evaluate/tiny``: a model of a few words whose scores anyone can predict.

Run in the training environment: ``python -m tests.evaluate.make_tiny``. A text's injection score is
high when it holds "ignore", its toxicity when it holds "idiot"; "nanword" makes both NaN and
"crashword" has an id beyond the table, so that the runtime raises. A claim is unsupported by the
share of its content words that the evidence lacks.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

FOLDER = Path(__file__).parent / "tiny"
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "ignore", "idiot", "nanword")
CRASH = "crashword"
FEATURES = 13
SIZE = 4


def tokenizer() -> Tokenizer:
    vocabulary = {word: index for index, word in enumerate([*WORDS, CRASH])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    return made


def save(nodes, inputs, outputs, constants, path: Path) -> None:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        path.stem,
        [info(name, kind, shape) for name, kind, shape in inputs],
        [info(name, TensorProto.FLOAT, shape) for name, shape in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def encoder(path: Path) -> None:
    # Columns: injection, toxicity, then the embedding. The crash word has no row.
    table = np.full((len(WORDS), 2 + SIZE), 0.25, np.float32)
    table[:, :2] = 0
    table[WORDS.index("ignore"), 0] = 8
    table[WORDS.index("idiot"), 1] = 8
    table[WORDS.index("nanword"), :2] = np.nan
    node = helper.make_node
    nodes = [
        node("Gather", ["table", "input_ids"], ["rows"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["mask", "two"], ["mask3"]),
        node("Mul", ["rows", "mask3"], ["kept"]),
        node("ReduceSum", ["kept", "one"], ["summed"], keepdims=0),
        node("Split", ["summed", "widths"], ["i", "t", "embedding"], axis=1),
        node("Sub", ["i", "four"], ["i4"]),
        node("Sub", ["t", "four"], ["t4"]),
        node("Squeeze", ["i4", "one"], ["i1"]),
        node("Squeeze", ["t4", "one"], ["t1"]),
        node("Sigmoid", ["i1"], ["injection"]),
        node("Sigmoid", ["t1"], ["toxicity"]),
    ]
    constants = {
        "table": table,
        "one": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "widths": np.array([1, 1, SIZE], np.int64),
        "four": np.array(4, np.float32),
    }
    inputs = [(name, TensorProto.INT64, ["n", "l"]) for name in ("input_ids", "attention_mask")]
    outputs = [("embedding", ["n", SIZE]), ("injection", ["n"]), ("toxicity", ["n"])]
    save(nodes, inputs, outputs, constants, path)


def support(path: Path) -> None:
    node = helper.make_node
    nodes = [
        node("Gather", ["features", "content_coverage"], ["covered"], axis=1),
        node("Sub", ["whole", "covered"], ["missing"]),
        node("Mul", ["claim", "evidence"], ["product"]),
        node("ReduceSum", ["product", "axis"], ["dot"], keepdims=0),
        node("Mul", ["dot", "nothing"], ["zero"]),
        node("Add", ["missing", "zero"], ["unsupported"]),
    ]
    constants = {
        "content_coverage": np.array(1, np.int64),
        "whole": np.array(1, np.float32),
        "nothing": np.array(0, np.float32),
        "axis": np.array([1], np.int64),
    }
    inputs = [
        ("claim", TensorProto.FLOAT, ["n", SIZE]),
        ("evidence", TensorProto.FLOAT, ["n", SIZE]),
        ("features", TensorProto.FLOAT, ["n", FEATURES]),
    ]
    save(nodes, inputs, [("unsupported", ["n"])], constants, path)


def task(graph: str, reads: str, output: str) -> dict[str, object]:
    limits = {"warn": 0.5, "page": 0.9}
    return {"graph": graph, "input": reads, "output": output, "thresholds": limits}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    encoder(FOLDER / "model.onnx")
    support(FOLDER / "support.onnx")
    tokenizer().save(str(FOLDER / "tokenizer.json"))
    files = ("model.onnx", "support.onnx", "tokenizer.json")
    manifest = {
        "schema": "streamgauge.model/v1",
        "name": "tiny",
        "version": "1",
        "licence": "Apache-2.0",
        "provenance": "made by tests/evaluate/make_tiny.py",
        "tokenizer": {"file": "tokenizer.json", "max_length": 16, "stride": 4},
        "graphs": {
            "encoder": {"file": "model.onnx", "embedding": "embedding"},
            "support": {"file": "support.onnx", "inputs": ["claim", "evidence", "features"]},
        },
        "tasks": {
            "injection": task("encoder", "text", "injection"),
            "toxicity": task("encoder", "text", "toxicity"),
            "hallucination": {
                **task("support", "two_texts", "unsupported"),
                "features": "lexical_v2",
            },
        },
        "files": {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in files},
    }
    (FOLDER / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


if __name__ == "__main__":
    main()
