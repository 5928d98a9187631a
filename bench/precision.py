"""The shipped int8 model, its fp16 copy and a GPU: scores, verdicts and speed, in one run.

``python -m bench.precision [--device cuda]``: the fixed corpus of the parity test; everything is
compared with int8 weights on two CPU threads. On a CPU fp16 is only stored: the runtime computes in
fp32, so its speed there says nothing of a GPU. Texts have 64 tokens.
"""

import argparse
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from bench.models import measure
from processors.evaluate.graphs import Model
from processors.evaluate.models import load_model
from schemas.config import EvaluateConfig
from tests.training.test_half import scored
from training import half

_BUDGETS = {"cpu": (4096,), "cuda": (4096, 65_536)}
"""Tokens of a batch: what is shipped, and what fills a GPU."""
_TEXTS = {"cpu": 2000, "cuda": 32_000}


def _open(folder: Path, device: str) -> Model:
    return load_model(
        EvaluateConfig(models_dir=folder.parent, model=folder.name, device=device, threads=2)
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.precision", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("models/starter"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        half.write(args.folder, Path(made) / "half")
        folders = {"int8": args.folder.resolve(), "fp16": Path(made) / "half"}
        base = _open(folders["int8"], "cpu")
        full = scored(base)
        speed = measure(base)["alone"]
        print(f"int8 on the CPU: {speed:.0f} texts/s")
        for device, (name, folder) in product(dict.fromkeys(("cpu", args.device)), folders.items()):
            if (device, name) == ("cpu", "int8"):
                continue
            model = _open(folder, device)
            print(f"{name} on {model.device}:")
            _compare(base, full, scored(model))
            for budget in _BUDGETS[device]:
                found = measure(model, _TEXTS[device], budget)["alone"]
                print(
                    f"  {found:.0f} texts/s in batches of {budget} tokens, {found / speed:.2f} of"
                    " int8 on the CPU"
                )


def _compare(base: Model, full: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for task, scores in full.items():
        limits = base.manifest.tasks[task].thresholds
        warn, page = (
            int(((scores >= x) != (other[task] >= x)).sum()) for x in (limits.warn, limits.page)
        )
        most = np.abs(scores - other[task]).max()
        print(
            f"  {task}: {len(scores)} rows, largest difference {most:.1e}, other verdict at warn"
            f" {warn}, at page {page}"
        )


if __name__ == "__main__":
    main()
