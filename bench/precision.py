"""The shipped int8 model against its fp16 copy: scores, verdicts and speed, in one run.

``python -m bench.precision [--device cpu|cuda]``: the fixed corpus of the parity test. On a CPU
fp16 is only stored: the runtime computes in fp32, so its speed there says nothing of a GPU.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from bench.models import measure
from processors.evaluate.graphs import Model
from processors.evaluate.models import load_model
from schemas.config import EvaluateConfig
from tests.training.test_half import scored
from training import half

_MODELS = Path("models")


def _open(folder: Path, device: str) -> Model:
    return load_model(
        EvaluateConfig(models_dir=folder.parent, model=folder.name, device=device, threads=2)
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.precision", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=_MODELS / "starter")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "half"
        half.write(args.folder, copy)
        models = {
            "int8": _open(args.folder.resolve(), args.device),
            "fp16": _open(copy, args.device),
        }
        scores = {name: scored(model) for name, model in models.items()}
        for task, full in scores["int8"].items():
            halved = scores["fp16"][task]
            limits = models["int8"].manifest.tasks[task].thresholds
            flips = [int(((full >= x) != (halved >= x)).sum()) for x in (limits.warn, limits.page)]
            print(
                f"{task}: {len(full)} rows, largest difference {np.abs(full - halved).max():.4f},"
                f" other verdict at warn {flips[0]}, at page {flips[1]}"
            )
        speeds = {name: measure(model)["alone"] for name, model in models.items()}
        print(
            f"{models['int8'].device}: fp16 {speeds['fp16'] / speeds['int8']:.2f} of int8's speed"
        )


if __name__ == "__main__":
    main()
