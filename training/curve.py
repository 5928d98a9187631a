"""What more rows give, and more layers, for the card: ``python -m training.curve``.

Each recipe on a share of its rows, and the safety model with half of the layers. Run after
``python -m training`` with the same options, from the repository root; the next ``python -m
training.card`` shows what was found. Scores are those of the product without the cascade; only
AUROC is told, which needs neither calibration nor thresholds.
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
from training.package import TASKS, Settings, Trained
from training.scoring import TEXT_TASKS, Scores
from training.shape import LAYERS

SHARES = (1 / 16, 1 / 4, 1.0)
FILE = "curve.json"
Point = Mapping[str, Mapping[str, list[float]]]
"""AUROC with its 95% interval, by task and set."""


def found(cache: Path) -> Mapping[str, Mapping[str, Point]]:
    """``rows``: points by share of the rows; ``layers``: by layers of the safety model. Of the last
    run of this command; empty where there was none."""
    path = cache / FILE
    if not path.exists():
        return {}
    points: Mapping[str, Mapping[str, Point]] = json.loads(path.read_text())
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

    def point(share: float, cache: Path, layers: int, tasks: Sequence[str]) -> Point:
        made = Trained(
            safety=weights(safety.run(_part(texts, share), base, cache, args.keep, layers)),
            support=weights(
                support.run(_part(pairs, share), base, cache, args.keep)
                if tasks == TASKS
                else support.network(base, data.SEED)
            ),
            first=weights(first_pass.Bag()),  # asked for nothing: there is no cascade
            tokenizer=base / "tokenizer.json",
        )
        package.write(cache / "draft", made, Settings())
        scores = Scores(cache / "draft", args.cache / "scores", args.threads, args.device)
        areas: Point = evaluate.areas(scores, args.data, tasks)
        print(json.dumps(areas), flush=True)
        return areas

    points: dict[str, dict[str, Point]] = {"rows": {}, "layers": {}}
    for share in SHARES:
        # The whole is the run that is shipped.
        cache = args.cache if share == 1 else args.cache / "curve" / f"{share:g}"
        points["rows"][f"{share:g}"] = point(share, cache, LAYERS, TASKS)
    cache = args.cache / "curve" / "layers"
    points["layers"][str(LAYERS // 2)] = point(1.0, cache, LAYERS // 2, TEXT_TASKS)
    (args.cache / FILE).write_text(json.dumps(points, indent=1))


if __name__ == "__main__":
    main()
