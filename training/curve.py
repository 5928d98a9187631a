"""Learning curves: each recipe on a share of its rows, for the card: ``python -m training.curve``.

Run before the last ``python -m training``, with the same options, from the repository root. Every
point is one epoch, so that fewer rows are fewer steps too. Scores are those of the product without
the cascade; only AUROC is told, which needs neither calibration nor thresholds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from training import data, evaluate, first_pass, package, safety, support
from training.fit import Item
from training.network import weights
from training.options import base_model, options
from training.package import Settings, Trained
from training.scoring import Scores

SHARES = (1 / 16, 1 / 8, 1 / 4, 1.0)
FILE = "curve.json"
Point = Mapping[str, Mapping[str, list[float]]]
"""AUROC with its 95% interval, by task and set."""


def found(cache: Path) -> Mapping[str, Point]:
    """Points by share of the rows, of the last run of this command; none where there was none."""
    path = cache / FILE
    points: Mapping[str, Point] = json.loads(path.read_text()) if path.exists() else {}
    return points


def _part(items: Sequence[Item], share: float) -> Sequence[Item]:
    return items[: round(share * len(items))]  # they are in random order


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.curve", description=__doc__)
    args = options(parser)
    if not (args.cache / first_pass.FILE).exists():
        parser.error(f"{args.cache} holds no finished run: python -m training comes first")
    base = base_model(args.base)
    texts, pairs = safety.items(args.data, base), support.items(args.data, base)
    bag = weights(first_pass.run(texts, args.cache, data.SEED, args.keep))
    points: dict[str, Point] = {}
    for share in SHARES:
        # The whole is the run that is shipped.
        cache = args.cache if share == 1 else args.cache / "curve" / f"{share:g}"
        made = Trained(
            safety=weights(safety.run(_part(texts, share), base, cache, args.keep)),
            support=weights(support.run(_part(pairs, share), base, cache, args.keep)),
            first=bag,
            tokenizer=base / "tokenizer.json",
        )
        folder = cache / "draft"
        package.write(folder, made, Settings())
        scores = Scores(folder, args.cache / "scores", args.threads)
        points[f"{share:g}"] = evaluate.areas(scores, args.data)
        (args.cache / FILE).write_text(json.dumps(points, indent=1))
        print(json.dumps({f"{share:g}": points[f"{share:g}"]}), flush=True)


if __name__ == "__main__":
    main()
