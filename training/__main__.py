"""From data files to models/starter in one command: `python -m training --data DIR`.

Run from the repository root. Everything is seeded. Checkpoints, scores and logs are kept in the
cache folder: an interrupted run goes on where it stopped, a second one only redoes what changed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from training import (
    card,
    curve,
    data,
    evaluate,
    first_pass,
    package,
    safety,
    support,
    thresholds,
)
from training.fit import describe, losses
from training.network import weights
from training.options import base_model, options
from training.package import Settings, Trained
from training.scoring import TEXT_TASKS, Scores

_MODELS = (safety, support)


def trained(args: argparse.Namespace, base: Path) -> Trained:
    """All networks; each goes on from its last checkpoint."""
    texts = safety.items(args.data, base)
    pairs = support.items(args.data, base)
    return Trained(
        safety=weights(safety.run(texts, base, args.cache, args.keep)),
        support=weights(support.run(pairs, base, args.cache, args.keep)),
        first=weights(
            first_pass.run(
                safety.items(args.data, base, every=True), args.cache, data.SEED, args.keep
            )
        ),
        tokenizer=base / "tokenizer.json",
    )


def calibrated(made: Trained, args: argparse.Namespace) -> tuple[Settings, dict[str, Any]]:
    """Calibration, thresholds and the cascade's limits, and what to tell of the run."""
    settings = Settings()
    draft = args.cache / "draft"
    package.write(draft, made, settings)
    scores = Scores(draft, args.cache / "scores", args.threads, args.device)
    pools = thresholds.text_settings(args.data, scores, settings)
    pools["hallucination"] = thresholds.support_settings(args.data, scores, settings)
    kept = "; earlier checkpoints were kept" if args.keep else ""
    return settings, {
        "pools": pools,
        "cascade": thresholds.cascade_settings(args.data, scores, settings),
        "thresholds": settings.thresholds,
        "alone": evaluate.areas(scores, args.data, TEXT_TASKS),
        "trained": "; ".join(describe(args.cache / m.NAME, m.RECIPE) for m in _MODELS) + kept,
        "learning": {m.NAME: losses(args.cache / m.NAME) for m in _MODELS},
        "curve": curve.found(args.cache),
    }


def main() -> None:
    args = options(argparse.ArgumentParser(prog="python -m training", description=__doc__))
    made = trained(args, base_model(args.base))
    settings, record = calibrated(made, args)
    package.write(args.out, made, settings)
    tests = card.write(args.out, record, args)
    settings.measured = {
        task: {k: v for k, v in sets["dev"].items() if k not in ("groups", "length_alone")}
        for task, sets in tests.items()
    }
    package.write(args.out, made, settings)


if __name__ == "__main__":
    main()
