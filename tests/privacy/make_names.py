"""Writes ``tests/privacy/names``: a token classifier of a few words that anyone can predict.

Run in the training environment: ``python -m tests.privacy.make_names``. "jane" and "doe" begin and
continue a person, "elm" and "street" an address; "crashword" has an id beyond the table, so that
the runtime raises.
"""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

FOLDER = Path(__file__).parent / "names"
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
WORDS = {"[PAD]": 0, "[UNK]": 0, "jane": 1, "doe": 2, "elm": 3, "street": 4}
CRASH = "crashword"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    vocabulary = {word: index for index, word in enumerate([*WORDS, CRASH])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(FOLDER / "tokenizer.json"))
    table = np.zeros((len(WORDS), len(LABELS)), np.float32)
    for row, label in enumerate(WORDS.values()):
        table[row, label] = 8
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["logits"])],
        "names",
        [info("input_ids", TensorProto.INT64, ["n", "l"])],
        [info("logits", TensorProto.FLOAT, ["n", "l", len(LABELS)])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    (FOLDER / "model.onnx").write_bytes(model.SerializeToString())
    files = ("model.onnx", "tokenizer.json")
    manifest = {
        "schema": "streamgauge.model/v1",
        "name": "names",
        "version": "1",
        "licence": "Apache-2.0",
        "provenance": "made by tests/privacy/make_names.py",
        "tokenizer": {"file": "tokenizer.json", "max_length": 8, "stride": 2},
        "graphs": {"names": {"file": "model.onnx"}},
        "tasks": {},
        "names": {
            "graph": "names",
            "output": "logits",
            "labels": list(LABELS),
            "entities": {"PER": "PERSON", "LOC": "ADDRESS"},
            "min_probability": 0.5,
        },
        "files": {name: hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in files},
    }
    (FOLDER / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))


if __name__ == "__main__":
    main()
