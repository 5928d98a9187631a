"""An fp16 copy of a model folder, for GPUs: `python -m training.half models/starter OUT`.

It is made from the int8 weights, so both folders are of one run and have the same effective
weights; what differs is the arithmetic. Needs onnx, and neither torch nor the training data.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import TensorProto, numpy_helper

from training.data import sha256
from training.onnx_builder import SMALL_TABLE

_INT8, _SCALE = SMALL_TABLE + ".int8", SMALL_TABLE + ".scale"


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model``, as :func:`training.onnx_builder.weights_to_int8` gives it, with every real number
    fp16 but the inputs and outputs."""
    graph = model.graph
    given = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made = []
    for name, array in given.items():
        if name.endswith(_INT8):
            table = name.removesuffix(".int8")
            whole = array.astype(np.float32) * given[table + ".scale"]
            made.append(numpy_helper.from_array(whole.astype(np.float16), table))
        elif not name.endswith(_SCALE):
            real = array.astype(np.float16) if array.dtype == np.float32 else array
            made.append(numpy_helper.from_array(real, name))
    outputs = {value.name for value in graph.output}
    tables = {tensor.name for tensor in made}
    nodes = []
    for node in graph.node:
        if node.output[0] in tables or node.output[0].endswith(SMALL_TABLE + ".cast"):
            continue  # what made the fp32 table
        if node.op_type == "Cast" and node.output[0] not in outputs:
            node.attribute[0].i = TensorProto.FLOAT16
        nodes.append(node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(made)
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def write(source: Path, target: Path) -> None:
    """The fp16 folder ``target`` of the int8 folder ``source``.

    The first pass stays as it is: it is small, and its scores need not change. ``FileExistsError``
    when ``target`` is there.
    """
    target.mkdir(parents=True)
    manifest = yaml.safe_load((source / "manifest.yaml").read_text(encoding="utf-8"))
    first = (manifest.get("cascade") or {}).get("graph")
    kept = {manifest["graphs"][first]["file"]} if first else set()
    for name in manifest["files"]:
        if name.endswith(".onnx") and name not in kept:
            onnx.save(half(onnx.load(str(source / name))), str(target / name))
        else:
            shutil.copyfile(source / name, target / name)
    manifest["name"] += "-fp16"
    manifest["provenance"] = manifest["provenance"].replace("int8 weights", "fp16 weights")
    manifest["files"] = {name: sha256(target / name) for name in manifest["files"]}
    (target / "manifest.yaml").write_text(
        yaml.safe_dump(manifest, sort_keys=False, width=100), encoding="utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.half", description=__doc__)
    parser.add_argument("source", type=Path, help="an int8 model folder, such as models/starter")
    parser.add_argument("target", type=Path, help="the folder to write; must not exist")
    args = parser.parse_args()
    write(args.source, args.target)
    print(f"{args.target}: fp16, for evaluate.model with a GPU")


if __name__ == "__main__":
    main()
